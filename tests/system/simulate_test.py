"""`kvcomm simulate`: the paper's grid on many GPUs, from this repository alone."""

import re

from support import REPOSITORY, SystemTest, call, main, method_table, pair_table

PAPER = REPOSITORY / "launch/sweeps/paper.toml"
H100 = REPOSITORY / "launch/hardware/h100.toml"
LINE = re.compile(r"(\d+) lanes: ([\d.]+) % busy, ([\d.e+]+) hours, ([\d.]+) ms of the coordinator's core a sample; "
                  r"most of the rest is [a-z ]+")


class Simulate(SystemTest):
    def simulated(self, *arguments, sweep=PAPER):
        """By lanes: percent busy, hours, milliseconds of the coordinator's core a sample."""
        outcome = self.check(call(["simulate", sweep, "--hardware", H100, *arguments], timeout_s=200, cwd=self.folder))
        lines = [LINE.fullmatch(line) for line in outcome.out.splitlines() if " lanes: " in line]
        self.assertIn(" % busy", outcome.out.splitlines()[-1])
        self.head = outcome.out
        return {int(line[1]): tuple(float(number) for number in line.groups()[1:]) for line in lines}

    def test_the_papers_grid_keeps_its_lanes_busy(self):
        lanes = self.simulated("--lanes", "32,128")
        self.assertIn("9 pairs, 1224 cells, 436050 answers", self.head)
        self.assertIn("assumed, not measured", self.head)
        self.assertIn("Shapes of 14 models that are not there", self.head)
        self.assertGreaterEqual(lanes[32][0], 97)
        self.assertGreaterEqual(lanes[128][0], 85)
        self.assertLess(lanes[128][1], lanes[32][1] / 3)
        # 0.05 is what it may take; a loaded machine's caches double it.
        self.assertLess(lanes[32][2], 0.1)

    def test_one_rank_a_lane(self):
        lanes = self.simulated("--lanes", "8", "--set", "run.placement=colocate", "--limit", "20")
        self.assertIn("a lane is one rank", self.head)
        self.assertGreater(lanes[8][0], 50)

    def test_slow_and_late_lanes_cost_time(self):
        small = ("--lanes", "8", "--limit", "40")
        hours = self.simulated(*small)[8][1]
        self.assertGreater(self.simulated(*small, "--slow", "4x0.25")[8][1], hours)
        self.assertGreater(self.simulated(*small, "--late", "8x3600")[8][1], hours + 0.9)

    def test_what_cannot_be_simulated_is_refused(self):
        unknown = self.sweep("unknown", method_table("baseline"), pairs=pair_table("org/nobody-knows"))
        for arguments, sweep, sentence in ((("--slow", "half"), PAPER, "--slow 'half' must be LANESxNUMBER"),
                                           ((), unknown.toml, "'org/nobody-knows' has no config.json")):
            with self.subTest(sentence):
                outcome = self.check(call(["simulate", sweep, "--hardware", H100, *arguments]), 2)
                self.assertIn(sentence, outcome.log)


if __name__ == "__main__":
    main()
