"""Compares the program's tokenizer with the `tokenizers` package on made-up text: encoding, and the
decoding of every prefix of the ids. Exit 0 if all agree, 1 if not, 77 if a vocabulary or the package is
missing.

    check_tokenizers.py --program build/tests/text/tokenize_main --vocabulary smollm2 [--samples 2000]
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import time
import unicodedata
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
VOCABULARIES = ("fixture", "smollm2", "llama3.1", "qwen2.5")

SPACES = [" ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n", "\n ", "\u00a0", "\u2003", "\u3000", "\u180e",
          "\u0085", "\u200b", "\x0b", "\x0c", "\x1c", "\u2028", " " * 33, "\t\t ", "\r", "\r\r\n"]
CONTRACTIONS = ["'s", "'S", "'t", "'re", "'RE", "'ve", "'m", "'LL", "'ll", "'d", "'D", "\u2019s", "'\u017f", "'"]
NUMBERS = ["0", "7", "42", "123", "1234", "1234567890", "3.14", "1,000", "\u0663\u0664", "\u00b2\u00b3", "\u00bd", "\u216b", "\u3007",
           "\U0001d7d8", "\u2460", "\u0967\u0968"]
COMBINED = ["e\u0301", "\u00e9", "A\u030a", "\u212b", "\u1e9b\u0323", "q\u0307\u0323", "\u1100\u1161\u11a8", "\uac01", "\u0915\u093c", "\ufb01", "\u0344", "o\u0302\u0301",
            "\u0301", "\u0301\u0327", "\u0b47\u0b56", "\u2126", "\uf900", "\U0002f800", "\u0f73", "\U0001d15e", "a\u0315\u0300\u05ae\u0062"]
EMOJI = ["\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1eb\U0001f1f7", "\U0001f44d\U0001f3fd", "\u2764\ufe0f", "\U0001fae0"]
WORDS = ["the", " the", "Hello", " world", "don't", "I'll", "naïve", " Straße", "привет", " мир", "你好", "世界", "こんにちは", "สวัสดี",
         "مرحبا", "שלום", "हिन्दी", "한국어", "x_y", "CamelCase", "i++", "=>", "!=", "...", "?!", "http://a.b/c?d=e", "{name}", "\\n",
         "a" * 70, "ab" * 150, "=" * 90, "\x00", "\x7f", "\ufffd", "\ufeff", "\ue000", "\U0010ffff"]
ASSIGNED = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs")]


def skip(reason):
    print(f"SKIPPED: {reason}", flush=True)
    sys.exit(77)


try:
    from tokenizers import Tokenizer
except ImportError:
    skip("the Python package 'tokenizers' is not there; launch/setup.sh puts it into .venv")


def find_vocabulary(name, folder):
    """The path of a vocabulary's tokenizer.json; those of shared/ are unpacked into the folder."""
    if name == "fixture":
        return Path(__file__).parent / "fixture" / "tokenizer.json"
    if name == "smollm2":
        path = REPOSITORY / "models/HuggingFaceTB/SmolLM2-135M-Instruct/tokenizer.json"
        return path if path.exists() else skip(f"{path} is not there; launch/setup.sh makes it")
    shared = Path(os.environ.get("KVCOMM_SHARED", REPOSITORY.parent / "shared"))
    archive = shared / "models/tokenizers.tar.xz"
    if not archive.exists():
        skip(f"{archive} is not there")
    member = f"tokenizers/{name}/tokenizer.json"
    with tarfile.open(archive) as tar:
        tar.extract(member, folder, filter="data")
    return Path(folder) / member


def make_text(rng, specials):
    """One made-up text: pieces of every sort, in any order."""
    pools = [SPACES, CONTRACTIONS, NUMBERS, COMBINED, EMOJI, WORDS, WORDS, WORDS]
    pieces = []
    for _ in range(rng.choice([1, 2, 4, 8, 16, 32, 64])):
        kind = rng.randrange(12)
        if kind < len(pools):
            pieces.append(rng.choice(pools[kind]))
        elif kind == 8:
            pieces.append(rng.choice(specials))
        elif kind == 9:  # nearly a special token
            token = rng.choice(specials)
            pieces.append(token[: rng.randrange(len(token) + 1)])
        elif kind == 10:
            pieces.append("".join(rng.choice(ASSIGNED) for _ in range(rng.randrange(1, 6))))
        else:
            pieces.append("".join(chr(rng.randrange(32, 127)) for _ in range(rng.randrange(1, 12))))
    return "".join(pieces)


