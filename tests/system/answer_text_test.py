"""What an answer's text is made of: an eos that ended it is no part of it, whatever a tokenizer's files take it
for, neither in what is scored nor in what agents tell each other."""

import json

from support import SystemTest, main, make_model, method_table, pair_table, rows

METHODS = method_table("skyline") + method_table("nld", phase1_tokens=6)


class AnswerText(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        make_model(cls.folder / "models/org/plain")  # its eos tokens, 2 and 3, are plain text: ! and "
        make_model(cls.folder / "models/org/flagged")
        names = {"additional_special_tokens": ["!", '"']}
        (cls.folder / "models/org/flagged/special_tokens_map.json").write_text(json.dumps(names))

    def answers(self, model, ranks):
        sweep = self.sweep(f"{model}{ranks}", METHODS, max_new_tokens=12, pairs=pair_table(f"org/{model}"))
        self.check(sweep.run(f"{model}{ranks}", ranks=ranks))
        return [(row["method"], row["sample"], row["answer"], row["output_tokens"], row["prompt_tokens"],
                 row["payload_bytes"]) for row in rows(sweep.results(f"{model}{ranks}"))]

    def test_an_eos_that_is_plain_text_is_left_out_as_a_special_one_is(self):
        for ranks in (1, 2):
            plain = self.answers("plain", ranks)
            self.assertTrue(any(output_tokens < 12 for _, _, _, output_tokens, _, _ in plain), plain)
            self.assertEqual(plain, self.answers("flagged", ranks))


if __name__ == "__main__":
    main()
