"""What goes wrong on a wire, or in what a model puts there, is never scored: the sample is tried again, fails alone or
is left out, and all others have the rows of an undisturbed run. And what --inject refuses."""

from support import SystemTest, demo_records, main, method_table, rows, tables

METHODS = method_table("baseline") + method_table("kvcomm", ratio=0.5) + method_table("nld", phase1_tokens=6)
SAMPLES, BATCH = 12, 4
LOST = 5  # the sample that something happens to
SOME_FAILED, ENVIRONMENT, INTEGRITY, USAGE = 3, 4, 5, 2


class Wire(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.work = cls.sweep_that_ran("work", METHODS, demo_records(SAMPLES), run=f"batch = {BATCH}\ntimeout_s = 3")

    def injected(self, output, rule, ranks, code=0):
        outcome = self.check(self.work.run(output, ranks, more=["--inject", rule]), code)
        self.assertIn(f"This run lets things go wrong, by --inject: {rule}", outcome.log)
        return outcome

    def failures(self, output):
        return tables(self.work.results(output))["failures"]

    def check_like_whole(self, output, but=()):
        self.check_undisturbed(self.work.results(output), self.work.results("whole"), but)

    def check_resumes(self, output, ranks=1):
        self.check(self.work.run(output, ranks))
        self.check_like_whole(output)

    def test_a_bit_that_flips_once_costs_a_second_attempt(self):
        for ranks, rule in ((1, f"corrupt:kind=kv,sample={LOST},times=1"), (2, f"corrupt:kind=tokens,sample={LOST},times=1"),
                            (2, "corrupt:kind=kv,p=0.2,times=1,seed=3")):
            output = f"once{ranks}{len(rule)}"
            with self.subTest(ranks=ranks, rule=rule):
                self.injected(output, rule, ranks)
                failures = self.failures(output)
                self.assertEqual([tuple(row) for row in failures[["attempt", "step"]].values], [(1, "checksum")])
                self.check_like_whole(output)

    def test_a_sample_whose_bits_always_flip_has_no_row(self):
        for ranks, kind, method in ((1, "tokens", "nld"), (2, "kv", "kvcomm")):
            output = f"always{ranks}"
            with self.subTest(ranks=ranks):
                outcome = self.injected(output, f"corrupt:kind={kind},sample={LOST}", ranks, INTEGRITY)
                self.assertIn("Answers that are missing: 1.", outcome.log)
                failures = self.failures(output)
                self.assertEqual([tuple(row) for row in failures[["sample", "attempt", "step"]].values],
                                 [(LOST, 1, "checksum"), (LOST, 2, "checksum")])
                stored = [row for row in rows(self.work.results(output)) if row["method"].startswith(method)]
                self.assertEqual({row["sample"] for row in stored}, set(range(SAMPLES)) - {LOST})
                self.assertFalse(any(row["failed"] for row in stored))
                self.check_like_whole(output, but=[LOST])
                self.check_resumes(output, ranks)

    def test_cells_whose_calibration_always_arrives_altered_have_no_rows(self):
        self.injected("calibration", "corrupt:kind=kv", 2, INTEGRITY)
        self.assertEqual({row["method"].split("(")[0] for row in rows(self.work.results("calibration"))}, {"baseline", "nld"})
        self.check_resumes("calibration", 2)

    def test_a_header_that_names_other_samples_ends_the_job(self):
        for ranks in (1, 2):
            output = f"header{ranks}"
            with self.subTest(ranks=ranks):
                outcome = self.injected(output, "corrupt:note=header,after=4", ranks, INTEGRITY)
                self.assertIn("that are not the 4 of this batch", outcome.log)
                self.check_resumes(output, 3 - ranks)

    def test_chosen_layers_that_arrive_altered_end_the_job(self):
        """The two ends would go on with different layers."""
        online = self.sweep("online", method_table("kvcomm", ratio=0.5, recalibrate_every=4), demo_records(SAMPLES))
        self.check(online.run("online-whole"))
        for ranks in (1, 2):
            output = f"online{ranks}"
            with self.subTest(ranks=ranks):
                outcome = self.check(online.run(output, ranks, more=["--inject", "corrupt:kind=layers,times=1"]), INTEGRITY)
                self.assertIn("The layers that arrived are not those that were sent", outcome.log)
                self.check(online.run(output, ranks))
                self.check_undisturbed(online.results(output), online.results("online-whole"))

    def test_keys_and_values_that_are_not_numbers_fail_that_sample_alone(self):
        for ranks in (1, 2):
            output = f"nan{ranks}"
            with self.subTest(ranks=ranks):
                outcome = self.injected(output, f"nan:kind=kv,sample={LOST}", ranks, SOME_FAILED)
                self.assertIn("logits are not finite", outcome.log)
                failed = [row for row in rows(self.work.results(output)) if row["failed"]]
                self.assertEqual([(row["method"], row["sample"], row["answer"], row["score"]) for row in failed],
                                 [("kvcomm(ratio=0.5)", LOST, "", 0)])
                self.check_like_whole(output, but=[LOST])
                self.check_resumes(output)

    def test_what_is_lost_is_waited_for_no_longer_than_the_time_out(self):
        for rule in ("drop:kind=kv,after=9,times=1", "drop:note=answer,after=3", "drop:note=trailer,after=3"):
            output = rule.replace(":", "-").replace(",", "-")
            with self.subTest(rule=rule):
                outcome = self.injected(output, rule, 2, ENVIRONMENT)
                self.assertIn("run.timeout_s", outcome.log)
                self.check_resumes(output)

    def test_what_is_late_changes_nothing(self):
        self.injected("late", "delay:p=0.3,ms=20", 2)
        self.check_like_whole("late")

    def test_the_same_seed_strikes_the_same(self):
        def struck(output, rule):
            self.injected(output, rule, 1, SOME_FAILED)
            return [tuple(row) for row in self.failures(output)[["sample", "attempt"]].values]

        first = struck("seed0", "nan:kind=kv,after=3,p=0.2")
        self.assertEqual(first, struck("seed0-again", "nan:kind=kv,after=3,p=0.2,seed=0"))
        self.assertNotEqual(first, struck("seed1", "nan:kind=kv,after=3,p=0.2,seed=1"))


class Refused(SystemTest):
    def test_what_is_no_rule_is_named_before_anything_is_begun(self):
        sweep = self.sweep("refused")
        for rule, sentence in (("kil:phase=decode", "no action 'kil'. Did you mean 'kill'?"),
                               ("kill:fase=decode", "no key of 'kill' 'fase'. Did you mean 'phase'?"),
                               ("kill:phase=decod", "no phase 'decod'. Did you mean 'decode'?"),
                               ("drop:kind=kw", "no kind 'kw'. Did you mean 'kv'?"),
                               ("drop:phase=decode", "no key of 'drop' 'phase'"),
                               ("drop:p=often", "p must be a number from 0 to 1, not 'often'"),
                               ("drop:layer", "'layer' is no KEY=VALUE"),
                               ("drop:note=header,layer=3", "note goes without kind, layer and sample"),
                               ("corrupt:note=trailer", "a header alone can be corrupted"),
                               ("nan:kind=tokens", "whole numbers are never NaN"),
                               ("delay:p=0.5", "it says no ms"),
                               ("kill", "it says no phase (prefill, transfer, decode, writing)"),
                               ("kill:phase=decode,rank=1", "there is no rank 1, this run has 1")):
            with self.subTest(rule=rule):
                outcome = self.check(sweep.run("refused", more=["--inject", rule]), USAGE)
                self.assertIn(f"--inject '{rule}': ", outcome.log)
                self.assertIn(sentence, outcome.log)
        self.assertFalse((self.folder / "refused").exists())


if __name__ == "__main__":
    main()