def texts_to_encode(rng, specials, samples):
    yield ""
    for first in range(0, len(ASSIGNED), 50):  # every character there is
        chunk = ASSIGNED[first : first + 50]
        yield "".join(f"a{c}b {c}1{c}{c}\n{c} {c}" for c in chunk)
    for _ in range(samples):
        yield make_text(rng, specials)


class Program:
    """The compiled tokenizer: requests in, answers out, a line each."""

    def __init__(self, path, model_folder):
        self.command = [path, str(model_folder)]

    def answer(self, requests):
        lines = "\n".join(map(json.dumps, requests)) + "\n"
        done = subprocess.run(self.command, input=lines, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{self.command} ended with {done.returncode}: {done.stderr}")
        return [json.loads(line) for line in done.stdout.rstrip("\n").split("\n")]


def report(what, wrong, total):
    print(f"{what}: {total - len(wrong)} of {total} agree", flush=True)
    for request, ours, theirs in wrong[:3]:
        print(f"  {ascii(request)[:300]}\n    program {ascii(ours)[:300]}\n    package {ascii(theirs)[:300]}")
    return not wrong


def check_encoding(program, package, texts):
    requests = [{"text": t, "special": i % 2 == 0} for i, t in enumerate(texts)]
    answers = program.answer(requests)
    assert len(answers) == len(requests)
    wrong, ids = [], []
    for request, answer in zip(requests, answers):
        expected = package.encode(request["text"], add_special_tokens=request["special"]).ids
        ids.append(expected)
        if answer["ids"] != expected:
            wrong.append((request["text"], answer["ids"], expected))
    return report("texts encoded", wrong, len(requests)), ids


def check_decoding(program, package, id_lists):
    requests = [{"ids": ids, "skip": i % 3 != 0} for i, ids in enumerate(id_lists)]
    answers = program.answer(requests)
    assert len(answers) == len(requests)
    wrong, total = [], 0
    for request, answer in zip(requests, answers):
        ids, options = request["ids"], {"skip_special_tokens": request["skip"]}
        for n, ours in enumerate(answer["texts"]):
            expected = package.decode(ids[:n], **options)
            total += 1
            if ours != expected:
                wrong.append((ids[:n], ours, expected))
    return report("prefixes decoded", wrong, total)


def time_long_text(program, package):
    """Seconds for a long context, the program's start taken off; for the reader, never a pass or fail."""
    text = " ".join(p.read_text() for p in sorted(REPOSITORY.glob("src/**/*.*"))) * 20
    text = text[:2_000_000]
    seconds = []
    for requests in ([{"text": "", "special": True}], [{"text": text, "special": True}]):
        start = time.perf_counter()
        program.answer(requests)
        seconds.append(time.perf_counter() - start)
    start = time.perf_counter()
    package.encode(text)
    print(f"{len(text):,} characters: program {seconds[1] - seconds[0]:.3f} s with its JSON, "
          f"start {seconds[0]:.3f} s; package {time.perf_counter() - start:.3f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--vocabulary", required=True, choices=VOCABULARIES)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--time", action="store_true")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        path = find_vocabulary(options.vocabulary, folder)
        package, program = Tokenizer.from_file(str(path)), Program(options.program, path.parent)
        specials = [t["content"] for t in json.loads(path.read_text())["added_tokens"]]
        encoded, ids = check_encoding(program, package, texts_to_encode(rng, specials, options.samples))
        size = package.get_vocab_size()
        id_lists = ids[-options.samples // 2 :]
        id_lists += [[rng.randrange(size + 10) for _ in range(rng.randrange(40))] for _ in range(options.samples)]
        decoded = check_decoding(program, package, id_lists)
        if options.time:
            time_long_text(program, package)
    sys.exit(0 if encoded and decoded else 1)


if __name__ == "__main__":
    main()
