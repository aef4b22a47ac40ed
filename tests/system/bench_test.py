"""`kvcomm bench`: what its tables and records say of tiny models, and what it refuses before it begins."""

import json
import re

from support import CHECKPOINTS, DEVICE, SystemTest, call, main

USAGE, ENVIRONMENT_CODE = 2, 4
QUICK_WIRE = ["--samples", 3, "--warm-up", 1]
QUICK_MODEL = ["--prompt", 6, "--generate", 3, "--batch", 2, "--repeats", 1, "--threads", 1]
SHAPE = {"num_hidden_layers": 4, "num_key_value_heads": 2}  # of every checkpoint
HEAD_DIM = {"tiny-llama": 8, "tiny-falcon3": 16}


def columns(text):
    """The table below its title and line of dashes: a list of texts for each column, in order of the heads."""
    lines = text.splitlines()
    heads, *rows = [re.split(r" {2,}", line.strip()) for line in (lines[1], *lines[3:])]
    assert all(len(row) == len(heads) for row in rows), text
    return heads, rows


class Bench(SystemTest):
    def bench(self, *arguments, code=0, **options):
        outcome = self.check(call(["bench", *arguments, "--device", DEVICE], **options), code)
        return outcome if code else outcome.out

    def record(self, name, *arguments, **options):
        path = self.folder / f"{name}.json"
        out = self.bench(*arguments, "--json", path, **options)
        record = json.loads(path.read_text())
        self.assertEqual(record["record"], "kvcomm bench")
        self.assertEqual(record["argv"][1:3], ["bench", arguments[0]])
        for key in ("date", "version", "commit", "dependencies", "machine"):
            self.assertTrue(record[key], key)
        return out, record

    def refused(self, code, sentence, *arguments, **options):
        outcome = self.bench(*arguments, code=code, **options)
        self.assertEqual(outcome.out, "")
        self.assertEqual(len(re.findall(sentence, outcome.log)), 1, outcome.log)
        self.assertNotIn("MPI_ABORT", outcome.log)
        if options.get("ranks", 1) == 1:
            self.assertEqual(outcome.log.count("\n"), 1, outcome.log)


class Wire(Bench):
    def check_rows(self, record, element, name="tiny-llama"):
        for row in record["rows"]:
            self.assertEqual(row["bytes"], 2 * row["layers"] * row["tokens"] * SHAPE["num_key_value_heads"]
                             * HEAD_DIM[name] * element)
            self.assertGreater(row["header_bytes"], 16 * row["layers"])  # a sum for each key and value
            self.assertEqual(len(row["message_s"]), 3)
            self.assertGreater(row["p50_s"], 0)
            self.assertEqual(row["p50_s"], sorted(row["message_s"])[1])
            self.assertEqual(row["p99_s"], max(row["message_s"]))
            self.assertAlmostEqual(row["bytes_per_s"] * row["p50_s"], row["bytes"])

    def test_two_ranks_by_number_of_layers(self):
        out, record = self.record("layers", "wire", "--model", CHECKPOINTS / "tiny-llama/config.json", "--tokens", "3,50",
                                  "--layers", "1,4", "--dtype", "float32", "--transport", "mpi", *QUICK_WIRE, ranks=2)
        self.assertEqual([(row["layers"], row["tokens"]) for row in record["rows"]], [(1, 3), (1, 50), (4, 3), (4, 50)])
        self.check_rows(record, element=4)
        for row in record["rows"]:
            self.assertEqual(len(row["bare_s"]), 3)
            self.assertAlmostEqual(row["share_of_bare"], sorted(row["bare_s"])[1] / row["p50_s"])
        heads, rows = columns(out)
        self.assertEqual(heads, ["bytes", "layers", "tokens", "p50 ms", "p99 ms", "GB/s", "bare p50 ms", "of bare",
                                 "without sums ms", "sums"])
        self.assertEqual([int(row[0]) for row in rows], [row["bytes"] for row in record["rows"]])

    def test_one_process_by_share_of_the_layers(self):
        out, record = self.record("ratio", "wire", "--model", CHECKPOINTS / "tiny-falcon3", "--tokens", 7,
                                  "--ratio", "0.3,1", "--transport", "loopback", *QUICK_WIRE)
        self.assertEqual([row["layers"] for row in record["rows"]], [2, 4])
        self.assertEqual(record["transport"], "loopback")
        self.check_rows(record, element=2, name="tiny-falcon3")
        self.assertEqual({row[6] for row in columns(out)[1]}, {"-"})  # no wire, no bare message
        self.assertFalse(any("share_of_bare" in row for row in record["rows"]))

    def test_without_files_it_has_the_shape_of_an_8b_model(self):
        _, record = self.record("default", "wire", "--tokens", 2, *QUICK_WIRE)
        self.assertEqual([(row["layers"], row["bytes"]) for row in record["rows"]], [(16, 2 * 65536)])

    def test_refusals(self):
        tiny = CHECKPOINTS / "tiny-llama"
        self.refused(USAGE, "--layers 5 are more than the 4", "wire", "--model", tiny, "--layers", "1,5", ranks=2)
        self.refused(USAGE, "3 were started: use mpirun -np 2", "wire", ranks=3)
        self.refused(USAGE, "2 were started: leave mpirun out", "wire", "--transport", "loopback", ranks=2)
        if DEVICE == "cpu":
            self.refused(ENVIRONMENT_CODE, "this would be on the CPU", "wire", "--transport", "nccl", ranks=2)
        self.refused(ENVIRONMENT_CODE, "more than the .* of a rank", "wire", "--tokens", 10_000_000)
        for words in (["--tokens", "0"], ["--ratio", "0.5", "--layers", "1"]):
            self.assertIn(words[-2], self.bench("wire", *words, code=USAGE).log)


