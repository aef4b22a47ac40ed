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
from support import (CHECKPOINTS, SystemTest, dataset_table, main, make_model, method_table,  # noqa: E402
                     pair_table, rows, tables, toml_keys)
from twin import Model, Sequence, greedy, read_weights  # noqa: E402
from twin_case import (ENDS, GLOOMY, MAX_NEW_TOKENS, PAIRS, PROMPTS, TEAMS, TRIO, Text, change_model,  # noqa: E402
                       records, several)
from twin_methods import PAPER, RELEASE, Twin, mix  # noqa: E402

TIE = 1e-4  # two best logits as near as this may change places in float32
WHOLE = "kvcomm(ratio=1)"
FIDELITIES = {"paper": PAPER, "release": RELEASE}
KINDS = {"nld": "token_bytes", "cipher": "vector_bytes", "ac": "hidden_bytes",
         "hidden_prepend": "hidden_bytes"}  # else kv_bytes
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
    PAIRS, PROMPTS = PAIRS, PROMPTS
    KIND = "demo"  # the table of the prompts

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.text, cls.records, cls.models, cls.twins = Text(), records(), {}, {}
        for pair, (checkpoint, seeds, penalties) in cls.PAIRS.items():
            for seed, penalty in sorted(set(zip(seeds, penalties))):  # one model where ends are the same
                folder = cls.folder / "models" / pair / f"seed{seed}"
                make_model(folder, checkpoint)
                change_model(folder, seed, penalty, pair in GLOOMY)
                cls.models[pair, seed] = Model(folder)

    def written(self, name, methods, pairs, run):
        """The sweep's file, on the records as the data set `demo`."""
        return self.sweep(name, methods, self.records, pairs, run=run, max_new_tokens=MAX_NEW_TOKENS)

    def swept(self, name, pairs=None, methods=ALL, run="", ranks=1):
        """The tables of a sweep; nothing of it may fail but CIPHER's answers that end before they begin."""
        text = ""
        for pair in pairs or self.PAIRS:
            *senders, receiver = (f"{pair}/seed{seed}" for seed in self.PAIRS[pair][1])
            text += pair_table(senders if len(senders) > 1 else senders[0], receiver, name=pair)
        sweep = self.written(name, methods, text, run)
        wording = self.folder / f"{name}-prompts.toml"
        wording.write_text(f"[{self.KIND}]\n" + toml_keys(self.PROMPTS))
        outcome = sweep.run(name, ranks, sets=[f"paths.prompts={wording}"])
        found = tables(sweep.results(name)) if sweep.results(name).exists() else self.fail(str(outcome))
        self.check(outcome, 3 if found["samples"]["failed"].any() else 0)
        self.assertEqual(set(found["samples"]["cell"]), set(range(len(found["cells"]))))
        return found

    def twin(self, pair, fidelity, **options):
        key = pair, fidelity, *options.items()
        if key not in self.twins:
            *senders, receiver = (self.models[pair, seed] for seed in self.PAIRS[pair][1])
            self.twins[key] = Twin(senders, receiver, self.text, self.PROMPTS, self.records, fidelity, MAX_NEW_TOKENS,
                                   **options)
        return self.twins[key]

    def compared(self, found, fidelity, limit=None, **options):
        """{(pair, method): the twin's answers}, after all that the program says was held against them.

        limit: the sweep's; options: the twins'
        """
        wrong, answers = [], {}
        for cell, sums in found["cells"].iterrows():
            pair, method = sums["pair"], sums["method"]
            (name, parameters), twin = parsed(method), self.twin(pair, fidelity, **options)
            its = {table: frame[frame["cell"] == cell] for table, frame in found.items() if "cell" in frame}
            layers = its["layers"].sort_values("layer")
            chosen = list(layers[layers["selected"] == 1]["layer"])
            differences = [*self.differing_places(its["samples"], sums, parameters, limit)]
            if "recalibrate_every" in parameters:
                whole = found["samples"][(found["samples"]["pair"] == pair) & (found["samples"]["method"] == WHOLE)]
                differences += self.differing_recalibrations(its, sums, parameters, whole, twin)
            elif name in ("kvcomm", "kvcomm_s") and "layers" not in parameters:
                differences += self.differing_layers(layers, twin, parameters)
            expected = [twin.answer(place, name, chosen, **parameters) for place in its["samples"]["sample"]]
            for row, answer in zip(its["samples"].itertuples(), expected):
                parts = its["senders"][its["senders"]["sample"] == row.sample].sort_values("sender")
                differences += [f"sample {row.sample}: {what}" for what in
                                [*self.differing(row, answer), *self.differing_parts(parts, row, answer)]]
                sent = sorted({*chosen, *answer.whole[:fidelity.keep_layer0]})
                if "recalibrate_every" not in parameters and sent != answer.whole:
                    differences.append(f"layers {chosen} are sent, the twin chooses {answer.whole}")
            kind, total = KINDS.get(name, "kv_bytes"), sum(answer.payload for answer in expected)
            if not any(answer.failed for answer in expected) and sums[kind] != total:
                differences.append(f"{kind} {sums[kind]}, the twin's are {total}")
            wrong += [f"{pair}, {method}: {what}" for what in differences]
            answers[pair, method] = expected
        self.assertFalse(bool(wrong), "\n".join([f"{len(wrong)} differences under {fidelity}", *wrong]))
        return answers

    def check_various(self, answers, at_least):
        """So many methods of each pair answer differently, else equal answers would show little."""
        for pair in self.PAIRS:
            told = {tuple(answer.text for answer in of_method) for (name, _), of_method in answers.items()
                    if name == pair}
            self.assertGreaterEqual(len(told), at_least, pair)

    def differing_places(self, samples, sums, parameters, limit):
        """Samples held out for calibration are the last ones, whatever the limit."""
        held = parameters.get("calibration_samples", 1) if parameters.get("calibration") == "held_out" else 0
        places = list(range(min(limit or len(self.records), len(self.records) - held)))
        if sorted(samples["sample"]) != places or sums["n"] != len(places):
            yield f"n is {sums['n']} with samples {sorted(samples['sample'])}, {places} are due"

    def differing_layers(self, layers, twin, parameters):
        scoring = {key: parameters[key] for key in ("alpha", "mu", "sigma", "calibration_samples", "calibration")
                   if key in parameters}
        calibrating = {key: value for key, value in scoring.items() if key.startswith("calibration")}
        expected = {"importance": twin.importance(**calibrating),
                    "prior": twin.prior(scoring.get("mu", 0.5), scoring.get("sigma", 10.0)),
                    "score": twin.scores(**scoring)}
        for name, values in expected.items():
            if not np.allclose(layers[name], values, rtol=0, atol=1e-5):
                yield f"{name} {list(layers[name])}, the twin's {list(values)}"
        ranked = list(layers.sort_values("rank")["layer"])
        if ranked != twin.ranking(**scoring):
            yield f"ranked {ranked}, the twin's ranking is {twin.ranking(**scoring)}"

    def differing_recalibrations(self, its, sums, parameters, whole, twin):
        """What is chosen anew, and the cell's score; whole: rows of all layers, as a recalibration shares them."""
        every, recalibrations = parameters["recalibrate_every"], its["recalibrations"].sort_values("sample")
        if list(recalibrations["sample"]) != list(range(0, len(its["samples"]), every)) or len(its["layers"]):
            yield f"recalibrated at {list(recalibrations['sample'])}, with {len(its['layers'])} rows of /layers"
        for row in recalibrations.itertuples():
            importance = twin.importance(recalibrate_every=every, place=row.sample)
            if not np.allclose(json.loads(row.importance), importance, rtol=0, atol=1e-5):
                yield f"importance {row.importance} at {row.sample}, the twin's {list(importance)}"
            chosen = sorted(twin.chosen(place=row.sample, **parameters))
            if json.loads(row.layers) != chosen:
                yield f"layers {row.layers} at {row.sample}, the twin chooses {chosen}"
            shared = [(one.answer, one.score, one.payload_bytes) for one in whole.itertuples()
                      if one.sample == row.sample]
            if [(row.answer, row.score, row.bytes)] != shared or row.return_bytes <= 0:
                yield f"{row}; {WHOLE} has {shared}"
        scores = [*its["samples"]["score"], *(recalibrations["score"] if twin.fidelity == RELEASE else [])]
        if not np.isclose(sums["score"], np.mean(scores)):
            yield f"score {sums['score']}, the mean of {scores} is {np.mean(scores)}"

    def differing_parts(self, parts, row, answer):
        """What /senders says of a row else than the twin, and than the row, which is their sum."""
        if len(self.PAIRS[row.pair][1]) == 2:
            if len(parts):
                yield f"{len(parts)} rows of /senders for one"
            return
        for name in ("context_tokens", "payload_bytes", "header_bytes"):
            if parts[name].sum() != getattr(row, name):
                yield f"{name} {list(parts[name])} of the senders, {getattr(row, name)} of all"
        found = list(parts["context_tokens"]), list(parts["payload_bytes"])
        expected = answer.context, answer.sent
        # Where nothing is sent there may be rows; where the sums differ, differing() told it, or why they may.
        if answer.sent and row.payload_bytes == answer.payload and found != expected:
            yield f"{found} are the senders' tokens and bytes, the twin's {expected}"

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
        elif row.context_tokens != sum(answer.context):
            yield f"{row.context_tokens} tokens of context, the twin's {answer.context}"
        elif answer.whole and row.layers_sent != len(answer.whole):
            yield f"{row.layers_sent} layers sent, the twin's {answer.whole}"

    def first_differing(self, text, ids):
        """The first step that the text tells apart; ids without text, or with half a letter, may differ before."""
        for step in range(len(ids)):
            if not text.startswith(self.text.decode(ids[:step + 1]).rstrip("\ufffd")):
                return step
        return len(ids) - 1


