"""What the results say was sent is what went over MPI, by a witness that stands between the program and the
MPI library."""

import json

from support import BUILD, METHODS, SystemTest, demo_records, main, make_model, method_table, pair_table, tables

WITNESS = BUILD / "tests/support/libkvc_witness.so"
HEADER, ANSWER, TRAILER, PAYLOAD = 1, 2, 3, 4  # tags on a lane's communicator (ControlMessage, MpiTransport)
BACK = 8  # in front of those of the pipes that go back
BY_HAND = METHODS[METHODS.index(method_table("kvcomm", layers=[1, 2])):]


class Witness(SystemTest):
    def seen(self, sweep, output, ranks, sets=()):
        """What each rank sent on each lane: {(communicator, rank): {tag: bytes}}."""
        report = self.folder / f"{output}.witness"
        self.check(sweep.run(output, ranks, sets, environment={"LD_PRELOAD": str(WITNESS),
                                                               "KVCOMM_WITNESS": str(report)}))
        seen = {}
        for line in map(json.loads, report.read_text().splitlines()):
            if line["communicator"].startswith("lane "):
                seen.setdefault((line["communicator"], line["rank"]), {})[line["tag"]] = line["bytes"]
        return seen

    def test_headers_and_payload(self):
        sweep = self.sweep("byhand", methods=BY_HAND)
        for ranks, dtype in ((2, "float32"), (4, "bfloat16")):
            with self.subTest(ranks=ranks):
                seen = self.seen(sweep, f"byhand{ranks}", ranks, [f"run.dtype={dtype}", "run.batch=2"])
                self.assertEqual(len(seen), ranks)
                samples = tables(sweep.results(f"byhand{ranks}"))["samples"]
                total = {tag: sum(of_rank.get(tag, 0) for of_rank in seen.values())
                         for tag in (HEADER, ANSWER, TRAILER, PAYLOAD)}
                self.assertEqual(total[PAYLOAD], samples["payload_bytes"].sum())
                self.assertEqual(total[HEADER] + total[ANSWER] + total[TRAILER], samples["header_bytes"].sum())
                receivers = [of_rank for (_, rank), of_rank in seen.items() if rank % 2 == 1]
                self.assertTrue(all(of_rank.get(PAYLOAD, 0) == 0 for of_rank in receivers), "one way only")

    def test_calibration(self):
        sweep = self.sweep("calibrated")
        seen = self.seen(sweep, "calibrated", 2)
        frames = tables(sweep.results("calibrated"))
        calibrations = frames["cells"][frames["cells"]["calibration_key"] != ""].groupby("calibration_key")
        payload = frames["samples"]["payload_bytes"].sum() + calibrations["calibration_bytes"].first().sum()
        self.assertEqual(seen["lane 0", 0][PAYLOAD], payload)
        # A calibration's own headers are in no table: one message of each of the two.
        headers = seen["lane 0", 0][HEADER] + seen["lane 0", 0][TRAILER] + seen["lane 0", 1][ANSWER]
        uncounted = headers - frames["samples"]["header_bytes"].sum()
        self.assertEqual(len(calibrations), 2)
        self.assertGreater(uncounted, 0)
        self.assertLess(uncounted, 2 * 1000)

    def test_several_senders_and_what_goes_back(self):
        """Each sender's payload, and the layers that the receiver tells both of them."""
        methods = method_table("kvcomm", ratio=0.5, recalibrate_every=3) + method_table("nld", phase1_tokens=4)
        records = [record | {"context": f"The ship. {record['context']}"} for record in demo_records(7)]
        make_model(self.folder / "models/org/second")
        sweep = self.sweep("senders", methods, records, pair_table(["org/tiny", "org/second"], "org/tiny"))
        seen = self.seen(sweep, "senders", 3)
        frames = tables(sweep.results("senders"))
        senders, online = frames["senders"], frames["recalibrations"]
        for sender in (0, 1):
            answered = senders[senders["sender"] == sender]["payload_bytes"].sum()
            self.assertGreaterEqual(seen["lane 0", sender][PAYLOAD] - answered, online["bytes"].sum() // 4)
        self.assertEqual(sum(seen["lane 0", sender][PAYLOAD] for sender in (0, 1)),
                         frames["samples"]["payload_bytes"].sum() + online["bytes"].sum())
        self.assertEqual(seen["lane 0", 2].get(PAYLOAD, 0), 0)
        self.assertEqual(seen["lane 0", 2][BACK + PAYLOAD], online["return_bytes"].sum())
        self.assertEqual(len(online), 3)


if __name__ == "__main__":
    main()
