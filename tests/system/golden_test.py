"""The answers of the tiny models are known, and tied to kAnswersVersion: whoever changes them must raise it,
else results of before and after would be taken for the same work.

    golden_test.py <repository> <build folder> --update     writes golden.json anew
"""

import json
import sys
from pathlib import Path

from support import CHECKPOINTS, SystemTest, demo_records, main, make_model, pair_table, tables

GOLDEN = Path(__file__).with_name("golden.json")
VERSION = "kAnswersVersion in src/plan/plan.h"
UPDATE = "golden_test.py <repository> <build folder> --update"


class Golden(SystemTest):
    def test_answers_change_only_with_their_version(self):
        version, answers = self.made()
        if UPDATING:
            known = {"answers_version": version, "answers": answers}
            GOLDEN.write_text(json.dumps(known, indent=1, ensure_ascii=True) + "\n")
            return
        known = json.loads(GOLDEN.read_text())
        same = answers == known["answers"]
        if version == known["answers_version"]:
            self.assertTrue(same, f"Answers changed:\n{difference(known['answers'], answers)}\nIf that is meant, raise "
                            f"{VERSION} (results of before must not be mixed with those of now), then run {UPDATE}. "
                            "If nothing that decides an answer was touched, look whether the two best tokens are "
                            "almost equal there (design, section 10).")
        else:
            self.fail(f"{VERSION} is {version}, golden.json was made with {known['answers_version']}: run {UPDATE}.")

    def made(self):
        """The version in the keys, and {"model, fidelity": {method: [answer of each sample]}}."""
        answers, versions = {}, set()
        for checkpoint in sorted(path.name for path in CHECKPOINTS.iterdir()):
            make_model(self.folder / "models/org" / checkpoint, checkpoint)
            sweep = self.sweep(checkpoint, records=demo_records(4, seed=3), pairs=pair_table(f"org/{checkpoint}"))
            for fidelity in ("paper", "release"):
                name = f"{checkpoint}, {fidelity}"
                self.check(sweep.run(name, sets=[f"run.fidelity={fidelity}"]))
                frames = tables(sweep.results(name))
                samples = frames["samples"].sort_values(["method", "sample"])
                answers[name] = {method: list(group["answer"]) for method, group in samples.groupby("method")}
                versions |= {json.loads(text)["answers_version"] for text in frames["cells"]["key_json"]}
        self.assertEqual(len(versions), 1)
        return versions.pop(), answers


def difference(before, after):
    lines = []
    for model in sorted(before.keys() | after.keys()):
        old, new = before.get(model, {}), after.get(model, {})
        for method in sorted(old.keys() | new.keys()):
            if old.get(method) != new.get(method):
                lines.append(f"{model}, {method}:\n  was {old.get(method)}\n  is  {new.get(method)}")
    return "\n".join(lines)


UPDATING = "--update" in sys.argv
if UPDATING:
    sys.argv.remove("--update")
if __name__ == "__main__":
    main()