class TwinItself(unittest.TestCase):
    """The twin's decoder against transformers 4.53.3, as dumped by make_references.py (twin_check.py does more), and
    its random numbers against published ones."""

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

    def test_splitmix(self):
        """The first numbers of splitmix64 for the seed 1234567, as its users publish them."""
        states = 1234567 + 0x9E3779B97F4A7C15 * np.arange(3, dtype=np.uint64)
        expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
        self.assertEqual([mix(int(state)) for state in states], expected)
        self.assertEqual(list(mix(states)), expected)


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
        found = self.swept("wording", ("llama-two", "qwen2-two"), methods, ranks=2)
        self.compared(found, replace(PAPER, phase1_tokens=6))


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
    PAIRS = {pair: PAIRS[pair] for pair in ("qwen2-two", "llama3-tied")}

    def test_fields(self):
        for place, (fidelity, fields) in enumerate(self.FIELDS):
            with self.subTest(fields=fields, release=fidelity == RELEASE):
                methods = SOME + (DEBATES if "phase1_tokens" in fields else "") + "[fidelity]\n" + toml_keys(fields)
                run = f'fidelity = "{"release" if fidelity == RELEASE else "paper"}"'
                found = self.swept(f"fields{place}", methods=methods, run=run)
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


class Several(Methods):
    """Samples of three texts, each in a field of its own: of two senders the first reads one, the second two."""

    ALONE = ("qwen2-two", "llama3-tied")
    PAIRS = {pair: PAIRS[pair] for pair in ALONE} | {"llama-team": TEAMS["llama-team"]}
    PROMPTS = PROMPTS | {"other_answer": "{index} wrote {answer}"}
    METRIC = "edit_similarity"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.records = several(3)

    def written(self, name, methods, pairs, run):
        """The sweep's file, on the records as data of one's own."""
        fields = [f"text{place}" for place in range(len(self.records[0]["context"]))]
        data = self.folder / f"{name}.jsonl"
        data.write_text("".join(json.dumps(record | dict(zip(fields, record["context"]))) + "\n"
                                for record in self.records))
        dataset = dataset_table("mine", data, id="id", context=fields, question="question", answers="answers",
                                prompts=self.KIND, metric=self.METRIC, max_new_tokens=MAX_NEW_TOKENS)
        return self.sweep_on(name, dataset, methods, pairs, run=run)

    def check_apart(self, answers, start):
        """Methods whose labels begin so answer differently, else equal answers would show little."""
        for pair in {pair for pair, _ in answers}:
            told = [tuple(answer.text for answer in of_method) for (name, method), of_method in answers.items()
                    if name == pair and method.startswith(start)]
            self.assertGreater(len(told), 1, f"{pair}, {start}")
            self.assertEqual(len(set(told)), len(told), f"{pair}, {start}")


