"""What the twin and the program are both given: models, prompts, samples, and the tokenizer's part."""

import json
import sys
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from twin import read_weights, write_weights

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "system"))
from tiny import CHECKPOINTS, TOKENIZER, WORDS  # noqa: E402, F401  also for twin_check.py

MAX_NEW_TOKENS = 12
EOS = 1  # the tokenizer's; the models' configurations say 2, their generation_config.json 2 and 3
# name: (checkpoint, seeds of the sender's and of the receiver's change, their repetition penalties)
PAIRS = {
    "llama": ("tiny-llama", (0, 0), (None, None)),
    "llama-two": ("tiny-llama", (1, 0), (1.4, None)),
    "qwen2-two": ("tiny-qwen2", (1, 2), (1.1, 1.3)),
    "llama3-tied": ("tiny-llama3-tied", (3, 0), (1.2, 1.2)),
    "falcon3": ("tiny-falcon3", (0, 4), (None, 1.2)),
}
# Pairs of several senders: the seeds and penalties of each of them, then the receiver's.
TEAMS = {
    "llama-team": ("tiny-llama", (1, 5, 0), (1.4, None, 1.2)),
    "qwen2-alike": ("tiny-qwen2", (2, 2, 2), (1.3, 1.3, 1.3)),
}
TRIO = {"trio": ("tiny-llama3-tied", (3, 5, 3, 0), (1.2, None, 1.2, None))}
ENDS = {5: [2, 80, 331, 415]}  # by seed: what generation_config.json says in the place of 2 and 3
GLOOMY = ("falcon3",)  # pairs whose logits are all negative, where a penalty multiplies
LOUDNESS = {EOS: 1.9, 2: 1.5, 3: 1.1}  # the rows of the head that are made longer
PROMPTS = {
    "sender": "{context}", "receiver": "{question}", "skyline": "{context} so {question}", "baseline": "but {question}",
    "sender_summary": "Write down what this says: {context}", "other_answer": "they wrote {answer}",
    "refine": "{other_answers} and I {own_answer} to {prompt} in the end", "question_suffix": " Now?",
    "answer_prefix": "",
}
# Words of context and of question. "same": the context reads as the question does, so that |C| = |Q|;
# "less": without its last token.
LENGTHS = [(20, 8), (1, 30), (2, 14), ("same", 12), ("less", 10), (90, 2), (30, 25), (5, 5), (12, 1)]


def words(count, seed):
    return " ".join(np.random.default_rng(seed).choice(WORDS, count))


def records():
    """One text a sample."""
    found = []
    for place, (context, question) in enumerate(LENGTHS):
        asked = words(question, place)
        whole = asked + PROMPTS["question_suffix"]
        read = {"same": whole, "less": whole[:-1]}.get(context) or words(context, 100 + place)
        found.append({"id": f"s{place}", "context": read, "question": asked, "answers": ["storm"]})
    return found


def several(texts):
    """So many texts a sample, from one word to thirty, most of them shorter than the question is with its prompt."""
    return [{"id": f"s{place}", "context": [words(1 + (11 * place + 7 * text) % 30, 200 + 10 * place + text)
                                            for text in range(texts)],
             "question": words(1 + 5 * place % 17, place), "answers": [words(4, 300 + place)]} for place in range(9)]


class Text:
    """The tests' tokenizer and chat template."""

    eos = EOS

    def __init__(self):
        self.tokenizer = Tokenizer.from_file(str(TOKENIZER))
        assert self.tokenizer.token_to_id("<eos>") == EOS

    def encode(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, ids):
        return self.tokenizer.decode(ids, skip_special_tokens=True)

    def chat(self, text):
        return f"<bos>user: {text}\nassistant:"


def change_model(folder, seed, penalty, gloomy):
    """Moves the weights a little by `seed` (0: not at all) and makes the ids that may end an answer frequent.

    gloomy: one dimension that all embeddings share takes the same from every logit.
    """
    weights = read_weights(folder / "model.safetensors")
    rng = np.random.default_rng(seed)
    if seed:
        weights = {name: array + 0.1 * array.std() * rng.standard_normal(array.shape)
                   for name, array in weights.items()}
    head = weights.get("lm_head.weight", weights["model.embed_tokens.weight"])
    for row, factor in LOUDNESS.items():
        head[row] *= factor
    if gloomy:
        weights["model.embed_tokens.weight"][:, 0], head[:, 0] = 1.5, -4
    write_weights(weights, folder / "model.safetensors")
    path = folder / "generation_config.json"
    changes = {"repetition_penalty": penalty, "eos_token_id": ENDS.get(seed)}
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value for key, value in changes.items() if value}))
