"""Fetching data sets and models from a hub on this machine, cut, broken, gated, or not there at all."""

import contextlib
import csv
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import zipfile

import pyarrow as pa
import pyarrow.parquet as parquet

from hub_server import Fault, Hub, digest
from support import REPOSITORY, SystemTest, call, finished, main

FETCH = REPOSITORY / "launch/fetch"
sys.path.insert(0, str(FETCH))
import data as fetch_data  # noqa: E402  its table of sources

RECORDS = REPOSITORY / "tests/data/records"
CHUNK = 10 << 20  # what huggingface_hub writes at once
CONFIG = {"config.json": b"{}", "tokenizer.json": b"{}"}
BIG = random.Random(1).randbytes(CHUNK + 2_000_000)


def as_parquet(records):
    out = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(records), out)
    return out.getvalue()


def as_zip(**files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def records_of(name):
    return [json.loads(line) for line in (RECORDS / name).read_text().splitlines()]


def mmlu_split(split):
    """The test's csv files as the hub has them: one table with the subject as a column."""
    found = [{"question": "Who?", "subject": "sociology", "choices": ["a", "b, c", '"d"', "e"], "answer": 1}]
    for path in sorted((RECORDS / "mmlu" / split).glob("*.csv")):
        subject = path.stem.removesuffix(f"_{split}")
        with path.open(newline="") as file:
            found += [{"question": cells[0], "subject": subject, "choices": cells[1:5],
                       "answer": "ABCD".index(cells[5])} for cells in csv.reader(file)]
    return found


def data_files():
    """What each file of the table of sources holds here, by its name on the hub."""
    repobench, long_bench = records_of("repobench_v1.1.jsonl"), records_of("longbench_hub_2wikimqa.jsonl")
    other = [{**row, "dataset": "multifieldqa_en", "task": "multifieldqa_en"} for row in long_bench]
    shards = fetch_data.SOURCES["repobench.jsonl"].files
    parts = {f"data/{part}.jsonl": (RECORDS / f"longbench_{part}.jsonl").read_bytes()
             for part in ("hotpotqa", "musique", "qasper", "repobench-p")}
    return {
        "distractor/validation-00000-of-00001.parquet": as_parquet(records_of("hotpot_hub.jsonl")),
        "qasper.zip": as_zip(**{"qasper/validation.jsonl": (RECORDS / "qasper_scrolls.jsonl").read_bytes()}),
        "musique_ans_v1.0_dev.jsonl": (RECORDS / "musique.jsonl").read_bytes(),
        "multifieldqa_en/test-00000-of-00001.parquet": as_parquet(other),
        "2wikimqa/test-00000-of-00001.parquet": as_parquet(long_bench),
        "test.csv": (RECORDS / "samsum.csv").read_bytes(),
        shards[0]: as_parquet(repobench[:1]), shards[1]: as_parquet(repobench[1:]),
        **{f"all/{name}-00000-of-00001.parquet": as_parquet(mmlu_split(split))
           for name, split in (("dev", "dev"), ("validation", "val"), ("test", "test"))},
        "data.zip": as_zip(**parts)}


class Fetch(SystemTest):
    def setUp(self):
        self.hub = Hub()
        self.addCleanup(self.hub.server_close)
        self.addCleanup(self.hub.shutdown)
        self.home = self.folder / self.id()
        self.models, self.data = self.home / "models", self.home / "data"
        self.home.mkdir()

    def start(self, script, *arguments, **environment):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        return subprocess.Popen(
            [sys.executable, FETCH / script, *map(str, arguments)], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, cwd=self.home,
            env={**kept, "HF_ENDPOINT": self.hub.url, "HF_HOME": str(self.home / "hf"),
                 "GITHUB_ENDPOINT": self.hub.url, **environment})

    def fetch(self, script, *arguments, **environment):
        return finished(self.start(script, *arguments, **environment), 30)

    def fetch_models(self, *arguments, **environment):
        return self.fetch("models.py", *arguments, "--to", self.models, **environment)

    def refused(self, outcome, code, *parts):
        self.check(outcome, code)
        self.assertNotIn("Traceback", outcome.log)
        for part in parts:
            self.assertIn(part, outcome.log)

    def host_tiny(self, **options):
        files = {path.name: path.read_bytes() for path in (self.folder / "models/org/tiny").iterdir()}
        self.hub.add("model", "org/tiny", {**files, "original/params.json": b"{}", "model.gguf": b"no",
                                           "README.md": b"no"}, **options)

    def host_data(self):
        files = data_files()
        for source in fetch_data.SOURCES.values():
            if isinstance(source, fetch_data.Hub):
                earlier = self.hub.repos.get(("dataset", source.repo))
                held = earlier.files if earlier else {}
                commit = {} if source.revision == "main" else {"commit": source.revision}
                self.hub.add("dataset", source.repo, held | {name: files[name] for name in source.files},
                             **commit)

    # ---- models

    def test_the_models_of_a_sweep_come_to_where_it_looks_for_them(self):
        self.host_tiny()
        sweep = self.sweep("fetched")
        text = sweep.toml.read_text().replace(f'models = "{self.folder}/models"', f'models = "{self.models}"')
        sweep.toml.write_text(text)
        outcome = self.check(self.fetch("models.py", sweep.toml))
        self.assertIn("org/tiny: 5 files", outcome.log)
        there = {path.name for path in (self.models / "org/tiny").iterdir()}
        self.assertEqual(there, {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
                                 "tokenizer_config.json", ".fetched.json"})
        self.check(call(["plan", sweep.toml, "--output", self.home / "out"]))
        asked = len(self.hub.asked)
        self.assertIn("is there", self.check(self.fetch("models.py", sweep.toml)).out)
        self.assertEqual(len(self.hub.asked), asked)

    def test_config_only_leaves_out_weights_and_a_later_call_adds_them(self):
        self.host_tiny()
        self.check(self.fetch_models("org/tiny", "--config-only"))
        self.assertFalse((self.models / "org/tiny/model.safetensors").exists())
        self.check(self.fetch_models("org/tiny"))
        self.assertTrue((self.models / "org/tiny/model.safetensors").exists())
        self.assertEqual([name for name, _ in self.hub.asked].count("config.json"), 1)

    def test_all_files_that_say_something_of_tokens_and_templates_come(self):
        more = {name: b"{}" for name in ("special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
                                         "additional_chat_templates/default.jinja")}
        self.hub.add("model", "org/more", {**CONFIG, **more, "other/chat_template.jinja": b"no", "vocab.json": b"no"})
        self.hub.add("model", "org/older", {"config.json": b"{}", "vocab.json": b"{}", "merges.txt": b""})
        self.check(self.fetch_models("org/more", "org/older", "--config-only"))
        there = {str(path.relative_to(self.models / "org/more")) for path in (self.models / "org/more").rglob("*.*")}
        self.assertEqual(there, {*CONFIG, *more, ".fetched.json"})
        self.assertTrue((self.models / "org/older/merges.txt").exists())

    def test_a_cut_connection_is_taken_up_where_it_broke(self):
        self.hub.add("model", "org/big", {**CONFIG, "model.safetensors": BIG})
        self.hub.faults["model.safetensors"] = Fault(behind=CHUNK + 1000)
        self.check(self.fetch_models("org/big"))
        self.assertEqual((self.models / "org/big/model.safetensors").read_bytes(), BIG)
        self.assertEqual(self.hub.asked[-2:], [("model.safetensors", None), ("model.safetensors", f"bytes={CHUNK}-")])

    def test_a_killed_fetch_goes_on_where_it_was(self):
        self.hub.add("model", "org/big", {**CONFIG, "model.safetensors": BIG})
        stall = threading.Event()
        self.addCleanup(stall.set)
        self.hub.faults["model.safetensors"] = Fault(behind=CHUNK + 1000, stall=stall)
        process = self.start("models.py", "org/big", "--to", self.models)
        folder = self.models / "org/big"
        self.wait_for(lambda: any(path.stat().st_size >= CHUNK for path in folder.glob(".*.part")), process, "part")
        os.killpg(process.pid, signal.SIGKILL)
        finished(process)
        self.assertFalse((folder / "model.safetensors").exists())
        self.check(self.fetch_models("org/big"))
        self.assertEqual((folder / "model.safetensors").read_bytes(), BIG)
        self.assertEqual(self.hub.asked[-1], ("model.safetensors", f"bytes={CHUNK}-"))
        self.assertEqual([name for name, _ in self.hub.asked].count("config.json"), 1)

    def test_a_part_that_is_longer_than_its_file_is_begun_anew(self):
        self.hub.add("model", "org/small", {**CONFIG, "model.safetensors": b"weights"})
        folder = self.models / "org/small"
        folder.mkdir(parents=True)
        (folder / f".model.safetensors.{digest('model.safetensors', b'weights')[:12]}.part").write_bytes(bytes(99))
        self.check(self.fetch_models("org/small"))
        self.assertEqual((folder / "model.safetensors").read_bytes(), b"weights")
        self.assertEqual(self.hub.asked[-1], ("model.safetensors", None))

    def test_the_revision_asked_for_is_the_one_that_is_there(self):
        first, second = "a" * 40, "b" * 40
        folder = self.models / "org/small"
        index = json.dumps({"weight_map": {"a": "model-1.safetensors"}}).encode()
        sharded = {"model-1.safetensors": b"1", "model.safetensors.index.json": index}
        self.hub.add("model", "org/small", {**CONFIG, **sharded}, commit=first)
        self.check(self.fetch_models("org/small"))
        self.assertIn("is there", self.check(self.fetch_models("org/small", "--revision", first[:7])).out)
        self.refused(self.fetch_models("org/small", "--revision", "v2"), 4, "org/small lacks this revision")
        self.assertIn("is there", self.check(self.fetch_models("org/small")).out)
        files = {**CONFIG, "config.json": b"[]", "model.safetensors": b"2"}
        self.hub.add("model", "org/small", files, commit=second)
        self.assertIn("fetched", self.check(self.fetch_models("org/small", "--revision", second)).out)
        there = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".fetched.json"}
        self.assertEqual(there, files)  # none of the other revision's weights
        self.assertIn("is there", self.check(self.fetch_models("org/small", "--revision", second)).out)

    def test_a_file_that_does_not_fit_its_checksum_is_refused(self):
        for name in ("model.safetensors", "config.json"):
            self.host_tiny(corrupt={name})
            self.refused(self.fetch_models("org/tiny"), 5, f"{name} of org/tiny came with another checksum")
            self.assertFalse((self.models / "org/tiny" / name).exists())
            shutil.rmtree(self.models)
        self.host_tiny()
        self.check(self.fetch_models("org/tiny"))

    def test_what_cannot_be_had_is_said_and_the_others_come(self):
        self.host_tiny()
        self.hub.add("model", "org/gated", {**CONFIG, "model.safetensors": b"w"}, token="secret")
        self.hub.add("model", "org/bin", {**CONFIG, "pytorch_model.bin": b"w"})
        index = json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}).encode()
        self.hub.add("model", "org/shards", {**CONFIG, "model-1.safetensors": b"w",
                                             "model.safetensors.index.json": index})
        outcome = self.fetch_models("org/gated", "org/none", "org/bin", "org/shards", "a b", "org/tiny")
        self.refused(outcome, 4, "org/gated is gated: accept its licence at https://huggingface.co/org/gated",
                     f"org/none is not on {self.hub.url}, or it is private", "org/bin has no weights as safetensors",
                     "org/shards: 1 of 2 files of its weights are not", "'a b' is no name of a repository")
        self.assertIn("org/tiny fetched", outcome.out)
        self.check(self.fetch_models("org/gated", HF_TOKEN="secret"))
        self.refused(self.fetch_models("org/tiny", "--config-only", HF_ENDPOINT="http://127.0.0.1:9"), 0)  # it is there
        shutil.rmtree(self.models)
        self.refused(self.fetch_models("org/tiny", "--revision", "v2"), 4, "org/tiny lacks this revision")
        self.refused(self.fetch_models("org/tiny", HF_ENDPOINT="http://127.0.0.1:9"), 4,
                     "no connection to http://127.0.0.1:9")
        self.refused(self.fetch_models("no.toml"), 2, "cannot read 'no.toml'")

    def test_offline_takes_from_the_cache_alone(self):
        self.host_tiny()
        self.hub.add("model", "org/other", CONFIG)
        fill = ("from huggingface_hub import hf_hub_download as d\n"
                "for n in ('config.json', 'tokenizer.json', 'model.safetensors'): d('org/tiny', n)\n")
        subprocess.run([sys.executable, "-c", fill], check=True, capture_output=True, timeout=30, env={
            **os.environ, "HF_ENDPOINT": self.hub.url, "HF_HOME": str(self.home / "hf")})
        asked = len(self.hub.asked)
        outcome = self.fetch_models("org/tiny", "org/other", HF_HUB_OFFLINE="1")
        self.refused(outcome, 4, f"org/other at main is not in the cache {self.home}/hf/hub, and HF_HUB_OFFLINE")
        self.assertIn("org/tiny fetched", outcome.out)
        self.assertEqual((self.models / "org/tiny/model.safetensors").read_bytes(),
                         (self.folder / "models/org/tiny/model.safetensors").read_bytes())
        self.refused(self.fetch("data.py", "countries", "musique", HF_HUB_OFFLINE="1"), 4,
                     "countries.jsonl: it lies on GitHub", "dgslibisey/MuSiQue at c8f4f8c9465f is not in the cache")
        self.assertEqual(len(self.hub.asked), asked)

    def test_a_log_gets_plain_lines_of_progress(self):
        class Often(fetch_data.hub.PlainProgress):
            every_s = 0.0

        out = io.StringIO()
        with contextlib.redirect_stderr(out), Often(desc="a.safetensors", total=9_000_000, initial=1_000_000) as bar:
            bar.update(2_000_000)
        self.assertEqual(out.getvalue(), "   a.safetensors: 3.0 of 9.0 MB\n")

    # ---- data sets

    def test_every_data_set_is_recognised_as_it_comes(self):
        self.host_data()
        names = [name for name, target in fetch_data.TARGETS.items()
                 if isinstance(fetch_data.SOURCES[target], fetch_data.Hub)]
        outcome = self.check(self.fetch("data.py", *names))
        self.assertEqual([path.name for path in self.data.iterdir() if path.name.startswith(".")], [])
        listed = self.check(call(["ls", "datasets", "--data", self.data])).out
        table, _, notes = listed.partition("\n\n")
        refused = [line for line in notes.splitlines() if not line.endswith("not comparable to the paper's.")]
        self.assertEqual(refused, [])
        lines = {line.split()[0]: line for line in table.splitlines()}
        known = set(table.split("\n", 2)[2].split("\n")) - {""}
        whole = {name for name in (line.split()[0] for line in known) if "+" not in name}  # a mix: its parts
        self.assertEqual(whole, {*fetch_data.TARGETS, "demo"})
        self.assertEqual({name for name in names if "missing" in lines[name]}, set(), listed)
        for name in ("hotpotqa", "repobench", "twowikimqa"):
            self.assertIn(f"{self.data}/{fetch_data.TARGETS[name]}", lines[name])
        for split in ("dev", "val", "test"):
            for path in sorted((RECORDS / "mmlu" / split).iterdir()):
                mine, again = (call_csv(file) for file in (path, self.data / "mmlu" / split / path.name))
                self.assertEqual(again, mine)
        fetched = [json.loads(line) for line in (self.data / fetch_data.TARGETS["hotpotqa"]).read_text().splitlines()]
        self.assertEqual(fetched, records_of("hotpot_hub.jsonl"))
        self.assertEqual([name for name, _ in self.hub.asked].count("data.zip"), 1)
        again = self.check(self.fetch("data.py", *names))
        self.assertEqual(again.out.count("is there"), outcome.out.count("fetched"))

    def test_a_data_set_that_is_laid_out_otherwise_leaves_nothing(self):
        self.host_data()
        source = fetch_data.SOURCES[fetch_data.TARGETS["qasper"]]
        self.hub.add("dataset", source.repo, {"qasper.zip": as_zip(**{"other.jsonl": b"{}"})})
        self.hub.repos["dataset", "knkarthick/samsum"].files.clear()
        outcome = self.fetch("data.py", "qasper", "samsum", "musique_full")
        self.refused(outcome, 4, "scrolls_qasper.jsonl: tau/scrolls at", "is not laid out as expected",
                     "knkarthick/samsum has no file test.csv")
        self.assertEqual({path.name for path in self.data.iterdir()}, {".part", "musique_ans.jsonl"})
        kept = {path.name for path in (self.data / ".part/downloads").rglob("*") if path.is_file()}
        self.assertEqual(kept, {"qasper.zip"})
        listed = self.check(call(["ls", "datasets", "--data", self.data])).out
        self.assertIn(f"missing: launch/fetch/data.py qasper --to {self.data}\n", listed)
        self.refused(self.fetch("data.py", "hotpot"), 2, "no data set hotpot to fetch; there are: countries")

    def test_long_benchs_own_files_are_not_taken_for_others_of_their_names(self):
        self.host_data()
        self.data.mkdir()
        parts = ("hotpotqa", "musique", "qasper")
        for part in parts:
            shutil.copy(RECORDS / f"longbench_{part}.jsonl", self.data / f"{part}.jsonl")
        self.assertEqual(self.check(self.fetch("data.py", *parts)).out.count("fetched"), 3)
        listed = self.check(call(["ls", "datasets", "--data", self.data])).out
        for part in parts:
            self.assertRegex(listed, rf"\n{part} .* {self.data}/{fetch_data.TARGETS[part]}\n")
            self.assertRegex(listed, rf"\nlongbench_{part} .* {self.data}/{part}\.jsonl\n")

    def test_a_fetch_leaves_alone_what_another_has_half_done(self):
        self.host_data()
        stall = threading.Event()
        self.addCleanup(stall.set)
        self.hub.faults["musique_ans_v1.0_dev.jsonl"] = Fault(behind=10, stall=stall)
        process = self.start("data.py", "musique")
        self.wait_for(lambda: any((self.data / ".part").rglob(".*.part")), process, "part")
        self.check(self.fetch("data.py", "samsum", "longbench_musique"))
        stall.set()
        self.check(finished(process, 30))
        self.assertEqual({path.name for path in self.data.iterdir()},
                         {"samsum.csv", "longbench_musique.jsonl", "musique_ans.jsonl"})

    def host_release(self, files):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as archive:
            for name, data in files.items():
                entry = tarfile.TarInfo(f"KVComm-{fetch_data.COMMIT}/{name}")
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
        self.hub.plain[f"/{fetch_data.AUTHORS}/archive/{fetch_data.COMMIT}.tar.gz"] = out.getvalue()

    def test_the_authors_own_data_come_from_their_release(self):
        line = b'{"prompt_A": "Ann is at the mill.", "prompt_B": "Where?", "y": "there", "label": "there"}\n'
        problems = {f"dataloader/data/TMATH/{path.relative_to(RECORDS / 'TMATH')}": path.read_bytes()
                    for path in (RECORDS / "TMATH").rglob("*.json")}
        files = {"dataloader/data/countries.jsonl": line, "dataloader/data/TMATH/README.md": b"", **problems}
        self.host_release(files)
        self.host_data()
        self.refused(self.fetch("data.py", "countries", "tmath"), 5,
                     "countries.jsonl of Zephyroam/KVComm has another checksum", "TMATH of Zephyroam/KVComm")
        self.assertFalse(self.data.exists())
        inner = {name.split("TMATH/")[1]: data for name, data in problems.items()}
        sums = {"countries.jsonl": fetch_data.checksum({"": line}), "TMATH": fetch_data.checksum(inner)}
        code = ("import dataclasses, sys, data as f\n"
                f"for name, sum in {sums}.items(): f.SOURCES[name] = dataclasses.replace(f.SOURCES[name], sha256=sum)\n"
                "sys.exit(f.main())")
        outcome = subprocess.run(
            [sys.executable, "-c", code, "countries", "tmath", "samsum"], cwd=self.home, timeout=30, text=True,
            capture_output=True, env={
                **os.environ, "GITHUB_ENDPOINT": self.hub.url, "HF_ENDPOINT": self.hub.url,
                "HF_HOME": str(self.home / "hf"), "PYTHONPATH": str(FETCH)})
        self.assertEqual(outcome.returncode, 0, outcome.stderr)
        self.assertEqual({path.name for path in self.data.iterdir()}, {"countries.jsonl", "TMATH", "samsum.csv"})
        listed = self.check(call(["ls", "datasets", "--data", self.data])).out
        self.assertRegex(listed, rf"countries +1 .*{self.data}/countries.jsonl")
        self.assertRegex(listed, rf"tmath +{len(problems)} .*{self.data}/TMATH")


def call_csv(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


if __name__ == "__main__":
    main()
