"""What launch/gpu_check.sh makes of what it finds, without a bundle or a GPU.

Run by ctest as: gpu_check_test.py <repository>
"""

import io
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import unittest
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(sys.argv[1])
sys.path.insert(0, str(ROOT / "launch/gpu_check"))
import check  # noqa: E402
import correctness  # noqa: E402
import journal  # noqa: E402
import shapes  # noqa: E402
import speed  # noqa: E402
from session import Done, Failed, Session, Skipped, json_of  # noqa: E402

CELL = {"t": "cell", "key": "k1", "pair": "p", "dataset": "d", "method": "kvcomm(ratio=0.5)", "xxh3": "0"}


def sample(number, **values):
    return {"t": "sample", "key": "k1", "sample": number, "answer": "blue", "payload_bytes": 100, "output_tokens": 5,
            "decode_s": 0.5, "wire_exposed_s": 0.0, "wire_hidden_s": 0.0} | values


def written(folder, *records):
    """A run's journal of these records, read back."""
    (folder / "journal").mkdir(parents=True)
    (folder / "journal/run.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return journal.read(folder)


class InAFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.log = io.StringIO()
        bundle = SimpleNamespace(environment=dict(os.environ), folder=self.folder)
        folders = (self.folder, self.folder)
        self.session = Session(bundle=bundle, device="cpu", card="Card", folders=folders, log=self.log)
        self.session.begin("step", 10)

    def noted(self, work):
        """What `work` notes and prints."""
        out = io.StringIO()
        with redirect_stdout(out):
            work()
        return self.session.checks, out.getvalue()


class Journals(InAFolder):
    def test_rows_carry_their_cells_names(self):
        read = written(self.folder / "a", CELL, sample(0), {"t": "rank", "rank": 0, "load_s": 2.0}, {"t": "question"})
        self.assertEqual([(row["dataset"], row["method"]) for row in read.of("d", "kvcomm")],
                         [("d", "kvcomm(ratio=0.5)")])
        self.assertEqual(read.ranks[0]["load_s"], 2.0)
        self.assertEqual(read.of("d", "skyline"), [])

    def test_a_torn_line_is_told_with_its_place(self):
        (self.folder / "journal").mkdir()
        (self.folder / "journal/run.jsonl").write_text('{"t":"run"}\n{"t":"sam\n')
        with self.assertRaisesRegex(ValueError, r"run\.jsonl:2 is no JSON"):
            journal.read(self.folder)

    def test_differences_are_listed(self):
        one = written(self.folder / "one", CELL, sample(0), sample(1), sample(2), sample(3))
        two = written(self.folder / "two", CELL, sample(0), sample(1, answer="red"), sample(2, payload_bytes=99))
        found = journal.compare(one, two)
        self.assertEqual((found.rows, found.equal, found.missing), (3, 2, 1))
        self.assertEqual(found.answers, ["p d kvcomm(ratio=0.5) sample 1: 'blue' and 'red'"])
        self.assertEqual(found.payloads, ["p d kvcomm(ratio=0.5) sample 2: 100 and 99 bytes"])

    def test_what_a_debate_sends_may_follow_its_answers(self):
        cell = CELL | {"method": "nld(phase1_tokens=6)"}
        one, two = (written(self.folder / name, cell, sample(0, payload_bytes=size))
                    for name, size in (("x", 8), ("y", 9)))
        self.assertEqual(journal.compare(one, two).payloads, [])


class Numbers(unittest.TestCase):
    def test_a_step_is_a_batchs_not_a_samples(self):
        rows = [sample(number, output_tokens=tokens) for number, tokens in enumerate((5, 3, 5, 5))]
        self.assertAlmostEqual(journal.step_s(rows, 2), 2.0 / (4 + 4))
        self.assertAlmostEqual(journal.step_s(rows[:1], 1), 0.5 / 4)
        self.assertTrue(math.isnan(journal.step_s([sample(0, output_tokens=1)], 1)))

    def test_wire_speed(self):
        sent = sample(0, payload_bytes=3e9, wire_hidden_s=1, wire_exposed_s=0.5)
        self.assertAlmostEqual(journal.wire_gb_s([sent]), 2.0)
        self.assertTrue(math.isnan(journal.wire_gb_s([sample(0)])))

    def test_the_8b_shape_is_llamas(self):
        self.assertAlmostEqual(shapes.all_bytes(shapes.SHAPES["8B"]) / 2e9, 8.03, 2)
        self.assertGreater(shapes.prefill_flops(shapes.SHAPES["8B"], 1000), 2 * 1000 * 6.9e9)

    def test_calls_a_step_are_the_difference_of_two_runs(self):
        few = {"driver": {"cuLaunchKernel": 100, "cuMemcpyHtoDAsync_v2": 7}, "runtime": {"cudaLaunchKernel_v7000": 90}}
        many = {"driver": {"cuLaunchKernel": 250, "cuLaunchKernelEx": 10, "cuStreamSynchronize": 20,
                           "cuMemcpyHtoDAsync_v2": 17}, "runtime": {"cudaLaunchKernel_v7000": 240}}
        self.assertEqual(speed.per_step(few, many, 10), {"launches": 16.0, "waits": 2.0, "copies": 1.0})


class Steps(InAFolder):
    def test_one_that_fails_is_noted(self):
        def failing(error):
            def run(session):
                raise error
            return check.Step(run, 5)
        steps = {"a": failing(Failed("it broke")), "b": failing(Skipped("no GPU")), "c": failing(KeyError("x"))}
        kept, check.STEPS = check.STEPS, steps
        self.addCleanup(setattr, check, "STEPS", kept)
        noted, out = self.noted(lambda: [check.run_step(self.session, name, time.monotonic() + 60) for name in steps])
        self.assertEqual([one.outcome for one in noted], ["failed", "skipped", "failed"])
        self.assertIn("Card | a | rest | failed: it broke", out)
        self.assertIn("KeyError", self.log.getvalue())

    def test_none_begins_when_the_time_is_used_up(self):
        noted, _ = self.noted(lambda: check.run_step(self.session, "env", time.monotonic()))
        self.assertEqual([(one.step, one.outcome) for one in noted], [("env", "failed")])

    def test_a_program_is_stopped_at_the_steps_end(self):
        self.session.begin("step", 0.3)
        begin = time.monotonic()
        with self.assertRaisesRegex(Failed, "`sh` was stopped after 0 s.*its last words: begun"):
            self.session.run(["sh", "-c", "echo begun; sleep 60"])
        self.assertLess(time.monotonic() - begin, 10)

    def test_answers_may_differ_in_few_rows_and_bytes_in_none(self):
        reference = written(self.folder / "one", CELL, *(sample(number) for number in range(100)))
        few = written(self.folder / "two", CELL, sample(0, answer="red"), *(sample(number) for number in range(1, 100)))
        bytes_differ = written(self.folder / "three", CELL, sample(0, payload_bytes=1), *map(sample, range(1, 100)))
        noted, _ = self.noted(lambda: [correctness.note_comparison(self.session, "x", reference, other)
                                       for other in (reference, few, bytes_differ, journal.Journal())])
        self.assertEqual([one.outcome for one in noted], ["passed", "passed", "failed", "failed"])
        self.assertIn("99 of 100", noted[1].found)
        self.assertIn("'blue' and 'red'", noted[1].found)

    def test_google_tests_are_counted(self):
        good = "[ RUN      ] A.B\n[       OK ] A.B (0 ms)\n[  SKIPPED ] A.C/x (0 ms)\nNCCL version 2.28.9+cuda13.0\n"
        bad = good + "/src/a_test.cpp:7: Failure\nExpected: one\n  Which is: 1\n" \
                     "[  FAILED  ] A.D (1 ms)\n[  FAILED  ] 1 test, listed below:\n"
        noted, _ = self.noted(lambda: [correctness.note_tests(self.session, "x", Done(code, out, 0)) for code, out in
                                       ((0, good), (1, bad), (77, ""))])
        self.assertEqual([one.outcome for one in noted], ["passed", "failed", "failed"])
        self.assertEqual(noted[0].found, "1 tests passed; 1 were skipped (A.C/x); NCCL version 2.28.9+cuda13.0")
        self.assertIn("1 failed (A.D)", noted[1].found)
        self.assertIn("exit code 1, at a_test.cpp:7: Expected: one Which is: 1", noted[1].found)

    def test_json_has_no_nan(self):
        noted, _ = self.noted(lambda: self.session.passed("x", "y", a=math.nan, b=math.inf, c=1.5))
        self.assertEqual(noted[0].values, {"a": None, "b": None, "c": 1.5})

    def test_the_last_json_counts(self):
        self.assertEqual(json_of(Done(0, 'note\n{"a": 1}\n{"a": 2}\n', 0)), {"a": 2})
        with self.assertRaises(Failed):
            json_of(Done(0, "nothing\n", 0))


class CommandLine(InAFolder):
    def call(self, *words):
        return subprocess.run([ROOT / "launch/gpu_check.sh", *map(str, words)], capture_output=True, text=True,
                              env=os.environ | {"PYTHON": sys.executable})

    def test_unknown_steps_are_refused_with_the_known_ones(self):
        done = self.call("run", "--only", "env", "sped")
        self.assertEqual(done.returncode, 2)
        self.assertIn("there is no step 'sped'; the steps are env, nccl, parity, tiny, speed, limits", done.stderr)

    def test_unknown_halves_and_arguments_are_refused(self):
        for words in ([], ["both"], ["bundle", "now"], ["run", "--python"]):
            with self.subTest(words=words):
                self.assertEqual(self.call(*words).returncode, 2)

    def test_without_a_bundle_it_says_what_makes_one(self):
        done = self.call("run", "--device", "cpu", "--output", self.folder, "--bundle", self.folder / "none.tar.xz")
        self.assertEqual(done.returncode, 4)
        self.assertIn("`launch/gpu_check.sh bundle` makes it", done.stderr)

    def test_no_record_is_overwritten(self):
        first = check.record_path(self.folder, "NVIDIA H100 80GB HBM3")
        self.assertRegex(first.name, r"^\d{4}-\d\d-\d\d-nvidia-h100-80gb-hbm3-gpu-check\.json$")
        first.touch()
        self.assertEqual(check.record_path(self.folder, "NVIDIA H100 80GB HBM3").stem, first.stem + "-2")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
