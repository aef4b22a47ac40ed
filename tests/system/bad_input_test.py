"""What is wrong gets a sentence that says what, where, and the cure, before any long work."""

import json
import shutil
import subprocess

from support import SystemTest, call, demo_records, main, make_model, method_table, pair_table

KVCOMM = '[[method]]\nname = "kvcomm"\n{}\n'
USAGE, ENVIRONMENT = 2, 4


class BadInput(SystemTest):
    def refused(self, outcome, code, *parts):
        """Quickly, with that code, in one sentence that holds these parts; nothing is begun."""
        self.check(outcome, code)
        for part in parts:
            self.assertIn(str(part), outcome.log)
        self.assertEqual(outcome.out, "")
        errors = [line for line in outcome.log.splitlines() if " error " in line or " critical " in line]
        self.assertEqual(len(errors), 1, outcome.log)
        for trace in ("terminate called", "what():", "Traceback", "std::", "Internal error"):
            self.assertNotIn(trace, outcome.log)
        self.assertLess(outcome.seconds, 10)

    def refuses(self, sweep, code, *parts, ranks=1, **options):
        """`run` does, and leaves no row behind."""
        self.refused(sweep.run("refused", ranks, **options), code, *parts)
        self.assertEqual(sweep.samples_stored("refused"), 0)

    def both_refuse(self, sweep, code, *parts):
        """So does `plan`."""
        self.refuses(sweep, code, *parts)
        self.refused(call(sweep.arguments("plan", "refused")), code, *parts)

    @staticmethod
    def place(sweep, text):
        """file.toml:line where this stands."""
        lines = sweep.toml.read_text().splitlines()
        return f"{sweep.toml.name}:{next(i for i, line in enumerate(lines, 1) if line.startswith(text))}:"

    def refuses_method(self, name, method, *parts, code=USAGE, both=False, **options):
        """A sweep with this one method: its place, and these parts of the sentence."""
        sweep = self.sweep(name, methods=f"[[method]]\n{method}\n", **options)
        (self.both_refuse if both else self.refuses)(sweep, code, self.place(sweep, method.splitlines()[0]), *parts)

    def with_model(self, name, config=None):
        """A model folder org/<name> with keys of its config.json changed, and a sweep with it as the sender."""
        folder = self.folder / "models/org" / name
        make_model(folder, config=config)
        return folder, self.sweep(name, pairs=pair_table(f"org/{name}", "org/tiny"))

    # ---- models

    def test_no_such_model(self):
        sweep = self.sweep("nomodel", pairs=pair_table("org/tiny", "org/tinny"))
        self.refuses(sweep, ENVIRONMENT, self.folder / "models/org/tinny", "paths.models")

    def test_missing_weights(self):
        folder, sweep = self.with_model("noweights")
        (folder / "model.safetensors").unlink()
        self.refuses(sweep, ENVIRONMENT, f"No weights in '{folder}'", "model.safetensors")

    def test_truncated_weights(self):
        folder, sweep = self.with_model("cut")
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1000])
        self.both_refuse(sweep, ENVIRONMENT, weights, "cut off", "Fetch the file again")
        weights.write_bytes(b"")
        self.refuses(sweep, ENVIRONMENT, weights, "empty")

    def test_missing_shard(self):
        folder, sweep = self.with_model("shard")
        (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
        (folder / "model.safetensors.index.json").write_text(json.dumps(
            {"weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors",
                            "lm_head.weight": "model-00002-of-00002.safetensors"}}))
        self.refuses(sweep, ENVIRONMENT, folder / "model-00002-of-00002.safetensors", "No such file")

    def test_weights_of_another_model(self):
        folder, sweep = self.with_model("misfit", {"intermediate_size": 64})
        self.refuses(sweep, ENVIRONMENT, folder, "model.layers.0.mlp.down_proj.weight", "48", "64")

    def test_unknown_architecture(self):
        folder, sweep = self.with_model("mamba", {"architectures": ["MambaForCausalLM"]})
        self.refuses(sweep, ENVIRONMENT, folder / "config.json", "MambaForCausalLM", "LlamaForCausalLM")

    def test_config_that_is_no_json(self):
        folder, sweep = self.with_model("nojson")
        (folder / "config.json").write_text('{"architectures": [')
        self.refuses(sweep, ENVIRONMENT, folder / "config.json", "no valid JSON")

    def test_different_layers_or_heads(self):
        for name, key, value, words in (("deep", "num_hidden_layers", 3, ("3 layers", "4")),
                                        ("heads", "num_key_value_heads", 4, ("4 KV heads", "2")),
                                        ("wide", "head_dim", 16, ("16 entries a head", "8"))):
            with self.subTest(name):
                _, sweep = self.with_model(name, {key: value})
                self.refuses(sweep, USAGE, f"kvcomm(ratio=0.25) for pair '{name}--tiny'", *words,
                             "fine-tunes of one base")

    def test_no_tokenizer(self):
        folder, _ = self.with_model("mute")
        sweep = self.sweep("mute", pairs=pair_table("org/tiny", "org/mute"))
        (folder / "tokenizer_config.json").unlink()
        self.refuses(sweep, ENVIRONMENT, folder, "chat_template")
        (folder / "tokenizer.json").unlink()
        self.refuses(sweep, ENVIRONMENT, folder / "tokenizer.json")

    # ---- data

    def test_data_line_without_a_field(self):
        records = demo_records(5)
        del records[3]["question"]
        sweep = self.sweep("nofield", records=records)
        self.both_refuse(sweep, USAGE, "nofield.jsonl:4", "'question'", "answers")

    def test_data_line_that_is_no_json(self):
        sweep = self.sweep("torn")
        with open(self.folder / "torn.jsonl", "a") as file:
            file.write('{"id": "x", "context": ')
        self.refuses(sweep, USAGE, "torn.jsonl:11")

    def test_no_data_file(self):
        sweep = self.sweep("nodata")
        (self.folder / "nodata.jsonl").unlink()
        self.refuses(sweep, USAGE, self.folder / "nodata.jsonl", "path in its [[dataset]]")

    # ---- configuration

    def test_unknown_names_with_the_near_miss(self):
        for name, methods, place, words in (
                ("key", KVCOMM.format("ratoi = 0.5"), "ratoi", ("'ratoi'", "'ratio'")),
                ("method", method_table("kvcom"), 'name = "kvcom"', ("'kvcom'", "'kvcomm'")),
                ("other", method_table("telepathy"), 'name = "telepathy"', ("'telepathy'", "cipher")),
                ("parameter", method_table("nld", temperature=1), "temperature", ("phase1_tokens",)),
                ("table", "[[methods]]\nname = 'kvcomm'\n", "[[methods]]", ("'methods'", "'method'"))):
            with self.subTest(name):
                sweep = self.sweep(name, methods=methods)
                self.refuses(sweep, USAGE, self.place(sweep, place), *words)

    def test_unknown_names_on_the_command_line(self):
        for given, words in (("run.limti=5", ("--set run.limti", "'limit'")),
                             ("fidelity.sink_tokne=true", ("--set fidelity.sink_tokne", "'sink_token'")),
                             ("dataset.dmo.limit=5", ("--set dataset.dmo", "'demo'"))):
            with self.subTest(given):
                self.refuses(self.sweep("sets"), USAGE, *words, sets=[given])

    def test_values_out_of_range(self):
        for name, line, words in (("zero", "ratio = 0.0", ("ratio", "above 0 and up to 1")),
                                  ("above", "ratio = [0.5, 1.5]", ("1.5", "up to 1")),
                                  ("type", 'ratio = "half"', ("'half'", "a number"))):
            with self.subTest(name):
                sweep = self.sweep(name, methods=KVCOMM.format(line))
                self.refuses(sweep, USAGE, self.place(sweep, "ratio"), *words)
        sweep = self.sweep("both", methods=KVCOMM.format("ratio = 0.5\nlayers = [0]"))
        self.both_refuse(sweep, USAGE, self.place(sweep, "[[method]]"), "both ratio and layers")

    def test_layers_outside_the_model(self):
        self.refuses(self.sweep("outside", methods=KVCOMM.format("layers = [1, 4]")), USAGE, "4", "0 to 3")
        beyond = self.sweep("beyond", methods=method_table("contiguous", from_=2, to=7))
        self.refuses(beyond, USAGE, "7", "0 to 3")

    def test_layers_that_activations_cannot_have(self):
        self.refuses_method("k", 'name = "ac"', "k = 26, the default, lies outside the sender", "0 to 3", both=True)
        self.refuses_method("j", 'name = "ac"\nk = 3\nj = 4', "ac(k=3, j=4)", "j = 4", "receiver", "0 to 3")

    def test_layer_counts_and_windows_outside_the_model(self):
        self.refuses_method("count", 'name = "kvcomm"\nlayer_count = [1, 5]', "layer_count = 5", "4 layers")
        self.refuses_method("window", 'name = "contiguous"\nsweep_width = 5', "sweep_width = 5", "4 layers")

    def test_parameters_of_the_other_methods(self):
        for name, method, line, words in (
                ("f", 'name = "ac"\nf = "add"', "f = ", ("'add'", "'replace' or 'sum' or 'mean'")),
                ("phase1", 'name = "nld"\nphase1_tokens = 0', "phase1_tokens", ("is 0", "from 1")),
                ("hot", 'name = "cipher"\ntemperature = 0.0', "temperature", ("0.0", "above 0")),
                ("aware", 'name = "cipher"\nsender_aware = "yes"', "sender_aware", ("'yes'", "true or false"))):
            with self.subTest(name):
                sweep = self.sweep(name, methods=f"[[method]]\n{method}\n")
                self.refuses(sweep, USAGE, self.place(sweep, line), *words)

    def test_fidelity(self):
        sweep = self.sweep("field", run='fidelity = "release"\n[fidelity]\nlayer_count = "round"')
        self.refuses(sweep, USAGE, self.place(sweep, "layer_count"), "'round'", "'ceil' or 'floor'")
        self.refuses_method("nothing", 'name = "kvcomm"\nratio = 0.2', "leaves none to send", "0.25 or more",
                            run='fidelity = "release"\n[fidelity]\nkeep_layer0 = false\nsink_token = false')

    def test_eos_that_the_tokenizer_lacks(self):
        for name, token in (("none", None), ("other", "<end>")):
            folder, _ = self.with_model(name)
            config = json.loads((folder / "tokenizer_config.json").read_text())
            config["eos_token"] = token
            (folder / "tokenizer_config.json").write_text(json.dumps(config))
            self.refuses_method(name, 'name = "cipher"', folder, "tokenizer_config.json", token or "none",
                                pairs=pair_table("org/tiny", f"org/{name}"))

    def test_prompts_that_a_method_needs(self):
        prompts = self.folder / "prompts.toml"
        prompts.write_text('[qa]\nsender = "{context}"\nreceiver = "{question}"\n')
        sweep = self.sweep("debate", methods=method_table("nld"))
        self.refuses(sweep, USAGE, self.place(sweep, 'name = "nld"'), prompts, "'sender_summary'", "[demo] or [qa]",
                     sets=[f"paths.prompts={prompts}"])
        self.refuses(sweep, USAGE, prompts, "'refine'",
                     sets=[f"paths.prompts={prompts}", "method.nld.sender_aware=false"])

    def test_model_to_list_costs_of(self):
        self.refused(call(["ls", "methods", "--model", "nobody", "--models", self.folder]), ENVIRONMENT,
                     self.folder / "nobody")

    def test_devices_that_are_not_there(self):
        if shutil.which("nvidia-smi"):
            self.skipTest("this machine has a GPU")
        sweep = self.sweep("gpu")
        self.refuses(sweep, ENVIRONMENT, 'run.device = "cuda"', "auto", sets=["run.device=cuda"])
        self.refused(sweep.run("refused", 2, ["run.transport=nccl"]), ENVIRONMENT, "run.transport", "mpi")

    def test_files_that_are_not_there(self):
        self.refused(call(["run", self.folder / "no.toml"]), USAGE, self.folder / "no.toml", "No such file")
        self.refused(call(["merge", self.folder / "nowhere"]), USAGE, self.folder / "nowhere/journal")

    def test_command_line(self):
        for arguments in (["rnu"], ["run"], ["run", "--outptu", "x", "y.toml"], ["ls", "cells"], []):
            with self.subTest(arguments):
                outcome = self.check(call(arguments), USAGE)
                self.assertIn("--help", outcome.log + outcome.out)

    # ---- the run's surroundings

    def test_unwritable_output(self):
        file = self.folder / "plain"
        file.write_text("not a folder")
        sweep = self.sweep("unwritable")
        for output in (file / "below", file):
            outcome = sweep.run(output)
            self.refused(outcome, USAGE, output, "--output")
        self.assertEqual(file.read_text(), "not a folder")

    def test_full_output(self):
        """A file system without room, where one can be mounted."""
        disk = self.folder / "disk"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k,nr_inodes=12", "tmpfs", disk],
                                 capture_output=True, check=False)
        if mounted.returncode != 0:
            self.skipTest(f"no right to mount: {mounted.stderr.decode().strip()}")
        self.addCleanup(subprocess.run, ["umount", disk], check=True)
        outcome = self.check(self.sweep("disk").run("disk"), ENVIRONMENT)
        self.assertIn("No space left on device", outcome.log)

    def test_world_that_does_not_fit(self):
        sweep = self.sweep("three")
        self.refuses(sweep, USAGE, "world of 3", "mpirun -np 4", ranks=3)

    def test_refusals_in_a_world_of_two(self):
        """The first rank that fails speaks, once; the launcher adds nothing of its own before it."""
        folder, sweep = self.with_model("pair", {"num_hidden_layers": 3})
        self.refuses(sweep, USAGE, "3 layers", ranks=2)
        sweep = self.sweep("typo", methods=KVCOMM.format("ratoi = 1"))
        self.refuses(sweep, USAGE, "ratoi", ranks=2)


if __name__ == "__main__":
    main()
