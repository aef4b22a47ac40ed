"""Makes tests/text/fixture/: a small tokenizer.json with one of every component that the program knows,
and what the `tokenizers` package answers with it, and with variants of it, on texts chosen to tell
components apart. Run it again when a component is added:

    .venv/bin/python tests/text/make_fixture.py
"""

import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

FOLDER = Path(__file__).parent / "fixture"

CORPUS = [
    "The harbour master wrote down every ship that came in before the storm: 12 from the north, 7 from the south.",
    "She's sure they'll say that it isn't theirs, and that we've seen the others; I'd rather they're asked again.",
    "A café by the river sells thé, crêpes and naïve paintings; the señora there counts to 1234 in three languages.",
    "When the rain stopped, the children ran over the bridge to the other side and there they waited for the others.",
    "for (int i = 0; i < 10; i++) { sum += values[i]; }  // the sum of the values\n\n\n    return sum;\n",
    "Привет, мир. Привет, река. 你好，世界。你好，河。",
    "a -- b --- c -- d --- e ---- f -- g --- h -- i -- k --- l",
] * 3

TEXTS = [
    "", " ", "the", " the other theatre", "They'll say it's THEIR'S, they'd've", "naïve cafe\u0301 \u212b", "1234 and 12 \u0663\u0664\u00bd", "x1y22z333",
    "a  b   c \n\n d\t\te\r\n", "Привет, 世界!", "\u180e\u0085\u00a0\u3000x", "<bos>the<eos>", "a <eos> b", "<eos", "the   <left>  x", "the  <right>   x",
    "word wordy sword word, WORD word", "Caf\u0065\u0301x \u00e9t\u00e9", "the-other--side---", "\U0001f600\U0001f468\u200d\U0001f469", "\x00\x7f\ufffd",
    "values[i] += 10;  // <bos><bos>", "tttttttttttttttttttttttthe" * 3, "   ", "<left><right>word",
]

# What is changed in the tokenizer.json (an RFC 7396 merge patch), by a name that says why.
SPLIT = {"type": "Split", "pattern": {"String": "-"}, "invert": False}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}


def split_variant(behavior, **changes):
    return {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{**SPLIT, "behavior": behavior, **changes}, BYTE_LEVEL]}}


VARIANTS = {
    "as it is": {},
    "no normalizer": {"normalizer": None},
    "no post-processor": {"post_processor": None},
    "ByteLevel alone": {"pre_tokenizer": {**BYTE_LEVEL, "use_regex": True, "pretokenizers": None}},
    "ByteLevel with a prefix space": {"pre_tokenizer": {**BYTE_LEVEL, "use_regex": True, "add_prefix_space": True, "pretokenizers": None}},
    "whole words of the vocabulary": {"model": {"ignore_merges": True, "merges": []}},
    "digits together": {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Digits", "individual_digits": False}, {**BYTE_LEVEL, "add_prefix_space": True, "use_regex": True}]}},
    "dashes removed": split_variant("Removed"),
    "dashes isolated": split_variant("Isolated"),
    "dashes with the previous": split_variant("MergedWithPrevious"),
    "dashes with the next": split_variant("MergedWithNext"),
    "dashes contiguous": split_variant("Contiguous"),
    "letters kept": split_variant("Removed", pattern={"Regex": "\\p{L}+"}, invert=True),
    "letters with the next": split_variant("MergedWithNext", pattern={"Regex": "\\p{L}"}, invert=True),
    "white space removed": split_variant("Removed", pattern={"Regex": "\\s"}),
    "what is no white space": split_variant("Removed", pattern={"Regex": "[^\\s\\p{N}]+|\\S"}, invert=True),
    "case left out of account": split_variant("Isolated", pattern={"Regex": "(?i:the|word)"}),
    "all but line ends": split_variant("Removed", pattern={"Regex": "[^\\n]$|^[^\\n]"}),
    "all but decimal digits": split_variant("Removed", pattern={"Regex": "\\d"}),
}


def merge_patch(target, patch):
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def make_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC()])
    pattern = Regex(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(pattern, "isolated"),
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    alphabet = [c for c in pre_tokenizers.ByteLevel.alphabet() if c != "ġ"]  # a byte without a token: DEL
    trainer = trainers.BpeTrainer(vocab_size=420, initial_alphabet=sorted(alphabet), show_progress=False,
                                  special_tokens=["<bos>", "<eos>"])
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_tokens([
        AddedToken("<left>", lstrip=True, normalized=False), AddedToken("<right>", rstrip=True, normalized=False),
        AddedToken("word", single_word=True, normalized=False), AddedToken("Caf\u00e9", normalized=True), AddedToken("\u2c65\u2c66", normalized=True),
        AddedToken("thea", normalized=True), AddedToken("theatre", normalized=True),
    ])
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<bos> $A <eos>", pair="<bos> $A <eos> $B", special_tokens=[("<bos>", 0), ("<eos>", 1)]),
    ])
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel()])
    return json.loads(tokenizer.to_str())


def expect(tokenizer, text):
    ids = tokenizer.encode(text).ids
    return {
        "text": text,
        "ids": ids,
        "ids_without_special": tokenizer.encode(text, add_special_tokens=False).ids,
        "decoded_prefixes": [tokenizer.decode(ids[:n]) for n in range(len(ids) + 1)],
        "decoded_with_special": tokenizer.decode(ids, skip_special_tokens=False),
    }


def main():
    base = make_tokenizer()
    variants = []
    for name, patch in VARIANTS.items():
        tokenizer = Tokenizer.from_str(json.dumps(merge_patch(base, patch)))
        texts = TEXTS if name == "as it is" else TEXTS[3:19]
        variants.append({"name": name, "patch": patch, "expected": [expect(tokenizer, t) for t in texts]})
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "tokenizer.json").write_text(json.dumps(base, ensure_ascii=False, separators=(",", ":")) + "\n")
    lines = [json.dumps(v, separators=(",", ":")) for v in variants]
    (FOLDER / "expected.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main()
