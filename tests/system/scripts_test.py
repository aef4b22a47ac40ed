"""The shell scripts say nothing to shellcheck."""

import shutil
import subprocess
import unittest

from support import REPOSITORY, main


class Scripts(unittest.TestCase):
    @unittest.skipUnless(shutil.which("shellcheck"), "no shellcheck here (Debian's package of that name)")
    def test_shellcheck(self):
        scripts = [REPOSITORY / ".ci/run", *REPOSITORY.glob("slurm/*.*")]
        scripts += [path for folder in ("launch", "tests") for path in REPOSITORY.glob(f"{folder}/**/*.sh")]
        # SC1091: files that a set-up or a site makes are not here to be followed.
        options = ["--external-sources", "--source-path=SCRIPTDIR", "--exclude=SC1091"]
        outcome = subprocess.run(["shellcheck", *options, *scripts], cwd=REPOSITORY, text=True,
                                 capture_output=True)
        self.assertEqual(outcome.returncode, 0, outcome.stdout + outcome.stderr)


if __name__ == "__main__":
    main()
