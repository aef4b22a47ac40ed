"""Every method, in both fidelities, against the twin: the real program on tiny models, answer by answer.

Run by ctest as the tests in tests/system: methods_test.py <repository> <build folder> [unittest's arguments]
"""

import json
import re
import sys
import unittest
from dataclasses import replace
from pathlib import Path

import numpy as np

REPOSITORY = Path(sys.argv[1])
sys.path.insert(0, str(REPOSITORY / "tests/system"))
from support import (CHECKPOINTS, SystemTest, main, make_model, method_table, pair_table, tables,  # noqa: E402
                     toml_keys)
from twin import Model, Sequence, greedy, read_weights  # noqa: E402
from twin_case import GLOOMY, MAX_NEW_TOKENS, PAIRS, PROMPTS, Text, change_model, records  # noqa: E402
from twin_methods import PAPER, RELEASE, Twin  # noqa: E402

TIE = 1e-4  # two best logits as near as this may change places in float32
KINDS = {"nld": "token_bytes", "cipher": "vector_bytes", "ac": "hidden_bytes"}  # else kv_bytes
ALL = "".join([
    method_table("baseline"), method_table("baseline", model="sender"),
    method_table("skyline"), method_table("skyline", model="sender"),
    method_table("kvcomm", ratio=[0.2, 0.3, 0.5, 0.7, 1.0]),
    method_table("kvcomm", ratio=0.3, alpha=0),
    method_table("kvcomm", ratio=0.5, alpha=0.25, mu=0.7, sigma=2, calibration_samples=3),
    method_table("kvcomm", layers=[1, 3]),
    method_table("random", ratio=0.5, seed=[0, 1]),
    method_table("contiguous", from_=1, to=2),
    method_table("kvcomm", layer_count=[1, 3]),
    method_table("kvcomm_s", ratio=[0.3, 0.7]),
    method_table("kvcomm_s", layers=[2]),
    method_table("ac", f=["replace", "sum", "mean"], k=2, j=1),
    method_table("ac", f="mean", k=0, j=3),
    method_table("nld", phase1_tokens=7),
    method_table("nld", phase1_tokens=5, sender_aware=[True, False]),
    method_table("cipher", phase1_tokens=4),
    method_table("cipher", phase1_tokens=5, sender_aware=[True, False], temperature=1.6),
])
CELLS = 30
SOME = "".join([
    method_table("baseline"),
    method_table("kvcomm", ratio=[0.3, 0.5]),
    method_table("kvcomm", ratio=0.3, alpha=0.25, mu=0.9, sigma=2),
    method_table("kvcomm_s", layers=[1, 3]),
    method_table("contiguous", from_=1, to=2),
])
DEBATES = method_table("nld") + method_table("cipher", temperature=1.6)


