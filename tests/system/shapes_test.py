"""Models of different shapes: a pair for what shares neither keys and values nor vectors, refused for the rest."""

import json

import numpy as np

from support import SystemTest, call, main, make_model, method_table, pair_table, rows, tables

METHODS = (method_table("baseline") + method_table("baseline", model="sender") + method_table("skyline") +
           method_table("skyline", model="sender") + method_table("nld", phase1_tokens=6))
SHAPES = {"deep": {"num_hidden_layers": 6}, "heads": {"num_key_value_heads": 4},
          "wide": {"hidden_size": 48},
          "other": {"hidden_size": 48, "num_attention_heads": 6, "num_key_value_heads": 3, "intermediate_size": 40,
                    "num_hidden_layers": 3}}


def make_shaped_model(folder, changes):
    """tiny-llama with keys of its config.json changed and random weights of the shapes that follow."""
    make_model(folder, config=changes)
    config = json.loads((folder / "config.json").read_text())
    hidden, inner, head_dim = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    q, kv = (config[key] * head_dim for key in ("num_attention_heads", "num_key_value_heads"))
    shapes = {"model.embed_tokens.weight": (config["vocab_size"], hidden), "model.norm.weight": (hidden,),
              "lm_head.weight": (config["vocab_size"], hidden)}
    for layer in range(config["num_hidden_layers"]):
        for name, shape in (("input_layernorm", (hidden,)), ("post_attention_layernorm", (hidden,)),
                            ("self_attn.q_proj", (q, hidden)), ("self_attn.k_proj", (kv, hidden)),
                            ("self_attn.v_proj", (kv, hidden)), ("self_attn.o_proj", (hidden, q)),
                            ("mlp.gate_proj", (inner, hidden)), ("mlp.up_proj", (inner, hidden)),
                            ("mlp.down_proj", (hidden, inner))):
            shapes[f"model.layers.{layer}.{name}.weight"] = shape
    rng, header, data = np.random.default_rng(3), {}, b""
    for name, shape in shapes.items():
        values = rng.normal(0, 0.25, shape).astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)


class Shapes(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name, changes in SHAPES.items():
            make_shaped_model(cls.folder / "models/org" / name, changes)
        make_model(cls.folder / "models/org/falcon", "tiny-falcon3")
        make_model(cls.folder / "models/org/qwen", "tiny-qwen2")

    @staticmethod
    def pair(sender, receiver="tiny"):
        return pair_table(f"org/{sender}", f"org/{receiver}")

    def test_what_shares_nothing_runs_between_any_two(self):
        pairs = "".join(map(self.pair, ("deep", "other", "falcon", "qwen"))) + self.pair("qwen", "other")
        sweep = self.sweep("any", METHODS, pairs=pairs)
        outcome = self.check(sweep.run("one"))
        self.assertNotIn("rotary", outcome.log)  # of no concern here
        self.check(sweep.run("two", ranks=2))
        timeless = ("run", "lane")
        one, two = (rows(sweep.results(name), timeless) for name in ("one", "two"))
        self.assertEqual(len(one), 5 * 5 * 10)
        self.assertEqual([row["answer"] for row in one], [row["answer"] for row in two])
        self.assertEqual([row["payload_bytes"] for row in one], [row["payload_bytes"] for row in two])
        self.assertFalse(any(row["failed"] for row in one))

    def test_each_end_answers_as_it_does_with_itself(self):
        sweep = self.sweep("mixed", METHODS, pairs=self.pair("other"))
        self.check(sweep.run("mixed-out", ranks=2))
        mixed = tables(sweep.results("mixed-out"))["samples"]
        for model, methods in (("tiny", ("baseline", "skyline")),
                               ("other", ("baseline(model=sender)", "skyline(model=sender)"))):
            alone = self.sweep(model, METHODS, pairs=self.pair(model, model))
            self.check(alone.run(f"{model}-out"))
            own = tables(alone.results(f"{model}-out"))["samples"]
            for method in methods:
                answers = [list(frame[frame.method == method].sort_values("sample").answer) for frame in (mixed, own)]
                self.assertEqual(*answers, (model, method))

    def test_a_method_that_needs_one_shape_refuses_the_pair(self):
        kv, vectors = "Keys, values and vectors can only be shared", "hidden states have 48 entries, the receiver's 32"
        for sender, method, words in (
                ("deep", 'name = "kvcomm"', ("the sender has 6 layers, the receiver 4", kv)),
                ("deep", 'name = "ac"\nk = 1\nj = 1', ("the sender has 6 layers, the receiver 4", kv)),
                ("heads", 'name = "cipher"', ("the sender has 4 KV heads, the receiver 2", kv)),
                ("deep", 'name = "random"', ("the sender has 6 layers, the receiver 4", kv)),
                ("heads", 'name = "kvcomm_s"', ("the sender has 4 KV heads, the receiver 2", kv)),
                ("falcon", 'name = "contiguous"\nfrom = 0\nto = 1', ("16 entries a head, the receiver 8", kv)),
                ("wide", 'name = "ac"\nk = 1\nj = 1', (vectors,)), ("wide", 'name = "cipher"', (vectors,))):
            with self.subTest(method):
                methods = method_table("baseline") + f"[[method]]\n{method}\n"
                sweep = self.sweep("refused", methods, pairs=self.pair(sender))
                line, name = method.splitlines()[0], method.split('"')[1]
                place = f"refused.toml:{sweep.toml.read_text().splitlines().index(line) + 1}:"
                for command, ranks in (("plan", 1), ("run", 1), ("run", 2)):
                    outcome = self.check(call(sweep.arguments(command, "refused"), ranks), 2)
                    self.assertIn(place, outcome.log)
                    self.assertRegex(outcome.log, rf"{name}(\([^)]*\))? for pair '{sender}--tiny': ")
                    for word in words:
                        self.assertIn(word, outcome.log)


if __name__ == "__main__":
    main()
