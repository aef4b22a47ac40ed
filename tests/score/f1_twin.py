"""f1_match and includes against a twin that leans on Python's own str, re and unicodedata.

Usage: f1_twin.py SCORE_LINES. The twin is written from the documented behaviour
(official_behaviour.md, "F1", points 6 and 14; nltk's word_tokenize), without lemmas, as the C++ is.
Characters that this Python's Unicode does not assign are left out: newer tables know them.
"""
import json
import random
import re
import string
import subprocess
import sys
import unicodedata

# nltk's rules that can apply where neither punctuation nor an apostrophe is left, in its order.
CONTRACTIONS = [re.compile(rule) for rule in (
    r"(?i)\b(can)(not)\b", r"(?i)\b(gim)(me)\b", r"(?i)\b(gon)(na)\b", r"(?i)\b(got)(ta)\b",
    r"(?i)\b(lem)(me)\b", r"(?i)\b(wan)(na)(?=\s)")]


def normalise(text):
    text = text.lower()
    text = "".join(c for c in text if not unicodedata.category(c).startswith("P"))
    text = " ".join(text.split())
    text = "".join(c for c in text if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def tokenise(text):
    text = f" {text} "
    for rule in CONTRACTIONS:
        text = rule.sub(r" \1 \2 ", text)
    return " ".join(text.split())


def f1_text(text):
    for _ in range(2):
        text = tokenise(normalise(text))
    return text


def f1_match(answer, expected):
    words, wanted = set(f1_text(answer).split()), set(f1_text(expected).split())
    shared = len(words & wanted)
    if shared == 0:
        return 0
    precision, recall = shared / len(words), shared / len(wanted)
    return float(2 * precision * recall / (precision + recall) > 0.5)


def includes(answer, expected):
    def words(text):
        marks = (" " if unicodedata.category(c).startswith("P") or c in string.punctuation else c
                 for c in text.lower())
        return "".join(marks).split()
    return float(bool(words(expected)) and set(words(expected)) <= set(words(answer)))


def every_character():
    """Each assigned character beside letters, articles, sigmas; of kinds Lo and Co one in 97."""
    kinds = {chr(c): unicodedata.category(chr(c)) for c in range(1, sys.maxunicode + 1)}
    chosen = [c for c, kind in kinds.items()
              if kind not in ("Cn", "Cs") and (kind not in ("Lo", "Co") or ord(c) % 97 == 0)]
    for start in range(0, len(chosen), 300):
        yield " ".join(f"x{c}Y {c} the{c}A wanna{c} ΑΣ{c} ΑΣ{c}Β {c}Σ"
                       for c in chosen[start:start + 300])


WRITTEN = [
    "", " ", "the", "A", "an the a", "...", "$", "a+b", "a^2", "$5", "United States",
    "the United States.", "U.S.A.", "don't", "Don\u2019t", "cannot", "CANNOT!",
    "I cannot, gonna gotta lemme wanna gimme", "wanna", "wanna\u0301 go", "g\u0131mme",
    "G\u0130MME", "can-not", "can\u200dnot", "cannots", "d'ye", "more'n", "'tis", "\u0130stanbul",
    "\u03a3\u0391\u03a3", "\u039f\u0394\u03a5\u03a3\u03a3\u0395\u03a5\u03a3.", "A\u03a3'",
    "A\u03a3'B", "\u03a3", "a\u03a3\u0301", "1\u03a3", "\u24d0\u03a3", "\u00aa\u03a3",
    "stra\u00dfe STRASSE",
    "\ufb01", "the\u0301", "th\u00e9", "a_b", "a\u00a0b", "a\u200bb", "a\x1cb",
    "a\u2028the\u3000b", "\u300c\u6771\u4eac\u300d", "\u6771\u4eac a", "a.the.an",
    "\U0001f600 a \U0001f600", "\u00bfQu\u00e9? \u00a1s\u00ed!", "x\u2014y", "``a''", "--",
    "#1 & #2", "<a>b</a>", "\ufffd", "As an a", "\u0915\u094d\u0937 the", "one two three four",
    "1/2 \u00bd", "\u216b XII \u217b", "a" * 5000, "\u0301a",
]


def random_text(draw):
    pieces = ["a", "an", "the", "The", "cannot", "wanna", "gonna", "Paris", "France", "one", "two",
              "three", "\u03a3", "\u0130", "'", ".", ",", "-", "\u2014", "$", "+", "^", "_", " ",
              "  ", "\t", "\n", "\u00a0", "\u0301", "\u200d", "\u00df", "\u6771", "\u0e01",
              "\u0660", "\U0001d49c", "\U0001f600", "\u02b0", "\u24d0", "I", "\u0131", "K",
              "\u2019"]
    return "".join(draw.choice(pieces) + draw.choice(["", " ", " "])
                   for _ in range(draw.randrange(12)))


def main():
    draw = random.Random(7)
    pairs = [(text, [other]) for text in WRITTEN for other in draw.sample(WRITTEN, 6) + [text]]
    pairs += [(random_text(draw), [random_text(draw) for _ in range(draw.randrange(1, 4))])
              for _ in range(3000)]
    pairs += [(" ".join(map(str, range(a))), [" ".join(map(str, range(a - c, a - c + b)))])
              for a in range(1, 20) for b in range(1, 20) for c in range(0, min(a, b) + 1)]
    pairs += [(text, ["x"]) for text in every_character()]
    lines = "".join(json.dumps({"answer": a, "answers": b}) + "\n" for a, b in pairs)
    run = subprocess.run([sys.argv[1]], input=lines.encode(), stdout=subprocess.PIPE, check=True)
    results = [json.loads(line) for line in run.stdout.decode().split("\n")[:-1]]
    assert len(results) == len(pairs), (len(results), len(pairs))
    wrong, matches = 0, 0
    for (answer, answers), got in zip(pairs, results):
        expected = {"text": f1_text(answer),
                    "f1_match": max(f1_match(answer, one) for one in answers),
                    "includes": max(includes(answer, one) for one in answers)}
        matches += expected["f1_match"] == 1
        for key, value in expected.items():
            if got[key] != value:
                wrong += 1
                if wrong <= 10:
                    print(f"{key} of {ascii(answer)[:300]} against {ascii(answers)[:300]}:\n"
                          f"  C++    {ascii(got[key])[:3000]}\n  Python {ascii(value)[:3000]}")
    print(f"{len(pairs)} pairs, {matches} of them matches, {wrong} differences.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
