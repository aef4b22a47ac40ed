"""Controls in whole sweeps: what is sent, what it scores, and the gains that tell whether content matters."""

import json
import re

import support
from support import BUILD, SystemTest, dataset_table, demo_records, main, method_table, tables

SAMPLES = 12


class Controls(SystemTest):
    @classmethod
    def setUpClass(cls):
        support.PROGRAM = BUILD / "tests/method/kvcomm_with_tell"  # has a method whose channel drops the content
        super().setUpClass()
        data = cls.folder / "mine.jsonl"
        data.write_text("".join(json.dumps(record) + "\n" for record in demo_records(SAMPLES)))
        methods = method_table("baseline") + "".join(
            method_table(name, **more) + method_table(name, control=["deranged", "zero", "noise"], **more)
            for name, more in (("kvcomm", {"ratio": 1.0}), ("mute", {}), ("ac", {"k": 2, "j": 1})))
        methods += method_table("nld", phase1_tokens=4) + method_table("nld", phase1_tokens=4, control="deranged")
        datasets = dataset_table("mine", data, question="question", answers="answers", metric="edit_similarity",
                                 max_new_tokens=8)
        cls.work = cls().sweep_on("work", datasets, methods)
        cls.one = cls().check(cls.work.run("one"))
        cls.tables = tables(cls.work.results("one"))

    def of(self, method, frames=None):
        samples = (frames or self.tables)["samples"]
        return samples[samples["method"] == method].sort_values("sample").reset_index()

    def gain(self, line):
        """P of a line of the second table, with its interval."""
        found = re.search(rf"^{re.escape(line)} +\S+ +\S.*?\S +(\S+) +\[(\S+), (\S+)\] +{SAMPLES}$", self.one.out,
                          re.MULTILINE)
        self.assertIsNotNone(found, self.one.out)
        return tuple(float(value) for value in found.groups())

    def test_a_channel_without_content_gains_nothing_by_it(self):
        self.assertEqual(self.gain("mute"), (0, 0, 0))
        value, low, high = self.gain("kvcomm(ratio=1)")
        self.assertLessEqual(low, value)
        self.assertLess(low, high)
        self.assertGreater(len(set(self.of("kvcomm(ratio=1)")["answer"])), 1)

    def test_a_deranged_message_is_the_next_samples(self):
        matched, deranged = self.of("kvcomm(ratio=1)"), self.of("kvcomm(ratio=1, control=deranged)")
        for name in ("context_tokens", "payload_bytes"):
            self.assertEqual(list(deranged[name]), [*matched[name][1:], matched[name][0]], name)
        self.assertNotEqual(list(deranged["answer"]), list(matched["answer"]))
        self.assertNotEqual(list(self.of("nld(phase1_tokens=4)")["payload_bytes"]), [])

    def test_zeros_and_noise_cost_what_the_matched_run_costs(self):
        for method in ("kvcomm(ratio=1", "ac(k=2, j=1"):
            matched = self.of(method + ")")
            for control in ("zero", "noise"):
                self.assertEqual(list(self.of(f"{method}, control={control})")["payload_bytes"]),
                                 list(matched["payload_bytes"]))
        answers = [tuple(self.of(f"kvcomm(ratio=1{more})")["answer"])
                   for more in ("", ", control=deranged", ", control=zero", ", control=noise")]
        self.assertEqual(len(set(answers)), 4)

    def test_no_answer_depends_on_the_limit_the_batch_or_the_world(self):
        self.check(self.work.run("limited", 2, sets=["run.batch=2"], more=["--limit", "5"]))
        limited = tables(self.work.results("limited"))
        for method in set(limited["samples"]["method"]):
            self.assertEqual(list(self.of(method, limited)["answer"]), list(self.of(method)["answer"])[:5], method)


if __name__ == "__main__":
    main()
