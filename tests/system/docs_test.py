"""The documentation says what the program does: methods, columns, keys and data sets are the program's own, and
links lead somewhere.

    docs_test.py <repository> <build folder> --update     writes the blocks between <!-- begin: ... --> marks anew
"""

import re
import sys
import unittest

import h5py
from includes_test import ARROWS
from support import REPOSITORY, TABLES, SystemTest, call, dataset_table, main, method_table, pair_table

DOCS = REPOSITORY / "docs"
PAGES = sorted([*REPOSITORY.glob("*.md"), *DOCS.glob("*.md")])
MOST_LINES = 180  # of the README: a page that is read in one go

# Every key at once, since one that is not set and has no default is not printed.
EVERY_KEY = "".join([
    pair_table("org/tiny", alpha=0.5, mu=0.5, sigma=1),
    dataset_table("mine", "mine.jsonl", question="q", answers="a", id="id", limit=1),
    method_table("baseline", limit=1), method_table("skyline"), method_table("nld", control="deranged"),
    *(method_table(name, control="noise", control_seed=1) for name in ("random", "ac", "cipher")),
    method_table("hidden_prepend", k=1, j=2, control="noise", control_seed=1), method_table("hidden_prepend", every=2),
    method_table("token_study", layer=1, token="random", token_seed=1), method_table("token_study", every=2),
    method_table("contiguous", from_=1, to=2, control="zero"), method_table("contiguous", sweep_width=2),
    *(method_table(name, control="zero", **layers) for name in ("kvcomm", "kvcomm_s")
      for layers in ({"ratio": 0.5}, {"layer_count": 1}, {"layer_counts": "all"}, {"layers": [1]})),
])

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)


def text_of(path):
    """The page without its blocks of code, in which nothing is a heading or a link."""
    return FENCE.sub("", path.read_text())


def anchor(heading):
    """What a heading is called in links, by GitHub's rule."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def section(path, heading):
    """What stands below the heading, up to the next one."""
    found = re.search(rf"^#+ {re.escape(heading)}$\n(.*?)(?=^#|\Z)", text_of(path), re.MULTILINE | re.DOTALL)
    if found is None:
        raise AssertionError(f"{path.name} has no heading '{heading}'")
    return found[1]


def table(text):
    """The cells of each row of the text's one Markdown table, below its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def keys_of(shown):
    """(table, key) of each value that --show-config prints, as a comment too; of a method's own keys with its name."""
    found, where, method = set(), "", ""
    for line in shown.splitlines():
        header, value = re.match(r"\[+(\w+)\]+$", line), re.match(r"(?:# )?(\w+) = (\S+)", line)
        if header:
            where = header[1]
        elif value:
            key = value[1]
            if (where, key) == ("method", "name"):
                method = value[2].strip('"')
            of_every_method = key in ("name", "limit")
            found.add((where, key) if where != "method" or of_every_method else (f"method {method}", key))
    return found


def parameters(methods):
    """(method, parameter) of the last table that `kvcomm ls methods` prints, as keys_of() names them."""
    found, method = set(), ""
    for line in methods.split("\n\n")[2].splitlines()[2:]:
        name, parameter = re.match(r"(\w*) +(\w+)", line).groups()
        method = name or method
        found.add((f"method {method}", parameter))
    return found


class Pages(unittest.TestCase):
    maxDiff = None

    def test_the_readme_is_short(self):
        self.assertLessEqual(len((REPOSITORY / "README.md").read_text().splitlines()), MOST_LINES)

    def test_links_lead_to_files_and_headings(self):
        wrong, reached = [], set()
        for page in PAGES:
            for link in LINK.findall(SPAN.sub("", text_of(page))):
                if re.match(r"[a-z]+:", link):
                    continue
                name, _, place = link.partition("#")
                target = (page.parent / name).resolve() if name else page.resolve()
                reached.add(target)
                if not target.exists():
                    wrong.append(f"{page.name}: there is no '{name}'")
                elif place and place not in map(anchor, HEADING.findall(text_of(target))):
                    wrong.append(f"{page.name}: '{target.name}' has no heading '{place}'")
        self.assertEqual(wrong, [])
        lost = [page.name for page in DOCS.glob("*.md") if page.resolve() not in reached]
        self.assertEqual(lost, [], "no link leads there")

    def test_files_that_are_named_exist(self):
        wrong = []
        for page in PAGES:
            for span in SPAN.findall(text_of(page)):
                name = span.split()[0].rstrip(":,.")
                if re.match(r"(src|tests|launch|slurm|analysis|cmake|docs)/", name) and "<" not in name \
                        and not any(REPOSITORY.glob(name)):
                    wrong.append(f"{page.name}: {name}")
        self.assertEqual(wrong, [])

    def test_rooms_and_arrows_are_those_of_the_includes(self):
        rows = table(section(DOCS / "architecture.md", "Rooms and arrows"))
        told = {name.strip("`"): sorted(SPAN.findall(allowed)) for name, allowed, _ in rows}
        self.assertEqual(told, {name: sorted(allowed) for name, allowed in ARROWS.items()})


