"""What `kvcomm ls` tells: every method in a line, and what each costs in a given model."""

import json
import re

from support import SystemTest, call, main


class List(SystemTest):
    def costs(self, *arguments):
        """What each method puts on the wire in the tests' model: 4 layers, 2 KV heads of 8 entries, 32 hidden."""
        outcome = self.check(call(["ls", "methods", "--models", self.folder / "models", "--model", "org/tiny", *arguments]))
        head, _, *lines = outcome.out.split("\n\n")[0].splitlines()
        at, end = head.index("in this model"), head.index("what it is")
        return {line.split()[0]: line[at:end].strip() for line in lines}

    def test_every_method_has_a_line_and_every_kind_its_closed_form(self):
        outcome = self.check(call(["ls", "methods"]))
        methods, forms, parameters = outcome.out.split("\n\n")
        names = [line.split()[0] for line in methods.splitlines()[2:]]
        self.assertEqual(names, ["baseline", "skyline", "kvcomm", "kvcomm_s", "random", "contiguous", "ac", "nld",
                                 "cipher", "hidden_prepend", "token_study"])
        for kind in ("keys and values", "a hidden state", "token ids", "vectors", "hidden states"):
            self.assertIn(kind, methods)
            self.assertRegex(forms, rf"{kind} +.* x ")
        self.assertRegex(parameters, r"\nac +f +\"replace\" +.*replace, sum, mean")

    def test_costs_follow_the_closed_forms(self):
        layer = 2 * 2 * 8 * 4  # one token's keys and values in one layer, float32
        self.assertEqual(self.costs("--dtype", "float32"), {
            "baseline": "nothing", "skyline": "nothing",
            "kvcomm": f"2 of 4 layers: {2 * layer} B a context token",
            "kvcomm_s": f"2 of 4 layers: {2 * layer} B a context token",
            "random": f"2 of 4 layers: {2 * layer} B a context token",
            "contiguous": f"1 of 4 layers: {layer} B a context token",
            "ac": f"{32 * 4} B a sample", "nld": "4 B a token generated", "cipher": f"{32 * 4} B a step generated",
            "hidden_prepend": f"{32 * 4} B a context token", "token_study": "nothing"})
        half = self.costs()
        self.assertEqual(half["kvcomm"], f"2 of 4 layers: {layer} B a context token")
        self.assertEqual(half["ac"], f"{32 * 2} B a sample")

    def test_the_release_sends_layer_0_and_first_tokens_too(self):
        layer = 2 * 2 * 8 * 2
        release = self.costs("--fidelity", "release")
        self.assertEqual(release["kvcomm"], f"2 to 3 of 4 layers: up to {3 * layer} B a context token + {layer} B a sample")
        self.assertEqual(release["contiguous"], f"1 of 4 layers: {layer} B a context token + {3 * layer} B a sample")

    def test_the_weights_need_not_be_there(self):
        folder = self.folder / "models/org/config_only"
        folder.mkdir()
        config = json.loads((self.folder / "models/org/tiny/config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 12}))
        outcome = self.check(call(["ls", "methods", "--model", folder]))
        self.assertTrue(re.search(r"kvcomm .* 6 of 12 layers", outcome.out), outcome.out)


if __name__ == "__main__":
    main()
