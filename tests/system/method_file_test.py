"""A method is its file and its line in the table: the program with one method more (tests/method/tell.cpp) knows
all about it, from `ls` to the results."""

import re
import unittest

import support
from support import BUILD, REPOSITORY, SystemTest, call, main, method_table, rows, tables

SWEEP = method_table("tell") + method_table("skyline") + method_table("kvcomm", layers=[1, 2])


class AMethodOfItsOwnFile(SystemTest):
    @classmethod
    def setUpClass(cls):
        support.PROGRAM = BUILD / "tests/method/kvcomm_with_tell"
        super().setUpClass()
        cls.sweep_file = cls().sweep("tell", methods=SWEEP)

    def test_is_listed_and_planned(self):
        listed = call(["ls", "methods"])
        self.assertEqual(listed.code, 0, listed)
        self.assertRegex(listed.out, r"(?m)^tell +the context's ids +the context's tokens in front")
        self.assertRegex(listed.out, r"(?m)^ +the context's ids +4 x context tokens$")
        planned = call(self.sweep_file.arguments("plan", "planned"))
        self.assertEqual(planned.code, 0, planned)
        self.assertRegex(planned.out, r"(?m)^tell .*4 B a context token")

    def test_sends_and_answers_in_worlds_of_one_and_two(self):
        for ranks in (1, 2):
            self.check(self.sweep_file.run(f"world{ranks}", ranks))
        two = rows(self.sweep_file.results("world2"))
        self.assertEqual(rows(self.sweep_file.results("world1")), two)
        told = [row for row in two if row["method"] == "tell"]
        self.assertGreater(len(told), 0)
        for row in told:
            self.assertEqual(row["payload_bytes"], 4 * row["context_tokens"])
            self.assertEqual(row["token_bytes"], row["payload_bytes"])
            self.assertGreater(row["prompt_tokens"], row["context_tokens"])
        self.assertGreater(len({row["answer"] for row in told}), 1)
        cells = tables(self.sweep_file.results("world2"))["cells"]
        self.assertEqual(list(cells["method"]), ["tell", "skyline", "kvcomm(layers=[1,2])"])


class MethodsDescribeThemselves(unittest.TestCase):
    def test_no_file_elsewhere_asks_for_a_name(self):
        table = (REPOSITORY / "src/method/methods.cpp").read_text()
        names = re.findall(r"METHOD\((\w+)\)", table)
        self.assertGreater(len(names), 8)
        asks = re.compile(r'(?:[!=]=|\bcase|\bfind\w*\(|\bcontains\()\s*"(?:%s)"|"(?:%s)"\s*[!=]=' %
                          ("|".join(names), "|".join(names)))
        found = [f"{path.relative_to(REPOSITORY)}: {hit[0]}"
                 for path in sorted((REPOSITORY / "src").rglob("*.[ch]*")) if path.parent.name != "method"
                 for hit in asks.finditer(path.read_text())]
        self.assertEqual(found, [])


if __name__ == "__main__":
    main()