class TwoSenders(Several):
    """Several senders, of models of their own or of one model, in worlds of one rank and of several."""

    PAIRS = TEAMS | TRIO
    METHODS = "".join([
        method_table("baseline"), method_table("skyline"),
        method_table("kvcomm", ratio=[0.3, 0.5]),
        method_table("kvcomm", ratio=0.5, alpha=0.25, mu=0.7, sigma=2, calibration_samples=3),
        method_table("kvcomm_s", ratio=0.5),
        method_table("kvcomm_s", layers=[1, 3]),
        method_table("random", ratio=0.5, seed=1),
        method_table("contiguous", from_=1, to=2),
        method_table("nld", phase1_tokens=5, sender_aware=[True, False]),
        method_table("cipher", phase1_tokens=4),
        method_table("cipher", phase1_tokens=5, temperature=1.6),
    ])

    def check_worlds(self, fidelity, *worlds):
        for ranks in worlds:
            found = self.swept(f"{fidelity}{ranks}", TEAMS, self.METHODS, f'fidelity = "{fidelity}"', ranks)
            answers = self.compared(found, FIDELITIES[fidelity])
            alone, these = (rows(self.folder / f"{fidelity}{world}/results.h5", ("header_bytes",))
                            for world in (1, ranks))
            self.assertEqual(alone, these, f"{ranks} ranks")
        for key, of_method in answers.items():
            self.assertGreater(len({answer.text for answer in of_method}), 4, key)
        for start in ("nld(", "cipher("):
            self.check_apart(answers, start)

    def test_paper(self):
        self.check_worlds("paper", 1, 3, 6)

    def test_release(self):
        self.check_worlds("release", 1, 3)

    def test_three_senders(self):
        self.records = several(5)
        self.compared(self.swept("trio", TRIO, self.METHODS, 'fidelity = "release"', ranks=4), RELEASE)

    def test_prompts_too_long(self):
        most = {"max_input_tokens": 150}
        found = self.swept("long", TEAMS, self.METHODS, toml_keys({"fidelity": "release", **most}))
        self.compared(found, RELEASE, **most)
        whole, cut = (self.twin("llama-team", RELEASE, **options) for options in ({}, most))
        cuts = {tuple(len(one) < len(other) for one, other in zip(cut.said(sample), whole.said(sample)))
                for sample in self.records}
        self.assertEqual(len(cuts), 4, "both senders' prompts are cut, either alone, or none")

    def test_cases(self):
        """Questions between one context and both in length, and a sender that ends otherwise than the receiver."""
        twin = self.twin("llama-team", PAPER)
        prompts = [(*twin.said(sample), twin.question_ids(sample)) for sample in self.records]
        self.assertTrue(any(len(one) < len(asked) <= len(one) + len(two) for one, two, asked in prompts))
        lasts = [twin.plain(twin.senders[1], two, 5)[0][-1] for _, two, _ in prompts]
        self.assertTrue({*lasts} & {*ENDS[5]} - {*twin.receiver.generation_eos}, lasts)


