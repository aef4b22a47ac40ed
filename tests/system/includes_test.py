"""The folders' includes follow the arrows of the architecture (docs/architecture.md), and headers compile
alone (the second is slow: test class HeadersCompileAlone, ctest label nightly)."""

import concurrent.futures
import json
import re
import shlex
import subprocess
import tempfile
import unittest
from pathlib import Path

from support import BUILD, REPOSITORY, main

SOURCES = REPOSITORY / "src"
# What a folder may include beside itself and base.
ARROWS = {
    "app": {"doctor", "bench", "sweep", "lane", "schedule", "plan", "config", "method", "model", "text", "select", "comm",
            "data", "score", "store"},
    "doctor": {"bench", "sweep", "lane", "plan", "config", "model", "text", "comm", "score", "store"},
    "bench": {"sweep", "lane", "plan", "config", "method", "model", "ops", "select", "comm", "store"},
    "sweep": {"lane", "schedule", "tasks", "plan", "config", "method", "model", "text", "select", "comm", "data", "score",
              "store"},
    "lane": {"tasks", "plan", "config", "method", "model", "text", "select", "comm", "data", "score", "store"},
    "schedule": {"tasks", "plan", "config", "method", "select", "comm", "data", "score", "store"},
    "tasks": {"method", "comm", "store"},
    "plan": {"config", "method", "model", "text", "select", "data", "score"},
    "config": {"method", "select", "data", "score"},
    "method": {"model", "text", "select", "comm", "data"},
    "model": {"ops"}, "ops": set(), "text": set(), "select": set(), "comm": set(), "data": set(), "score": set(), "store": set(),
    "base": set(),
}
# Foreign headers and the only files that may include them.
ONLY_IN = {r"mpi\.h": r"comm/", r"nccl\.h": r"comm/nccl", r"cuda.*\.h": r"(comm/nccl|doctor/gpus_cuda)",
           r"hdf5.*\.h|H5.*\.h": r"store/", r"toml\+\+/.*": r"(config/|text/prompts|plan/typical)", r"CLI/.*": r"app/"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
BACK_END = re.compile(r"^\s*#\s*(?:if|ifdef|ifndef|elif)\b.*(CUDA|NCCL|MPI)", re.MULTILINE)


def sources(*endings):
    return sorted(path for ending in endings for path in SOURCES.rglob(f"*.{ending}"))


class Includes(unittest.TestCase):
    def test_every_folder_is_in_the_table(self):
        self.assertEqual({path.relative_to(SOURCES).parts[0] for path in sources("h", "cpp")}, set(ARROWS))

    def test_includes_follow_the_arrows(self):
        wrong = []
        for path in sources("h", "cpp", "cu", "in"):
            place = path.relative_to(SOURCES)
            folder = place.parts[0]
            for mark, name in INCLUDE.findall(path.read_text()):
                if mark == '"' and name.split("/")[0] not in ARROWS[folder] | {folder, "base"}:
                    wrong.append(f"{place} includes {name}")
                if mark == "<" and name.split("/")[0] in ARROWS and (SOURCES / name).exists():
                    wrong.append(f"{place} includes <{name}> of our own with angle brackets")
        self.assertEqual(wrong, [])

    def test_libraries_stay_in_their_places(self):
        wrong, seen = [], set()
        for path in sources("h", "cpp", "cu"):
            place = str(path.relative_to(SOURCES))
            for _, name in INCLUDE.findall(path.read_text()):
                for header, allowed in ONLY_IN.items():
                    if re.fullmatch(header, name):
                        seen.add(header)
                        if not re.match(allowed, place):
                            wrong.append(f"{place} includes {name}")
        self.assertEqual(wrong, [])
        self.assertEqual(seen, set(ONLY_IN), "a rule that matches nothing guards nothing")

    def test_a_fidelity_is_read_where_layers_and_methods_are(self):
        fields = re.findall(r"^  [\w:]+ (\w+);", (SOURCES / "select/fidelity.h").read_text(), re.MULTILINE)
        self.assertIn("keep_layer0", fields)
        read = re.compile(rf"fidelity\w*(?:\([^()]*\))?(?:\.|->)({'|'.join(set(fields) - {'name'})})\b")
        self.assertTrue(read.search((SOURCES / "method/kvcomm.cpp").read_text()))
        wrong = [f"{path.relative_to(SOURCES)}: {found.group()}" for path in sources("h", "cpp")
                 if path.relative_to(SOURCES).parts[0] not in {"select", "method", "config"}  # config describes each
                 for found in read.finditer(re.sub(r'"[^"\n]*"', '""', path.read_text()))]  # messages name fields
        self.assertEqual(wrong, [])

    def test_back_ends_are_chosen_by_whole_files(self):
        wrong = [str(path.relative_to(SOURCES)) for path in sources("h", "cpp")
                 if path.parent.name != "comm" and BACK_END.search(path.read_text())]
        self.assertEqual(wrong, [])

    def test_headers_open_with_what_they_are_for(self):
        wrong = []
        for path in sources("h"):
            text = path.read_text()
            if not text.startswith("// ") or not re.search(r"^#pragma once$", text, re.MULTILINE):
                wrong.append(str(path.relative_to(SOURCES)))
        self.assertEqual(wrong, [])


class HeadersCompileAlone(unittest.TestCase):
    def test_headers(self):
        commands = {}  # of the source of each folder that sees most
        for entry in json.loads((BUILD / "compile_commands.json").read_text()):
            path = Path(entry["file"])
            if path.is_relative_to(SOURCES):
                folder = path.relative_to(SOURCES).parts[0]
                commands[folder] = max(commands.get(folder, ""), entry["command"], key=len)

        def compile_header(path):
            flags = [flag for flag in shlex.split(commands[path.relative_to(SOURCES).parts[0]])
                     if re.match(r"-(I|D|std|W|isystem)|/", flag) and not re.search(r"\.(cpp|o)$|ccache|Winvalid-pch", flag)]
            flags = [flag for flag in flags if not re.search(r"c\+\+$|cmake_pch", flag)]
            with tempfile.NamedTemporaryFile("w", suffix=".cpp") as file:
                file.write(f'#include "{path.relative_to(SOURCES)}"\n#include "{path.relative_to(SOURCES)}"\n')
                file.flush()
                done = subprocess.run(["c++", "-fsyntax-only", "-Werror", *with_isystem(flags), file.name], check=False,
                                      capture_output=True, text=True)
            return "" if done.returncode == 0 else f"{path}:\n{done.stderr}"

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            self.assertEqual([wrong for wrong in pool.map(compile_header, sources("h")) if wrong], [])


def with_isystem(flags):
    """Folders that stand alone followed an -isystem."""
    return [part for flag in flags for part in (("-isystem", flag) if flag.startswith("/") else (flag,))
            if flag != "-isystem"]


if __name__ == "__main__":
    main()