class Model(Bench):
    def check_rows(self, record):
        for row in record["rows"]:
            self.assertGreater(row["prompt_tokens_per_s"], 0)
            self.assertGreater(row["generated_tokens_per_s"], 0)
            self.assertGreater(row["prefill_share_of_product"], 0)
            self.assertGreater(row["decode_share_of_read"], 0)
            self.assertAlmostEqual(row["prompt_tokens_per_s"] * row["prefill_s"][0],
                                   row["prompt_tokens"] * row["batch"])
            self.assertAlmostEqual(row["generated_tokens_per_s"] * row["decode_s"][0],
                                   (row["generated_tokens"] - 1) * row["batch"])

    def test_a_models_own_weights(self):
        out, record = self.record("own", "model", "--models", self.folder / "models", "--model", "org/tiny",
                                  "--prompt", "4,9", "--generate", 3, "--batch", "1,3", "--repeats", 1, "--threads", 1)
        self.check_rows(record)
        self.assertEqual([(row["prompt_tokens"], row["generated_tokens"], row["batch"]) for row in record["rows"]],
                         [(4, 3, 1), (4, 3, 3), (9, 3, 1), (9, 3, 3)])
        heads, rows = columns(out)
        self.assertEqual(heads, ["prompt", "generate", "batch", "prompt tokens/s", "spread", "of product", "GFLOP/s",
                                 "generated tokens/s", "spread", "of read", "GB/s"])
        self.assertEqual([row[:3] for row in rows], [["4", "3", "1"], ["4", "3", "3"], ["9", "3", "1"], ["9", "3", "3"]])

    def test_random_weights_of_every_family(self):
        for folder, dtype in zip(sorted(CHECKPOINTS.iterdir()), ("float32", "bfloat16") * 2, strict=True):
            _, record = self.record(folder.name, "model", "--random-weights", folder / "config.json", "--dtype", dtype,
                                    *QUICK_MODEL)
            self.check_rows(record)
            config = json.loads((folder / "config.json").read_text())
            element = {"float32": 4, "bfloat16": 2}[dtype]
            self.assertEqual(record["rows"][0]["step_bytes"], element * self.step_elements(config, tokens=6 + 1.5))
            self.assertEqual(record["rows"][0]["prefill_flop"], 2 * 6 * 2 * self.layers_elements(config))

    @staticmethod
    def layers_elements(config):
        hidden, heads = config["hidden_size"], config["num_attention_heads"]
        head_dim = config.get("head_dim") or hidden // heads
        rows = (2 * heads + 2 * config["num_key_value_heads"]) * head_dim + 3 * config["intermediate_size"]
        return config["num_hidden_layers"] * hidden * rows

    def step_elements(self, config, tokens, batch=2):
        """Weights that a step reads, and the keys and values of each sequence."""
        hidden, layers = config["hidden_size"], config["num_hidden_layers"]
        head_dim = config.get("head_dim") or hidden // config["num_attention_heads"]
        kv = config["num_key_value_heads"] * head_dim
        biases = config["num_attention_heads"] * head_dim + 2 * kv if config["model_type"] == "qwen2" else 0
        weights = self.layers_elements(config) + layers * (2 * hidden + biases) + hidden + hidden * config["vocab_size"]
        return weights + batch * tokens * layers * 2 * kv

    def test_what_does_not_fit_is_refused_before_it_is_made(self):
        config = json.loads((CHECKPOINTS / "tiny-llama/config.json").read_text())
        config |= {"num_hidden_layers": 4000, "hidden_size": 65536, "intermediate_size": 65536}
        large = self.folder / "large/config.json"
        large.parent.mkdir()
        large.write_text(json.dumps(config))
        self.refused(ENVIRONMENT_CODE, "Weights of .* do not fit into", "model", "--random-weights", large)
        self.refused(ENVIRONMENT_CODE, "for 100000 sequences of 1000128 tokens .* do not fit into", "model",
                     "--random-weights", CHECKPOINTS / "tiny-llama", "--batch", 100_000, "--prompt", 1_000_000)

    def test_refusals(self):
        tiny = ["--random-weights", CHECKPOINTS / "tiny-llama"]
        self.refused(USAGE, "2 were started: leave mpirun out", "model", *tiny, ranks=2)
        self.refused(ENVIRONMENT_CODE, "There is no model folder", "model", "--model", self.folder / "absent")
        self.refused(ENVIRONMENT_CODE, "no model's folder and no config.json", "model", "--random-weights",
                     CHECKPOINTS / "tiny-llama/model.safetensors")
        for words in ([], [*tiny, "--model", "x"], [*tiny, "--generate", 1]):
            self.bench("model", *words, code=USAGE)

    def test_another_file_is_not_replaced(self):
        mine = self.folder / "mine.json"
        mine.write_text("{}\n")
        self.refused(USAGE, "no record of `kvcomm bench`", "model", "--random-weights", CHECKPOINTS / "tiny-llama",
                     *QUICK_MODEL, "--json", mine)
        self.assertEqual(mine.read_text(), "{}\n")


class Words(SystemTest):
    def test_a_measurement_must_be_named(self):
        self.check(call(["bench"]), USAGE)


if __name__ == "__main__":
    main()