class Online(Several):
    """Layers that are chosen anew every T samples."""

    METHODS = "".join([
        method_table("kvcomm", ratio=1.0),
        method_table("kvcomm", ratio=0.5, recalibrate_every=[1, 2, 4]),
        method_table("kvcomm", ratio=0.3, alpha=0.25, mu=0.7, sigma=2, recalibrate_every=2),
        method_table("kvcomm", layer_count=1, recalibrate_every=2),
        method_table("kvcomm_s", ratio=0.5, recalibrate_every=4),
    ])

    def check_online(self, fidelity, pairs, ranks):
        found = self.swept(f"{fidelity}{ranks}", pairs, self.METHODS, f'fidelity = "{fidelity}"', ranks)
        self.compared(found, FIDELITIES[fidelity])
        for pair in pairs:
            of_pair = found["recalibrations"][found["recalibrations"]["pair"] == pair]
            self.assertGreater(len(set(of_pair["layers"])), 3, pair)
            self.assertGreater(len(set(of_pair["score"])), 3, pair)

    def test_paper(self):
        self.check_online("paper", self.ALONE, 1)

    def test_release(self):
        self.check_online("release", self.ALONE, 4)

    def test_two_senders(self):
        self.check_online("release", ["llama-team"], 3)


class Controls(Several):
    """Messages of other samples, of zeros and of noise; layers are chosen as without them."""

    ALL = ["deranged", "zero", "noise"]
    SHARED = "".join([
        method_table("kvcomm", ratio=0.5),
        method_table("kvcomm", ratio=0.5, control=ALL),
        method_table("kvcomm", ratio=0.3, calibration_samples=3, control="noise", control_seed=[3, 4]),
        method_table("kvcomm_s", ratio=0.5, control=ALL),
        method_table("random", ratio=0.5, seed=1, control="noise"),
        method_table("contiguous", from_=1, to=2, control="deranged"),
        method_table("nld", phase1_tokens=5),
        method_table("nld", phase1_tokens=5, control="deranged"),
        method_table("cipher", phase1_tokens=4, temperature=1.6),
        method_table("cipher", phase1_tokens=4, temperature=1.6, control=ALL),
    ])
    METHODS = SHARED + method_table("ac", f="replace", k=2, j=1) + method_table(
        "ac", f=["replace", "sum"], k=2, j=1, control=ALL)

    def check_controls(self, fidelity, pairs, methods, ranks=1):
        found = self.swept(f"{fidelity}{ranks}", pairs, methods, f'fidelity = "{fidelity}"', ranks)
        answers = self.compared(found, FIDELITIES[fidelity])
        for start in ("kvcomm(ratio=0.5", "kvcomm(ratio=0.3", "nld(", "cipher("):
            self.check_apart(answers, start)

    def test_paper(self):
        self.check_controls("paper", self.ALONE, self.METHODS)

    def test_release(self):
        self.check_controls("release", self.ALONE, self.METHODS, ranks=2)

    def test_two_senders(self):
        self.check_controls("release", ["llama-team"], self.SHARED, ranks=3)

    def test_limit(self):
        """The last sample that is asked takes the message of the next one all the same."""
        methods = method_table("kvcomm", ratio=0.5, control="deranged")
        self.compared(self.swept("limit", self.ALONE, methods, "limit = 4"), PAPER, limit=4)


