"""What lies in a model's folder decides answers and keys: all of it, and nothing else that lies there."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from support import CHECKPOINTS, SystemTest, call, demo_records, main, make_model, method_table, pair_table, tables

SKYLINE = method_table("skyline")
HEAD = "lm_head.weight"


def pair(sender, receiver=None, name=None):
    return pair_table(f"org/{sender}", f"org/{receiver or sender}", name=name or sender)


class ModelFolder(SystemTest):
    def model(self, name, config=None, checkpoint="tiny-llama"):
        """A folder org/<name> with keys of its config.json changed."""
        folder = self.folder / "models/org" / name
        make_model(folder, checkpoint, config)
        return folder

    def flip(self, weights, place):
        with weights.open("r+b") as file:
            file.seek(place)
            byte = file.read(1)[0]
            file.seek(place)
            file.write(bytes([byte ^ 0x80]))

    def flip_tensor(self, weights, name):
        """The sign of every value of a tensor in bfloat16."""
        content = bytearray(weights.read_bytes())
        size = int.from_bytes(content[:8], "little")
        header = json.loads(content[8:8 + size])
        begin, end = (8 + size + offset for offset in header[name]["data_offsets"])
        content[begin:end] = (np.frombuffer(bytes(content[begin:end]), "<u2") ^ 0x8000).tobytes()
        weights.write_bytes(content)

    def run_pairs(self, name, pairs, **options):
        """A run's outcome, and by pair its key and answers."""
        sweep = self.sweep(name, SKYLINE, demo_records(4), pairs=pairs)
        outcome = self.check(sweep.run(f"{name}-out", **options))
        frames = tables(sweep.results(f"{name}-out"))
        keys = dict(zip(frames["cells"]["pair"], frames["cells"]["key"]))
        answers = {pair: list(group["answer"]) for pair, group in frames["samples"].groupby("pair")}
        return outcome, keys, answers

    def test_a_file_that_cannot_be_read_is_the_environments(self):
        for number, file in enumerate(("config.json", "generation_config.json", "tokenizer_config.json",
                                       "tokenizer.json", "chat_template.jinja")):
            folder = self.model(f"folder{number}")
            (folder / file).unlink(missing_ok=True)
            (folder / file).mkdir()
            outcome = self.sweep(f"folder{number}", SKYLINE, pairs=pair(f"folder{number}")).run(f"folder{number}-out")
            self.check(outcome, 4)
            self.assertIn(f"Cannot read '{folder / file}': it is a folder", outcome.log)

    # ---- every byte

    def test_an_edited_model_gets_answers_of_its_own(self):
        self.model("first")
        edited = self.model("edited")
        self.flip_tensor(edited / "model.safetensors", "model.layers.0.mlp.down_proj.weight")
        _, keys, answers = self.run_pairs("edits", pair("first") + pair("edited"))
        self.assertNotEqual(keys["first"], keys["edited"])
        self.assertNotEqual(answers["first"], answers["edited"])
        _, _, alone = self.run_pairs("alone", pair("edited"))
        self.assertEqual(answers["edited"], alone["edited"])

    def test_a_byte_changed_between_two_runs_is_work_anew(self):
        weights = self.model("later") / "model.safetensors"
        sweep = self.sweep("later", SKYLINE, pairs=pair("later"))
        self.check(sweep.run("later-out"))
        before = os.stat(weights)
        self.flip(weights, weights.stat().st_size // 2 + 1)
        os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
        outcome = self.check(sweep.run("later-out"))
        self.assertEqual(sweep.samples_stored("later-out"), 20, outcome)
        self.check(sweep.run("later-out"))
        self.assertEqual(sweep.samples_stored("later-out"), 20)

    def test_the_dictionary_of_lemmas_is_part_of_a_key(self):
        words = self.folder / "wordnet"
        words.mkdir()
        for part in ("noun", "verb", "adj", "adv"):
            (words / f"index.{part}").write_text("  1 WordNet 9.1 Copyright 2099\ndog n 1\n")
            (words / f"{part}.exc").write_text("")
        records = [{"id": f"q{i}", "question": "What?", "answer": "dog", "type": "bridge", "level": "hard",
                    "supporting_facts": {"title": ["A"], "sent_id": [0]},
                    "context": {"title": ["A"], "sentences": [["A dog."]]}} for i in range(3)]
        sweep = self.sweep("lemmas", SKYLINE, records)
        sweep.toml.write_text(sweep.toml.read_text().replace('name = "demo"', 'name = "hotpotqa"'))

        def key(environment):
            output = tempfile.mkdtemp(dir=self.folder)
            self.check(sweep.run(output, environment=environment))
            return tables(Path(output) / "results.h5")["cells"].iloc[0]

        first, none = key({"WNSEARCHDIR": str(words)}), key({"WNSEARCHDIR": "/none"})
        self.assertEqual(first.normalisation, "release-f1, WordNet 9.1 lemmas")
        self.assertEqual(key({"WNSEARCHDIR": str(words)}).key, first.key)
        (words / "noun.exc").write_text("geese goose\n")
        second = key({"WNSEARCHDIR": str(words)})
        self.assertEqual(second.normalisation, first.normalisation)
        self.assertEqual(len({first.key, second.key, none.key}), 3)
        self.assertNotIn("lemmas", json.loads(none.key_json))

    # ---- what is not hashed yet

    def test_plan_marks_what_is_unknown(self):
        self.model("unknown")
        sweep = self.sweep("unknown", SKYLINE, pairs=pair("unknown"))
        cache = {"XDG_CACHE_HOME": str(self.folder / "cache-of-its-own")}

        def stored(*more):
            outcome = self.check(call(sweep.arguments("plan", "unknown-out", more=more), environment=cache))
            line = next(line for line in outcome.out.splitlines() if line.startswith("skyline"))
            return line.split()[2], outcome.out

        self.assertEqual(stored()[0], "0")  # there is no row at all
        self.check(sweep.run("unknown-out", environment=cache))
        self.assertEqual(stored()[0], "10")
        shutil.rmtree(cache["XDG_CACHE_HOME"])
        count, out = stored()
        self.assertEqual(count, "?")
        self.assertIn(f"those of '{self.folder}/models/org/unknown' are not hashed yet: `kvcomm plan --hash`", out)
        count, out = stored("--hash")
        self.assertEqual(count, "10")
        self.assertNotIn("hashed", out)
        self.assertEqual(stored()[0], "10")

    def test_without_a_cache_a_run_is_as_any(self):
        self.model("uncached")
        for name, environment in (("null", {"XDG_CACHE_HOME": "/dev/null"}),
                                  ("none", {"XDG_CACHE_HOME": "", "HOME": ""})):
            with self.subTest(name):
                outcome, keys, _ = self.run_pairs(f"uncached-{name}", pair("uncached"), environment=environment)
                self.assertEqual(outcome.log.count("cannot be kept"), 1, outcome)
                _, cached, _ = self.run_pairs(f"cached-{name}", pair("uncached"))
                self.assertEqual(keys, cached)

    # ---- tied embeddings with a head of their own

    def test_a_head_of_other_values_is_used_or_dropped_never_in_silence(self):
        self.model("untied")
        self.model("both", {"tie_word_embeddings": True})
        outcome, paper, answers = self.run_pairs("heads", pair("untied") + pair("both"))
        self.assertEqual(answers["both"], answers["untied"])
        self.assertEqual(outcome.log.count("lm_head.weight of other values: it is used"), 1, outcome)
        outcome, release, dropped = self.run_pairs("release", pair("both"), sets=["run.fidelity=release"])
        self.assertIn("lm_head.weight of other values: it is dropped", outcome.log)
        self.assertNotEqual(dropped["both"], answers["both"])
        _, tied, by_field = self.run_pairs("field", pair("both"), sets=["fidelity.tie_other_head=true"])
        self.assertEqual(by_field["both"], dropped["both"])
        self.assertEqual(tied, release)  # all else that Skyline does is the same in both
        self.assertNotEqual(tied, {"both": paper["both"]})
        outcome, _, two_ranks = self.run_pairs("ranks", pair("both"), ranks=2)
        self.assertEqual(two_ranks["both"], answers["both"])
        self.assertEqual(outcome.log.count("lm_head.weight"), 1, outcome)

    def test_where_there_is_no_other_head_nothing_is_said(self):
        self.model("tied", checkpoint="tiny-llama3-tied")
        outcome, keys, _ = self.run_pairs("silent", pair("tied"))
        self.assertNotIn("lm_head", outcome.log)
        _, same, _ = self.run_pairs("silent-too", pair("tied"), sets=["fidelity.tie_other_head=true"])
        self.assertEqual(same, keys)

    # ---- what is no model as this program reads them

    def test_folders_that_are_no_plain_model(self):
        for name, config, file, words in (
                ("quantised", {"quantization_config": {"quant_method": "gptq", "bits": 4}}, None,
                 ("config.json", '"gptq"', "take the model")),
                ("adapter", None, ("adapter_config.json", '{"base_model_name_or_path": "org/base"}'),
                 ("adapter_config.json", '"org/base"', "merge the two")),
                ("ropes", {"rope_parameters": {"rope_theta": 500000.0}}, None, ("10000.0", "500000.0"))):
            with self.subTest(name):
                folder = self.model(name, config)
                if file:
                    (folder / file[0]).write_text(file[1])
                for command in ("run", "plan"):
                    sweep = self.sweep(name, SKYLINE, pairs=pair(name))
                    outcome = self.check(call(sweep.arguments(command, name)), 4)
                    for word in (str(folder), *words):
                        self.assertIn(word, outcome.log)

    def test_weights_in_another_form(self):
        folder = self.model("pickled")
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
        sweep = self.sweep("pickled", SKYLINE, pairs=pair("pickled"))
        outcome = self.check(sweep.run("pickled-out"), 4)
        for word in (f"No weights in '{folder}'", "'pytorch_model.bin'", "safe_serialization=True"):
            self.assertIn(word, outcome.log)
        outcome = self.check(call(sweep.arguments("plan", "pickled-out")))
        self.assertIn("'pytorch_model.bin'", outcome.out)

    def test_files_that_nothing_names_are_nobodys(self):
        folder = self.model("strays")
        before = self.run_pairs("strays", pair("strays"))[1:]
        for stray in ("consolidated.safetensors", "adapter_model.safetensors"):
            shutil.copy(CHECKPOINTS / "tiny-qwen2/model.safetensors", folder / stray)
        self.assertEqual(self.run_pairs("strays-too", pair("strays"))[1:], before)


if __name__ == "__main__":
    main()
