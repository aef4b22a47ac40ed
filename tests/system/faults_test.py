"""Samples that fail, and ends that fall silent: told apart from answers, and never waited for without end."""

import os
import signal

from support import SystemTest, children, demo_records, finished, main, method_table, rows, tables

METHODS = (method_table("baseline") + method_table("skyline") + method_table("kvcomm", ratio=0.5) +
           method_table("contiguous", from_=0, to=1))
LONG = 4  # of ten samples


class Faults(SystemTest):
    def with_long_sample(self, name, place):
        records = demo_records(10)
        records[place]["context"] = "the ship " * 500
        return self.sweep(name, METHODS, records, run="max_input_tokens = 800")

    def test_a_sample_that_fails_stays_in_n_with_score_zero(self):
        sweep = self.with_long_sample("long", LONG)
        whole = self.sweep("short", METHODS, run="max_input_tokens = 800")
        self.check(whole.run("short"))
        answers = {(row["method"], row["sample"]): row["answer"] for row in rows(whole.results("short"))}
        for ranks in (1, 2):
            with self.subTest(ranks=ranks):
                output = f"long{ranks}"
                outcome = self.check(sweep.run(output, ranks), 3)
                self.assertIn("run.max_input_tokens = 800", outcome.log)
                frames = tables(sweep.results(output))
                self.assertEqual(list(frames["cells"]["n"]), [10] * 4)
                self.assertEqual(list(frames["cells"]["n_failed"]), [0, 1, 1, 1])
                for row in rows(sweep.results(output)):
                    if row["failed"]:
                        self.assertEqual((row["sample"], row["answer"], row["score"]), (LONG, "", 0))
                    elif row["sample"] != LONG:  # its batch was taken apart; the others have their answers
                        self.assertEqual(row["answer"], answers[row["method"], row["sample"]])
                alone = frames["failures"][frames["failures"]["attempt"] == 2]
                self.assertEqual(list(alone["sample"]), [LONG] * 3)
                self.assertTrue(alone["what"].str.contains("has .* tokens").all())

    def test_cells_without_their_calibration_fail_and_others_go_on(self):
        sweep = self.with_long_sample("uncalibrated", 0)
        for ranks in (1, 2):
            with self.subTest(ranks=ranks):
                output = f"uncalibrated{ranks}"
                self.check(sweep.run(output, ranks), 3)
                cells = tables(sweep.results(output))["cells"]
                self.assertEqual(list(cells["n"]), [10] * 4)
                self.assertEqual(list(cells["n_failed"]), [0, 1, 10, 1])

    def test_what_failed_is_tried_again_by_the_next_run(self):
        sweep = self.with_long_sample("again", LONG)
        self.check(sweep.run("again"), 3)
        before = sweep.samples_stored("again")
        self.check(sweep.run("again"), 3)
        self.assertEqual(sweep.samples_stored("again") - before, 2 * 3)  # two attempts at three methods

    def test_a_silent_end_is_not_waited_for_for_ever(self):
        sweep = self.sweep("silent", METHODS, demo_records(200), run="batch = 2\ntimeout_s = 3")
        process = sweep.start("silent", 2)
        self.wait_for(lambda: sweep.samples_stored("silent") > 10, process, "rows")
        os.kill(children(process.pid)[1], signal.SIGSTOP)
        outcome = self.check(finished(process, timeout_s=30), 4)
        self.assertIn("run.timeout_s", outcome.log)
        self.check(sweep.run("silent", 2))


if __name__ == "__main__":
    main()
