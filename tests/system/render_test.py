"""What a model reads: `kvcomm render`, and templates that `plan` and `run` refuse before anything is loaded."""

import json
import shutil

from tokenizers import Tokenizer

from support import SystemTest, call, main, make_model, method_table, pair_table

MESSAGE = "What is 2+2? 世界"


class Render(SystemTest):
    def model(self, name, template, *files, **settings):
        """A folder of the template and tokenizer_config.json, and of these files of the tests' model."""
        folder = self.folder / "models/org" / name
        folder.mkdir(parents=True)
        config = {"bos_token": "<bos>", "eos_token": "<eos>", "chat_template": template, **settings}
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        for file in files:
            shutil.copy(self.folder / "models/org/tiny" / file, folder)
        return folder

    def render(self, name, *arguments):
        return call(["render", f"org/{name}", "--models", self.folder / "models", *arguments])

    def test_it_needs_no_more_than_the_template(self):
        self.model("bare", "{{ bos_token }}{% for m in messages %}[{{ m.role | capitalize }}] {{ m.content }}{% endfor %}")
        outcome = self.check(self.render("bare", "--user", MESSAGE))
        self.assertEqual(outcome.out, f"<bos>[User] {MESSAGE}\n")
        outcome = self.check(self.render("bare", "--user", MESSAGE, "--system", "Be brief."))
        self.assertEqual(outcome.out, f"<bos>[System] Be brief.[User] {MESSAGE}\n")

    def test_a_text_that_ends_a_line_gets_no_second_end(self):
        self.model("line", "{{ messages[0].content }}\n\n")
        self.assertEqual(self.check(self.render("line", "--user", "x")).out, "x\n")

    def test_the_date_is_the_templates_own_unless_it_is_given(self):
        self.model("dated", "{{ date_string | default('its own') }} {{ strftime_now('%Y') }}")
        self.assertEqual(self.check(self.render("dated", "--user", "")).out, "its own 2024\n")
        self.assertEqual(self.check(self.render("dated", "--user", "", "--date", "2025-01-31")).out, "31 Jan 2025 2025\n")
        self.assertEqual(self.render("dated", "--user", "", "--date", "31 Jan").code, 2)

    def test_ids_are_those_of_the_tokenizer(self):
        self.model("ids", "{{ bos_token }}{{ messages[0].content }}", "tokenizer.json")
        text, ids = self.check(self.render("ids", "--user", "the cat", "--tokens")).out.splitlines()
        self.assertEqual(text, "<bos>the cat")
        tokenizer = Tokenizer.from_file(str(self.folder / "models/org/ids/tokenizer.json"))
        self.assertEqual([int(one) for one in ids.split()], tokenizer.encode(text, add_special_tokens=False).ids)

    def test_what_is_missing_is_named(self):
        outcome = self.render("nowhere", "--user", "x")
        self.assertEqual((outcome.code, outcome.out), (4, ""))
        self.assertIn("models/org/nowhere", outcome.log)
        self.model("no_ids", "x")
        outcome = self.render("no_ids", "--user", "x", "--tokens")
        self.assertEqual((outcome.code, outcome.out), (4, ""))
        self.assertIn("tokenizer.json", outcome.log)


class Refused(SystemTest):
    """A template that cannot be rendered: one line of log that shows the template's own, exit 4, nothing stored."""

    def refused(self, name, template, *wanted):
        make_model(self.folder / "models/org" / name)
        (self.folder / "models/org" / name / "chat_template.jinja").write_text("a\n" + template)
        sweep = self.sweep(name, method_table("skyline"), pairs=pair_table(f"org/{name}"))
        for command in ("plan", "run"):
            outcome = self.check(call(sweep.arguments(command, name)), 4)
            self.assertEqual(outcome.log.count("\n"), 1, outcome.log)
            for text in (f"models/org/{name}", "line 2", template, *wanted):
                self.assertIn(text, outcome.log)
            self.assertFalse((self.folder / name / "results.h5").exists())

    def test_what_the_template_raises(self):
        self.refused("raises", "{{ raise_exception('A system message is needed') }}", "A system message is needed (")

    def test_what_is_not_followed_even_where_no_message_goes(self):
        self.refused("filters", "{% if false %}{{ 'a' | groupby('b') }}{% endif %}", "the filter 'groupby'")

    def test_what_is_no_template(self):
        self.refused("broken", "{% for %}", "a name")


if __name__ == "__main__":
    main()
