"""Several senders and online calibration in worlds of every shape: the same answers, bytes and choices."""

import json
import os
import signal

from support import SystemTest, call, children, demo_records, finished, main, make_model, method_table, pair_table, tables

METHODS = "".join([
    method_table("baseline"), method_table("skyline"),
    method_table("kvcomm", ratio=0.5), method_table("kvcomm_s", layers=[1, 2]),
    method_table("random", ratio=0.5, seed=3),
    method_table("kvcomm", ratio=0.5, recalibrate_every=3),
    method_table("kvcomm", ratio=0.5, control="deranged"), method_table("kvcomm", ratio=0.5, control="noise"),
    method_table("nld", phase1_tokens=5), method_table("cipher", phase1_tokens=4),
])
SAMPLES = 8
USAGE, SOME_FAILED = 2, 3


def two_texts(count):
    """Records whose context has two sentences at least."""
    return [record | {"context": f"The master wrote. {record['context']}."} for record in demo_records(count)]


def answers(results):
    """All that must not depend on the world, row by row."""
    found = tables(results)
    samples = found["samples"].sort_values(["method", "sample"])
    keep = ["method", "sample", "answer", "score", "failed", "context_tokens", "payload_bytes", "layers_sent"]
    senders = found["senders"].sort_values(["method", "sample", "sender"])
    online = found["recalibrations"].sort_values("sample")
    return (samples[keep].to_dict("records"),
            senders[["method", "sample", "sender", "context_tokens", "payload_bytes"]].to_dict("records"),
            online[["sample", "layers", "bytes", "return_bytes", "answer", "score"]].to_dict("records"))


class Senders(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pairs = {}
        for name in ("one", "two"):
            make_model(cls.folder / "models" / name, "tiny-llama")
        pair = pair_table(["one", "two"], "one", name="pair")
        cls.two = cls().sweep("two", METHODS, two_texts(SAMPLES), pair)

    def test_worlds_of_one_three_and_six_answer_alike(self):
        self.check(self.two.run("w1"))
        alone = answers(self.two.results("w1"))
        rows, senders, online = alone
        self.assertEqual(len(rows), 10 * SAMPLES)
        sums = {}
        for part in senders:
            key = part["method"], part["sample"]
            sums[key] = sums.get(key, 0) + part["payload_bytes"]
        for row in rows:
            if row["payload_bytes"]:
                self.assertEqual(sums[row["method"], row["sample"]], row["payload_bytes"])
        self.assertEqual([choice["sample"] for choice in online], [0, 3, 6])
        for choice in online:
            self.assertEqual(choice["return_bytes"], 2 * 4 * len(json.loads(choice["layers"])))
        for output, ranks, sets in (("w3", 3, []), ("w6", 6, ["run.batch=2"]),
                                    ("c2", 2, ["run.placement=colocate"]), ("s6", 6, ["run.placement=spread"])):
            with self.subTest(output=output):
                self.check(self.two.run(output, ranks, sets))
                self.assertEqual(answers(self.two.results(output)), alone)

    def test_online_calibration_goes_on_from_its_last_choice(self):
        methods = method_table("kvcomm", ratio=0.5, recalibrate_every=4)
        whole = self.sweep("online", methods, two_texts(SAMPLES), pair_table(["one", "two"], "one", name="pair"))
        self.check(whole.run("whole"))
        expected = answers(whole.results("whole"))
        self.check(whole.run("parts", more=["--limit", "6"]))
        self.check(whole.run("parts", 3))
        self.assertEqual(answers(whole.results("parts")), expected)
        lines = [line for line in whole.journal_lines("parts") if line["t"] == "recalibration"]
        self.assertEqual(sorted(line["sample"] for line in lines), [0, 4], "no choice is made twice")

    def test_online_calibration_survives_a_kill(self):
        """Of each of its ranks in turn, in a world of three; the folder is then finished by one process."""
        methods = method_table("kvcomm", ratio=0.5, recalibrate_every=3)
        pair = pair_table(["one", "two"], "one", name="pair")
        sweep = self.sweep("killed", methods, two_texts(60), pair, run="batch = 1", max_new_tokens=24)
        self.check(sweep.run("undisturbed"))
        expected = answers(sweep.results("undisturbed"))
        for victim in range(3):
            with self.subTest(victim=victim):
                output = f"killed{victim}"
                process = sweep.start(output, 3)
                locked = (self.folder / output / "locks").exists
                self.wait_for(lambda: locked() and sweep.samples_stored(output) >= 10, process, "ten rows")
                os.kill(children(process.pid)[victim], signal.SIGKILL)
                self.assertNotEqual(finished(process).code, 0)
                self.assertLess(sweep.samples_stored(output), 60, "the kill came too late to show anything")
                self.check(sweep.run(output))
                self.assertEqual(answers(sweep.results(output)), expected)

    def test_one_folder_may_hold_one_sender_and_two(self):
        """A place in the order is then of two samples, and `show` tells them apart."""
        records = [record | {"context": record["context"] if place % 2 else f"The ship. {record['context']}"}
                   for place, record in enumerate(demo_records(6))]
        methods = method_table("kvcomm", layers=[1])
        for name, sender in (("alone", "one"), ("together", ["one", "two"])):
            sweep = self.sweep(name, methods, records, pair_table(sender, "one", name=name))
            self.check(sweep.run("shared"))
        frames = tables(sweep.results("shared"))
        joined = frames["samples"].join(frames["cells"]["fingerprint"], on="cell").merge(
            frames["questions"], on=["dataset", "fingerprint", "sample"], suffixes=("", "_asked"))
        self.assertEqual(len(joined), 6 + 3)
        self.assertEqual(list(joined["sample_id"]), list(joined["sample_id_asked"]))
        shown = self.check(call(["show", self.folder / "shared", "--sample", "1"])).out
        ids = sorted(set(frames["samples"].loc[frames["samples"]["sample"] == 1, "sample_id"]))
        self.assertEqual(len(ids), 2)
        for place, sample_id in enumerate(ids):
            part = shown.split("demo, sample 1 (")[place + 1]
            self.assertTrue(part.startswith(f"{sample_id})"), shown)
            self.assertEqual(part.count("question "), 1, shown)

    def test_a_failed_sender_is_named(self):
        records = two_texts(3)
        records[1]["context"] = "The ship. " + "ship " * 400 + "."
        sweep = self.sweep("long", method_table("kvcomm", layers=[1]), records,
                           pair_table(["one", "two"], "one", name="pair"), run="max_input_tokens = 200")
        for ranks in (1, 3):
            with self.subTest(ranks=ranks):
                self.check(sweep.run(f"long{ranks}", ranks), SOME_FAILED)
                what = tables(sweep.results(f"long{ranks}"))["failures"]["what"].iloc[-1]
                self.assertIn("Sender 1 failed before its message", what)

    def test_a_world_without_whole_lanes(self):
        refused = self.check(self.two.run("w2", 2), USAGE)
        self.assertIn("a lane is 2 senders and one receiver, so start 1 process or a multiple of 3", refused.log)

    def test_what_cannot_be_dealt(self):
        short = self.sweep("short", METHODS, demo_records(2), pair_table(["one", "two"], "one", name="pair"))
        plan = call(short.arguments("plan", "p"))
        self.check(plan, USAGE)
        self.assertIn("texts enough", plan.log)


if __name__ == "__main__":
    main()
