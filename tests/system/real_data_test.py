"""Every published form at hand, answered by the demo's model. ctest label nightly.

Forms that ../shared/data has not come from the tests' own records. What the program reads is held against
a reading in Python, written from reference/method.md and official_behaviour.md (5, 8, 15, 16, 17).
"""

import csv
import json
import re
import tarfile
import tomllib
import unittest
from functools import cache

import numpy as np
import tokenizers
from support import REPOSITORY, SystemTest, call, dataset_table, main, method_table, pair_table, tables

MODELS = REPOSITORY / "models"
MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
SHARED, RECORDS = REPOSITORY.parent / "shared/data", REPOSITORY / "tests/data/records"
CHAT = ("<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\n%s<|im_end|>\n<|im_start|>assistant\n")
SAMPLES, MOST_TOKENS = 3, 600  # of each data set, of a prompt
METHODS = method_table("skyline") + method_table("kvcomm", ratio=0.5)
KINDS = {"tmath": "math", "samsum": "summary", "repobench": "code", "longbench_repobench-p": "code",
         "mmlu_stem": "choice"}
FILES = {  # of one sweep; the names that end in _hub are those of another, less that ending
    "countries": "countries.jsonl", "tipsheets": "tipsheets.jsonl", "tmath": "TMATH",
    "hotpotqa": "real/hotpot_dev_distractor_v1.json", "hotpotqa_full": "real/hotpot_dev_distractor_v1.json",
    "hotpotqa_hub": "real/hotpotqa_hf_shape.json", "hotpotqa_full_hub": "real/hotpotqa_hf_shape.json",
    "musique": "real/musique_ans_dev.jsonl", "musique_full": "real/musique_ans_dev.jsonl",
    "qasper": "real/qasper_scrolls_shape.jsonl", "qasper_full": "real/qasper_scrolls_shape.jsonl",
    "multifieldqa_en": "real/longbench_multifieldqa_en.jsonl", "twowikimqa": "real/longbench_2wikimqa.jsonl",
    "twowikimqa_hub": "real/longbench_hub_style_2wikimqa.jsonl",
    "longbench_hotpotqa": "real/longbench_hotpotqa.jsonl", "longbench_musique": "real/longbench_musique.jsonl",
    "longbench_qasper": "real/longbench_qasper.jsonl", "longbench_repobench-p": "real/longbench_repobench-p.jsonl",
    "samsum": RECORDS / "samsum.csv", "repobench": RECORDS / "repobench_v1.1.jsonl", "mmlu_stem": RECORDS / "mmlu"}
DRAWN = {"hotpotqa": 500, "musique": 500, "qasper": 500, "tmath": 300}
TMATH = "algebra geometry number_theory intermediate_algebra prealgebra precalculus counting_and_probability"


# ---- (context, question) of each sample, in the file's order


def records(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]


def hotpot(record):
    context, facts = record["context"], record["supporting_facts"]
    if isinstance(context, dict):  # the hub's columns
        context, facts = zip(context["title"], context["sentences"]), zip(facts["title"], facts["sent_id"])
    sentences = dict(context)
    named = (sentences[title][place] for title, place in facts if place < len(sentences[title]))
    return "\n".join(named), record["question"]


def musique(record):
    texts = [part["paragraph_text"] for part in record["paragraphs"] if part["is_supporting"]]
    return "\n".join(texts), record["question"]


def qasper(record):
    question, _, text = record["input"].partition("\n\n")
    return text.strip(), question.strip()


def longbench(record):
    return record["context"], record["question"] if "question" in record else record["input"]


def tmath(folder):
    files = [path for subject in TMATH.split() for path in sorted((folder / f"hint_{subject}").glob("*.json"))]
    found = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    return [(record["socratic_questions"], record["problem"]) for record in found]


def samsum(path):
    with path.open(newline="", encoding="utf-8") as file:
        for record in csv.DictReader(file):
            lines = record["dialogue"].strip().split("\n")
            half = len(lines) // 2
            yield "\n".join(lines[:half]).strip(), "\n".join(lines[half:]).strip()


def samples(name, path):
    """In the evaluated order; none of what this file does not read."""
    form = re.sub("_full$", "", name)
    if form in ("repobench", "mmlu_stem"):
        return []
    if form in ("tmath", "samsum"):
        found = list({"tmath": tmath, "samsum": samsum}[form](path))
    elif form in ("countries", "tipsheets"):
        found = [(record["prompt_A"], record["prompt_B"]) for record in records(path)]
    else:
        read = {"hotpotqa": hotpot, "musique": musique, "qasper": qasper}.get(form, longbench)
        found = [read(record) for record in records(path) if record.get("answerable", True)]
    if name in DRAWN:
        found = [found[i] for i in np.random.default_rng(42).permutation(len(found))[:DRAWN[name]]]
    return found


