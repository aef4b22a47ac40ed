"""Ten thousand samples of the demo's model in one run: memory stays flat, and what is asked again at the end is answered
as at the beginning. ctest label nightly. KVCOMM_SOAK_SAMPLES: another number of samples."""

import os
import statistics
import time

from support import REPOSITORY, SystemTest, children, demo_records, finished, main, method_table, pair_table, rows

MODELS = REPOSITORY / "models"
MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
SAMPLES = int(os.environ.get("KVCOMM_SOAK_SAMPLES", 10_000))
AGAIN = min(100, SAMPLES // 4)
EVERY_S = 1.0
GROWTH = 1.02  # the last quarter's memory by the second's, at most
TIMED_OUT_S = 4 * 3600


def resident_mb(pid):
    """A process's resident memory, None once it is gone."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (OSError, IndexError):
        return None


class Soak(SystemTest):
    def test_memory_is_flat_and_answers_repeat(self):
        if not (MODELS / MODEL / "model.safetensors").exists():
            self.skipTest(f"no {MODELS / MODEL}: launch/setup.sh makes it")
        records = demo_records(SAMPLES - AGAIN, words=(3, 12))
        records += [record | {"id": f"{record['id']}-again"} for record in records[:AGAIN]]
        sweep = self.sweep("soak", method_table("kvcomm", ratio=0.5), records, pair_table(MODEL), "bfloat16", "batch = 16",
                           max_new_tokens=3)
        process = sweep.start("soak", 2, [f'paths.models="{MODELS}"'])
        self.wait_for(lambda: sweep.samples_stored("soak") > 0, process, "rows", 300)
        ranks, seen, begin = children(process.pid), {}, time.monotonic()
        while process.poll() is None:
            self.assertLess(time.monotonic() - begin, TIMED_OUT_S)
            for rank, pid in ranks.items():
                seen.setdefault(rank, []).append(resident_mb(pid))
            time.sleep(EVERY_S)
        self.check(finished(process))
        for rank, samples in seen.items():
            there = [resident for resident in samples if resident]
            quarter = len(there) // 4
            second, last = (statistics.mean(part) for part in (there[quarter:2 * quarter], there[-quarter:]))
            print(f"rank {rank}: {second:.0f} MB in the second quarter, {last:.0f} MB in the last, of {len(there)} looks")
            self.assertLess(last, GROWTH * second, f"rank {rank} grows")
        answers = {row["sample"]: row["answer"] for row in rows(sweep.results("soak"))}
        self.assertEqual(len(answers), SAMPLES)
        for sample in range(AGAIN):
            self.assertEqual(answers[sample], answers[SAMPLES - AGAIN + sample], sample)


if __name__ == "__main__":
    main()