class Generated(SystemTest):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        test = cls()
        sweep = test.sweep("docs", method_table("baseline"))
        test.check(sweep.run("docs"))
        with h5py.File(sweep.results("docs")) as file:
            cls.attributes = set(file.attrs)
            cls.columns = {name: list(zip(file[name].dtype.names, file[name].attrs["units"],
                                          file[name].attrs["long_name"])) for name in file}

    def compare(self, page, block, expected):
        """The marked block of the page is what is expected; with --update it becomes so."""
        path = DOCS / page
        text = path.read_text()
        marked = re.search(rf"<!-- begin: {re.escape(block)} -->\n(.*?)<!-- end -->", text, re.DOTALL)
        self.assertIsNotNone(marked, f"{page} has no block '{block}'")
        if UPDATING:
            path.write_text(text[:marked.start(1)] + expected + text[marked.end(1):])
            return
        self.assertEqual(marked[1], expected, f"docs/{page} is not what the program says: docs_test.py --update")

    def test_methods_are_those_of_the_table(self):
        outcome = self.check(call(["ls", "methods"]))
        self.compare("methods.md", "kvcomm ls methods", f"```\n{outcome.out.rstrip()}\n```\n")

    def test_columns_are_those_of_the_results(self):
        self.assertEqual(set(self.columns), set(TABLES))
        for name, columns in self.columns.items():
            lines = [f"| `{column}` | {units} | {meaning} |" for column, units, meaning in columns]
            with self.subTest(name):
                self.compare("results.md", f"columns of {name}",
                             "\n".join(["| column | unit | meaning |", "|---|---|---|", *lines]) + "\n")

    def test_no_table_is_told_of_that_is_not_there(self):
        blocks = re.findall(r"<!-- begin: columns of (\w+) -->", (DOCS / "results.md").read_text())
        self.assertEqual(sorted(blocks), sorted(self.columns))

    def test_attributes_are_those_of_the_results(self):
        told = {name.strip("`") for name, _ in table(section(DOCS / "results.md", "Root attributes"))}
        self.assertEqual(told, self.attributes | {"rescored"})  # that one is `kvcomm score`'s

    def test_data_sets_are_those_of_the_table(self):
        listed = self.check(call(["ls", "datasets", "--data", self.folder])).out.partition("\n\n")[0].splitlines()[2:]
        rows = table(section(DOCS / "datasets.md", "Published data sets"))
        self.assertEqual([name for row in rows for name in SPAN.findall(row[0])], [line.split()[0] for line in listed])

    def test_keys_are_those_of_the_configuration(self):
        toml = self.folder / "keys.toml"
        toml.write_text(EVERY_KEY)
        shown = keys_of(self.check(call(["run", toml, "--show-config"])).out)
        self.assertEqual({key for key in shown if " " in key[0]}, parameters(self.check(call(["ls", "methods"])).out),
                         "EVERY_KEY does not set every parameter of every method")
        told, page = set(), DOCS / "configuration.md"
        for name, heading in {"run": "[run]", "paths": "[paths]", "fidelity": "[fidelity]", "pair": "[[pair]]",
                              "dataset": "[[dataset]]"}.items():
            told |= {(name, key) for row in table(section(page, f"`{heading}`")) for key in SPAN.findall(row[0])}
        for keys, methods, *_ in table(section(page, "`[[method]]`")):
            owners = [f"method {method}" for method in SPAN.findall(methods)] or ["method"]
            told |= {(owner, key) for owner in owners for key in SPAN.findall(keys)}
        self.assertEqual(told, shown)


UPDATING = "--update" in sys.argv
if UPDATING:
    sys.argv.remove("--update")
if __name__ == "__main__":
    main()