def near(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


def parsed(method):
    """'kvcomm(ratio=0.5, layers=[1, 2])' as its name and a dict."""
    name, _, inside = method.partition("(")
    parameters = {}
    for key, value in re.findall(r"(\w+)=(\[[^]]*\]|[^,)]*)", inside):
        try:
            parameters[key] = json.loads(value)
        except json.JSONDecodeError:
            parameters[key] = value
    return name, parameters


class Methods(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.text, cls.records, cls.models, cls.twins = Text(), records(), {}, {}
        for pair, (checkpoint, seeds, penalties) in PAIRS.items():
            for seed, penalty in sorted(set(zip(seeds, penalties))):  # one model where both ends are the same
                folder = cls.folder / "models" / pair / f"seed{seed}"
                make_model(folder, checkpoint)
                change_model(folder, seed, penalty, pair in GLOOMY)
                cls.models[pair, seed] = Model(folder)

    def swept(self, name, pairs=PAIRS, methods=ALL, run="", prompts=PROMPTS, ranks=1):
        """The tables of a sweep; nothing of it may fail but CIPHER's answers that end before they begin."""
        text = "".join(pair_table(*(f"{pair}/seed{seed}" for seed in PAIRS[pair][1]), name=pair) for pair in pairs)
        sweep = self.sweep(name, methods, self.records, text, run=run, max_new_tokens=MAX_NEW_TOKENS)
        wording = self.folder / f"{name}-prompts.toml"
        wording.write_text("[demo]\n" + toml_keys(prompts))
        outcome = sweep.run(name, ranks, sets=[f"paths.prompts={wording}"])
        found = tables(sweep.results(name)) if sweep.results(name).exists() else self.fail(str(outcome))
        self.check(outcome, 3 if found["samples"]["failed"].any() else 0)
        self.assertEqual(len(found["samples"]), len(found["cells"]) * len(self.records))
        return found

    def twin(self, pair, fidelity, prompts=PROMPTS):
        if (pair, fidelity) not in self.twins:
            sender, receiver = (self.models[pair, seed] for seed in PAIRS[pair][1])
            self.twins[pair, fidelity] = Twin(sender, receiver, self.text, prompts, self.records, fidelity,
                                              MAX_NEW_TOKENS)
        return self.twins[pair, fidelity]

    def compared(self, found, fidelity, prompts=PROMPTS):
        """{(pair, method): the twin's answers}, after all that the program says was held against them."""
        wrong, answers = [], {}
        twins = {pair: self.twin(pair, fidelity, prompts) for pair in set(found["cells"]["pair"])}
        for cell, of_cell in found["samples"].groupby("cell"):
            pair, method = of_cell["pair"].iloc[0], of_cell["method"].iloc[0]
            name, parameters = parsed(method)
            layers = found["layers"][found["layers"]["cell"] == cell].sort_values("layer")
            chosen = list(layers[layers["selected"] == 1]["layer"])
            where = f"{pair}, {method}"
            if name in ("kvcomm", "kvcomm_s") and "layers" not in parameters:
                wrong += [f"{where}: {what}" for what in self.differing_layers(layers, twins[pair], parameters)]
            expected = [twins[pair].answer(row.sample, name, chosen, **parameters) for row in of_cell.itertuples()]
            for row, answer in zip(of_cell.itertuples(), expected):
                wrong += [f"{where}, sample {row.sample}: {what}" for what in self.differing(row, answer)]
                if answer.whole and sorted({*chosen, *answer.whole[:fidelity.keep_layer0]}) != answer.whole:
                    wrong.append(f"{where}: layers {chosen} are sent, the twin chooses {answer.whole}")
            kind, total = KINDS.get(name, "kv_bytes"), sum(answer.payload for answer in expected)
            sums = found["cells"].iloc[cell]
            if not any(answer.failed for answer in expected) and sums[kind] != total:
                wrong.append(f"{where}: {kind} {sums[kind]}, the twin's are {total}")
            answers[pair, method] = expected
        self.assertFalse(bool(wrong), "\n".join([f"{len(wrong)} differences under {fidelity}", *wrong]))
        return answers

    def differing_layers(self, layers, twin, parameters):
        scoring = {key: parameters[key] for key in ("alpha", "mu", "sigma", "calibration_samples") if key in parameters}
        expected = {"importance": twin.importance(scoring.get("calibration_samples", 1)),
                    "prior": twin.prior(scoring.get("mu", 0.5), scoring.get("sigma", 10.0)),
                    "score": twin.scores(**scoring)}
        for name, values in expected.items():
            if not np.allclose(layers[name], values, rtol=0, atol=1e-5):
                yield f"{name} {list(layers[name])}, the twin's {list(values)}"
        ranked = list(layers.sort_values("rank")["layer"])
        if ranked != twin.ranking(**scoring):
            yield f"ranked {ranked}, the twin's ranking is {twin.ranking(**scoring)}"

    def differing(self, row, answer):
        """What a row of /samples says else than the twin; an answer may differ after a tie."""
        if row.failed != answer.failed:
            yield f"failed is {row.failed}, the twin's {answer.failed}"
        elif answer.failed:
            if row.score or row.answer:
                yield f"failed, but has score {row.score} and answer {row.answer!r}"
        elif (row.answer, row.output_tokens) != (answer.text.replace("\0", "\ufffd"), len(answer.ids)):  # HDF5: no NUL
            step = self.first_differing(row.answer, answer.ids)
            tie = any(abs(one - two) < TIE for one, two in [*answer.earlier, *answer.best[:step + 1]])
            one, two = answer.best[step]
            what = (f"{row.answer!r} ({row.output_tokens} tokens), the twin's {answer.text!r} {answer.ids}; its two "
                    f"best logits at step {step}: {one:.6f} and {two:.6f}")
            print(("tie: " if tie else "") + f"{row.pair}, {row.method}, sample {row.sample}: {what}", file=sys.stderr)
            if not tie:
                yield what
        elif row.payload_bytes != answer.payload:
            yield f"{row.payload_bytes} bytes of payload, the twin's {answer.payload}"
        elif answer.whole and row.layers_sent != len(answer.whole):
            yield f"{row.layers_sent} layers sent, the twin's {answer.whole}"

    def first_differing(self, text, ids):
        """The first step that the text tells apart; ids without text, or with half a letter, may differ before."""
        for step in range(len(ids)):
            if not text.startswith(self.text.decode(ids[:step + 1]).rstrip("\ufffd")):
                return step
        return len(ids) - 1


class TwinItself(unittest.TestCase):
    """The twin's decoder against transformers 4.53.3, as dumped by make_references.py; twin_check.py does more."""

    def test_dumps(self):
        for folder in sorted(CHECKPOINTS.iterdir()):
            with self.subTest(folder.name):
                model, dump = Model(folder), read_weights(folder / "reference.safetensors")
                ids, context = [int(i) for i in dump["ids"]], 11
                sequence = Sequence(model)
                near(sequence.feed(model.table[ids]), dump["logits"][-1])
                near([k for k, _ in sequence.own], dump["k"])
                near([v for _, v in sequence.own], dump["v"])
                unending = ([], 1.0)
                self.assertEqual(greedy(Sequence(model), model.table[ids], 24, unending)[0], list(dump["greedy"]))
                nothing = (np.zeros((0, model.kv_heads, model.head_dim)),) * 2
                past = [(k[:context], v[:context]) if layer in (0, 2) else nothing
                        for layer, (k, v) in enumerate(sequence.own)]
                receiver = Sequence(model, past, [context] * model.layers)
                asked = model.table[ids[context:]]
                self.assertEqual(greedy(receiver, asked, 24, unending)[0], list(dump["shared_greedy"]))


class EveryMethod(Methods):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.answers = {}

    def answers_of(self, fidelity, values):
        """The twin's answers, after the program's were held against them, once for all tests."""
        if fidelity not in self.answers:
            found = self.swept(fidelity, run=f'fidelity = "{fidelity}"')
            self.answers[fidelity] = self.compared(found, values)
        return self.answers[fidelity]

    def test_paper(self):
        self.check_informative(self.answers_of("paper", PAPER))

    def test_release(self):
        self.check_informative(self.answers_of("release", RELEASE))

    def check_informative(self, answers):
        """Else equal answers would show little."""
        self.assertEqual(len(answers), len(PAIRS) * CELLS)
        for pair in PAIRS:
            of_pair = {method: of_method for (name, method), of_method in answers.items() if name == pair}
            self.assertGreater(len({tuple(a.text for a in of_method) for of_method in of_pair.values()}), 18, pair)
            for method, of_method in of_pair.items():
                told = {answer.text for answer in of_method}
                self.assertGreater(len(told), 4, f"{pair}, {method}: {told}")
        every = [answer for of_method in answers.values() for answer in of_method]
        ends = [answer.ids[-1] if len(answer.ids) < MAX_NEW_TOKENS else None for answer in every if not answer.failed]
        for end in (2, 3, None):  # config.json's, generation_config.json's other one, the limit
            self.assertGreater(ends.count(end), 20, end)
        failed = sum(answer.failed for answer in every)
        self.assertTrue(10 < failed < 100, failed)

    def test_fidelities_differ(self):
        paper, release = self.answers_of("paper", PAPER), self.answers_of("release", RELEASE)
        for start, at_least in (("kvcomm(", 20), ("kvcomm_s(", 20), ("ac(", 3), ("nld(", 3), ("cipher(", 3)):
            differing = sum(one.ids != other.ids for key in paper if key[1].startswith(start)
                            for one, other in zip(paper[key], release[key]))
            self.assertGreater(differing, at_least, start)
        for pair, (_, _, penalties) in PAIRS.items():  # the answering model's penalty, and nothing else, matters
            for method, penalty in zip(("baseline(model=sender)", "baseline"), penalties):
                texts = [[answer.text for answer in answers[pair, method]] for answers in (paper, release)]
                self.assertEqual(texts[0] != texts[1], penalty is not None, f"{pair}, {method}")

    def test_lengths(self):
        """Contexts shorter than the question, as long, one token shorter, and much longer."""
        twin = self.twin("llama", PAPER)
        lengths = [(len(twin.context_ids(record)), len(twin.question_ids(record))) for record in self.records]
        for name, holds in {"shorter": lambda c, q: 3 * c < q, "equal": lambda c, q: c == q,
                            "one shorter": lambda c, q: c == q - 1, "longer": lambda c, q: c > 5 * q}.items():
            self.assertTrue(any(holds(*pair) for pair in lengths), f"{name}: {lengths}")


class Wording(Methods):
    """What stands in the prompts' file, and braces in the data, reach the models as they are."""

    PROMPTS = {
        "sender": "Read {context} {or not}", "receiver": "Say {question}", "baseline": "Guess {question}",
        "skyline": "{question} in {context}", "sender_summary": "Sum up {context}", "answer_prefix": " So it is",
        "refine": "{prompt}\nI: {own_answer}\nThey: {other_answers}\nNow?", "other_answer": "{index}. {answer}",
    }
    RECORDS = [{"id": "braces", "context": "the {question} was {own_answer}", "question": "{context} or {prompt}?"},
               {"id": "blanks", "context": " storm\n", "question": "\twho came "},
               {"id": "plain", "context": "the master wrote down every ship", "question": "and the children?"}]

    def test_wording(self):
        self.records = [{**record, "answers": ["storm"]} for record in self.RECORDS]
        methods = SOME + DEBATES + "[fidelity]\nphase1_tokens = 6\n"
        found = self.swept("wording", ("llama-two", "qwen2-two"), methods, prompts=self.PROMPTS, ranks=2)
        self.compared(found, replace(PAPER, phase1_tokens=6), self.PROMPTS)


class SingleFields(Methods):
    """Fields of the fidelity set alone: each does its own part, with the others left as they were."""

    FIELDS = [
        (PAPER, {"sink_token": True}),
        (PAPER, {"unselected_prefill": "first_columns"}),
        (PAPER, {"sink_token": True, "unselected_prefill": "first_columns"}),
        (PAPER, {"keep_layer0": True}),
        (PAPER, {"importance_from": 1}),
        (PAPER, {"importance_mask": "visible_plus_one"}),
        (PAPER, {"layer_count": "floor", "prior": "normalised"}),
        (PAPER, {"shifted_start": 3}),
        (PAPER, {"generation": "per_method", "phase1_tokens": 6, "sender_aware": False}),
        (RELEASE, {"sink_token": False}),
        (RELEASE, {"keep_layer0": False}),
        (RELEASE, {"unselected_prefill": "causal"}),
        (RELEASE, {"generation": "common", "phase1_tokens": 4}),
    ]
    PAIRS = ("qwen2-two", "llama3-tied")

    def test_fields(self):
        for place, (fidelity, fields) in enumerate(self.FIELDS):
            with self.subTest(fields=fields, release=fidelity == RELEASE):
                methods = SOME + (DEBATES if "phase1_tokens" in fields else "") + "[fidelity]\n" + toml_keys(fields)
                run = f'fidelity = "{"release" if fidelity == RELEASE else "paper"}"'
                found = self.swept(f"fields{place}", self.PAIRS, methods, run)
                changed = self.compared(found, replace(fidelity, **fields))
                self.assertNotEqual(self.told(changed, replace(fidelity, **fields)), self.told(changed, fidelity))

    def told(self, answers, fidelity):
        """All that shows which fidelity is at work, for methods that do without the program's draws."""
        told = []
        for pair in self.PAIRS:
            twin = self.twin(pair, fidelity)
            told += [list(twin.importance().round(6)), twin.scores(alpha=0.5).tolist()]
            for name, method in answers:
                if name == pair and parsed(method)[0] != "nld":
                    told += [twin.answer(at, parsed(method)[0], **parsed(method)[1]) for at in range(len(self.records))]
        return told


if __name__ == "__main__":
    main()