class HeldOut(Several):
    """Calibration on the last samples, which the cells that it serves do not score."""

    METHODS = "".join([
        method_table("baseline"),
        method_table("kvcomm", ratio=0.5, calibration=["evaluated", "held_out"]),
        method_table("kvcomm", ratio=0.3, alpha=0.8, calibration_samples=3, calibration=["evaluated", "held_out"]),
        method_table("kvcomm_s", ratio=0.5, calibration_samples=2, calibration="held_out"),
        method_table("kvcomm", ratio=0.5, calibration_samples=2, calibration="held_out", control="deranged"),
    ])

    def test_paper(self):
        self.compared(self.swept("paper", self.ALONE, self.METHODS), PAPER)

    def test_release(self):
        self.compared(self.swept("release", self.ALONE, self.METHODS, 'fidelity = "release"', ranks=2), RELEASE)

    def test_limit(self):
        """The limit is less than what the shortest calibration leaves, and more than what the longest does."""
        self.compared(self.swept("limit", self.ALONE, self.METHODS, "limit = 7"), PAPER, limit=7)

    def test_two_senders(self):
        found = self.swept("team", ["llama-team"], self.METHODS, 'fidelity = "release"', ranks=3)
        self.compared(found, RELEASE)


class HiddenStudy(Methods):
    """All tokens of the context, as they are at the input of one layer, in front of the question at another's."""

    METHODS = "".join([
        method_table("hidden_prepend", k=[0, 2], j=[0, 1, 3]),
        method_table("hidden_prepend", k=1, j=3),
        method_table("hidden_prepend", k=3, j=3),
        method_table("hidden_prepend", k=2, j=1, control=Controls.ALL),
    ])

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Contexts shorter than the question, as long, and longer; the longest takes the twin as long as all of these.
        cls.records = [cls.records[place] for place in (2, 3, 4, 6, 8)]

    def check_study(self, fidelity, run="", ranks=1):
        found = self.swept(fidelity, None, self.METHODS, f'fidelity = "{fidelity}"\n{run}', ranks)
        answers = self.compared(found, FIDELITIES[fidelity])
        self.check_various(answers, 11)

    def test_paper(self):
        self.check_study("paper")

    def test_release(self):
        self.check_study("release", "prefill_tokens = 16", ranks=2)


