"""What the results say was sent is what went over MPI, by a witness that stands between the program and the
MPI library."""

import json

from support import BUILD, METHODS, SystemTest, main, method_table, tables

WITNESS = BUILD / "tests/support/libkvc_witness.so"
HEADER, ANSWER, TRAILER, PAYLOAD = 1, 2, 3, 4  # tags on a lane's communicator (ControlMessage, MpiTransport)
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


if __name__ == "__main__":
    main()
