"""The wording of src/text/prompts.toml and the chat template, filled as the program fills them."""

import re
import tomllib
from pathlib import Path


class Prompts:
    def __init__(self, file: Path, dataset: str, tokenizer):
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
        self.texts = tables["qa"] | tables.get(dataset, {})
        self.tokenizer = tokenizer

    def sender(self, context: str) -> list[int]:
        return self._encode("sender", {"context": context})

    def answered(self, key: str, context: str, question: str) -> list[int]:
        """The ids of a prompt that is answered: `baseline`, `skyline` or `receiver`."""
        asked = question + self.texts.get("question_suffix", "")
        prefix = self.texts.get("answer_prefix", "")
        return (self._encode(key, {"context": context, "question": asked})
                + self.tokenizer.encode(prefix, add_special_tokens=False))

    def _encode(self, key: str, values: dict[str, str]) -> list[int]:
        text = re.sub(r"\{(context|question)\}", lambda name: values[name[1]], self.texts[key])
        return self.tokenizer.apply_chat_template([{"role": "user", "content": text}],
                                                  add_generation_prompt=True)