# ---- the lengths of their prompts


@cache
def model_text():
    prompts = tomllib.loads((REPOSITORY / "src/text/prompts.toml").read_text(encoding="utf-8"))
    return tokenizers.Tokenizer.from_file(str(MODELS / MODEL / "tokenizer.json")), prompts


def length(name, key, **values):
    """Tokens of the templated prompt."""
    tokenizer, prompts = model_text()
    wording = prompts[KINDS.get(name, "qa")] | prompts.get(name, {})
    content = re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), wording[key])
    return len(tokenizer.encode(CHAT % content, add_special_tokens=False).ids)


def cut(tokens, room):
    """What is left when the middle of a longer prompt is cut out: two halves of the room."""
    return tokens if tokens <= room else room // 2 * 2


def lengths(name, context, question):
    """(context tokens, prompt tokens) by method."""
    receiver = length(name, "receiver", question=question)
    sender = cut(length(name, "sender", context=context), MOST_TOKENS - receiver)
    skyline = cut(length(name, "skyline", context=context, question=question), MOST_TOKENS)
    return {"skyline": (0, skyline), "kvcomm(ratio=0.5)": (sender, receiver)}


class RealData(SystemTest):
    @classmethod
    def setUpClass(cls):
        for needed, cure in ((MODELS / MODEL / "model.safetensors", "launch/setup.sh makes it"),
                             (SHARED / "real", "the published records are not part of the repository")):
            if not needed.exists():
                raise unittest.SkipTest(f"there is no {needed}: {cure}")
        super().setUpClass()
        with tarfile.open(SHARED / "tmath.tar.xz") as archive:
            archive.extractall(cls.folder, filter="data")

    def path(self, name):
        return self.folder / "TMATH" if name == "tmath" else SHARED / FILES[name]

    def run_all(self, output, names):
        """One sweep over these data sets, by their names in FILES; its tables and its log."""
        data = "".join(dataset_table(name.removesuffix("_hub"), self.path(name)) for name in names)
        sweep = self.sweep_on(output, data, METHODS, pair_table(MODEL), "bfloat16",
                              f"timeout_s = 600\nlimit = {SAMPLES}\nmax_input_tokens = {MOST_TOKENS}")
        outcome = self.check(sweep.run(output, 2, [f'paths.models="{MODELS}"', "run.threads=2"], timeout_s=1700))
        self.check_answers(sweep.results(output), names)
        return tables(sweep.results(output)), outcome

    def check_answers(self, results, names):
        found = tables(results)["samples"]
        print(found[["dataset", "method", "sample_id", "context_tokens", "prompt_tokens", "output_tokens", "score",
                     "answer"]].to_string(max_colwidth=100), flush=True)
        self.assertEqual(found.failed.sum(), 0)
        self.assertTrue(found.score.between(0, 1).all())
        self.assertTrue((found.output_tokens > 0).all())
        for name in names:
            dataset, read = name.removesuffix("_hub"), samples(name.removesuffix("_hub"), self.path(name))
            rows = found[found.dataset == dataset]
            self.assertGreater(len(rows), 0, name)
            if not read:
                continue
            self.assertEqual(len(rows), 2 * min(SAMPLES, len(read)), name)
            for row in rows.itertuples():
                with self.subTest(dataset=name, sample=row.sample, method=row.method):
                    expected = lengths(dataset, *read[row.sample])[row.method]
                    self.assertEqual((row.context_tokens, row.prompt_tokens), expected)
        again = self.folder / "again.h5"
        self.check(call(["score", results, "--output", again]))
        self.assertTrue(tables(results)["samples"].equals(tables(again)["samples"]))
        self.assertTrue(tables(results)["cells"].equals(tables(again)["cells"]))

    def test_every_form_is_answered_and_scored(self):
        found, outcome = self.run_all("forms", [name for name in FILES if not name.endswith("_hub")])
        for count in ("has 40 records, the published 'hotpotqa' has 7405",
                      "has 11 records, the published 'musique' has 2417"):
            self.assertIn(count, outcome.log)
        self.assertNotIn("published 'tmath'", outcome.log)

    def test_the_hubs_copies_too(self):
        self.run_all("hub", [name for name in FILES if name.endswith("_hub")])


if __name__ == "__main__":
    main()
