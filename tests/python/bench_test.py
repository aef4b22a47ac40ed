"""What launch/bench.sh makes of what it measured: targets, llama-bench's JSON, the record. No torch.

Run by ctest as: bench_test.py <repository>
"""

import json
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(sys.argv[1]) / "launch/bench"))
import record  # noqa: E402
import targets  # noqa: E402
import tokens  # noqa: E402
from measured import AS_A_USER, BOTH_8, METHODS, Case, Measured  # noqa: E402

LLAMA = '''[{"n_prompt": %d, "n_gen": %d, "n_depth": 0, "avg_ts": %f, "samples_ts": [1.0]}]'''


def measured(seconds, answers=("a", "b"), **more):
    return Measured(seconds=seconds, prefill_s=1, decode_s=0.5, answers=list(answers),
                    context_tokens=[3, 4], prompt_tokens=[5, 6], output_tokens=[1, 1], **more)


class Targets(unittest.TestCase):
    def test_each_is_of_a_case_that_is_measured(self):
        cases = {str(Case(dtype, dataset, method, *batches)) for dtype in ("float32", "bfloat16")
                 for dataset in ("countries", "tipsheets") for method in METHODS
                 for batches in METHODS[method].batches + METHODS[method].once}
        cases |= set(map(str, tokens.TOKENS))
        self.assertLessEqual({target.name for target in targets.TARGETS}, cases)
        self.assertEqual(len({(t.name, t.figure) for t in targets.TARGETS}), len(targets.TARGETS))

    def test_the_rounds_median_meets_it_or_not(self):
        line = {"name": "float32 countries kvcomm batch default against 1"}
        for ratios, met in (([3.9, 4.0, 9.0], True), ([3.9, 3.99, 9.0], False)):
            [found] = [t for t in targets.verdicts([line | {"figures": {"ratio": ratios}}]) if t["rounds"]]
            self.assertEqual((found["goal"], found["reached"], found["met"]), (4, ratios[1], met))

    def test_what_was_not_measured_is_neither(self):
        for verdict in targets.verdicts([]):
            self.assertNotIn("met", verdict)
        self.assertIn("not measured", record.targets_table(targets.verdicts([])))


class TokensPerSecond(unittest.TestCase):
    def test_llama_bench_is_read_whichever_test_comes_first(self):
        prompt, generation = LLAMA % (512, 0, 812.5), LLAMA % (0, 128, 40.25)
        for texts in ((prompt, generation), (generation, prompt)):
            self.assertEqual(tokens.read_llama(*texts), tokens.Speed(812.5, 40.25))

    def test_kvcomms_record_is_read(self):
        row = {"prompt_tokens_per_s": 900.5, "generated_tokens_per_s": 50.25, "batch": 1,
               "prefill_share_of_product": 0.9, "decode_share_of_read": 0.8}
        self.assertEqual(tokens.read_kvcomm(json.dumps({"bench": "model", "rows": [row]})),
                         tokens.Speed(900.5, 50.25, 0.9, 0.8))

    def test_rounds_have_shares_and_ratios(self):
        rounds = [(tokens.Speed(200, 30, 0.9, 0.8), tokens.Speed(100, 40)),
                  (tokens.Speed(300, 50, 0.7, 0.6), tokens.Speed(100, 50))]
        shares = {"of product": [0.9, 0.7], "of read": [0.8, 0.6]}
        self.assertEqual(tokens.line(tokens.TOKENS[0], rounds)["figures"],
                         shares | {"prompt": [2, 3], "generation": [0.75, 1]})
        alone = tokens.line(tokens.TOKENS[0], [(ours, None) for ours, _ in rounds])
        self.assertEqual((alone["figures"], alone["llama.cpp"]), (shares, []))


class Record(unittest.TestCase):
    def setUp(self):
        default, eight = (Case("float32", "countries", "kvcomm", *b) for b in (AS_A_USER, BOTH_8))
        results = {default: [(measured(1, batch=16), measured(s)) for s in (4.5, 4.1, 4.2)],
                   eight: [(measured(1, batch=8), measured(1.2, ("a", "other")))]}
        speeds = {tokens.TOKENS[0]: [(tokens.Speed(200, 30, 0.9, 0.8), tokens.Speed(100, 40))]}
        about = {"date": "2026-01-02", "cpu": "A CPU", "cores": 2, "threads": 2, "data": "made",
                 "llama.cpp": "llama-bench of 1.2", "load_before": [0.1, 0.2, 3.0]}
        limits = {"products": {"float32": {1: 1e9, 8: 2e9}}, "reads": {"torch sum": 3e9}}
        self.raw = record.made(about, results, speeds, [], limits)

    def test_targets_are_told_first(self):
        page = record.page(self.raw)
        self.assertLess(page.index("## Targets"), page.index("## Methods"))
        self.assertIn("| float32 countries kvcomm batch default against 1 | 4.00 | 4.20 | 4.10 to 4.50 | 3 | yes |",
                      page)
        self.assertIn("| float32 countries kvcomm batch 8 | 1.50 | 1.20 | 1.20 to 1.20 | 1 | **no** |", page)
        self.assertIn("generated tokens/s / llama.cpp's | tokens float32 batch 1 | 0.95 | 0.75 |", page)
        self.assertIn("of a bare read | tokens float32 batch 1 | 85% | 80% |", page)
        self.assertIn("A default batch holds up to 16 samples.", page)

    def test_a_busy_machine_is_told(self):
        self.assertNotIn("Beware", record.page(self.raw))
        self.raw["about"][0]["load_before"][0] = 1.5
        self.assertIn("**Beware: the machine was busy", record.page(self.raw))

    def test_float32_answers_that_differ_are_listed(self):
        self.assertIn("- float32 countries kvcomm batch 8, sample 1: 'b' and 'other'", record.page(self.raw))

    def test_json_has_a_line_an_item(self):
        with tempfile.TemporaryDirectory() as folder:
            path = record.write(Path(folder), self.raw)
            self.assertEqual(path.name, "2026-01-02-a-cpu-2c-cpu.md")
            text = path.with_suffix(".json").read_text()
        self.assertEqual(json.loads(text)["runs"][1]["transformers"]["seconds"], 4.1)
        items = sum(map(len, self.raw.values()))
        self.assertEqual(len(text.splitlines()), 2 + len(self.raw) + items)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