class TokenStudy(Several):
    """Prompts of which all tokens but one are erased at the input of a layer, or that one; letters and texts."""

    PAIRS, KIND, METRIC = PAIRS, "choice", "accuracy"
    MODES, MODELS, READS = ["retain", "remove"], ["receiver", "sender"], ["question", "context_and_question"]
    LETTERS = "".join([
        method_table("token_study", layer=[0, 1, 3], mode=MODES, token=["first", "last", "none"]),
        method_table("token_study", layer=[0, 1, 3], mode=MODES, token="random", draw=["sample", "layer"],
                     token_seed=[0, 7]),
    ])
    TEXTS = "".join([
        method_table("token_study", model=MODELS, reads=READS, layer=1, answer=["letter", "text"]),
        method_table("token_study", layer=0, mode=MODES, token="first", answer="text"),
        method_table("token_study", layer=[0, 3], mode=MODES, token="random", draw="layer", token_seed=7, answer="text"),
        method_table("token_study", layer=1, mode="remove", token="random", token_seed=0, draw="sample", answer="text"),
        method_table("token_study", layer=3, mode="retain", token="none", answer="text"),
        method_table("token_study", reads=READS[1], layer=0, mode="remove", token="none", answer="text"),
    ])

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.records = [{**record, "answers": [letter]} for letter, record in zip("ABCDA", several(1))]

    def test_letters(self):
        found = self.swept("letters", methods=self.LETTERS, run="prefill_tokens = 16")
        self.check_various(self.compared(found, PAPER), 13)

    def test_texts(self):
        self.check_various(self.compared(self.swept("texts", methods=self.TEXTS), PAPER), 13)

    def test_prompts_too_long(self):
        most = {"max_input_tokens": 60}
        run = toml_keys({"fidelity": "release", "prefill_tokens": 16, **most})
        self.check_various(self.compared(self.swept("long", None, self.TEXTS, run, ranks=2), RELEASE, **most), 13)


if __name__ == "__main__":
    main()
