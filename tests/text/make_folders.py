"""Makes tests/text/fixture/folders.json: model folders whose files say more of their tokens and chat templates
than tokenizer.json does, and what AutoTokenizer makes of them. It needs transformers 4.53.3 (no torch), which the
tests do not:

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install transformers==4.53.3 jinja2
    /tmp/venv/bin/python tests/text/make_folders.py
"""

import copy
import json
import tempfile
from pathlib import Path

import transformers
from make_fixture import merge_patch
from transformers import AutoTokenizer

FOLDER = Path(__file__).parent / "fixture"
BASE = json.loads((FOLDER / "tokenizer.json").read_text())
ADDED = {token["content"]: token for token in BASE["added_tokens"]}

TEXTS = ["the<eos> x", "<bos>the other<left>  theatre <right>  x", "a <pad> b<tool>c <eos><eos>", "word sword, caf\u0065\u0301",
         "x != y . Isn 't it ? they 've, she 's ' the ' end , I 'm", "<|endoftext|>the <mark>x</mark> ", " the"]


# With the tokens that classes have by themselves: where the template asks for them.
CLASS_TEXTS = ["<s>the</s> <unk><|endoftext|>"]


def without(*contents, **changes):
    """tokenizer.json's added tokens but for these, with fields of others changed."""
    return {"added_tokens": [{**t, **changes.get(t["content"].strip("<>"), {})} for t in BASE["added_tokens"]
                             if t["content"] not in contents]}


def listed(*contents, **changes):
    """tokenizer_config.json's added_tokens_decoder."""
    fields = lambda t: {k: v for k, v in t.items() if k != "id"}
    return {str(ADDED[c]["id"]): {**fields(ADDED[c]), **changes.get(c.strip("<>"), {})} for c in contents}


def token(content, **fields):
    return {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, **fields}


GENERIC = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<bos>", "eos_token": "<eos>"}
ALL = tuple(ADDED)
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True, "pretokenizers": None}
MORE = {"id": 427, **token("<|endoftext|>", special=False)}
SHOWN = "{{ bos_token }}|{{ eos_token }}|{{ pad_token }}|{{ unk_token }}|{{ messages[0].content }}"

# What tokenizer.json is patched with (RFC 7396; None: there is none), and the other files.
FOLDERS = {
    "nothing more": ({}, {"tokenizer_config.json": GENERIC}),
    "all is listed twice": ({}, {"tokenizer_config.json": {**GENERIC, "added_tokens_decoder": listed(*ALL)}}),
    "tokens that the configuration alone lists": (
        without("<left>", "<right>", "word", "Caf\u00e9", "\u2c65\u2c66", "thea", "theatre"),
        {"tokenizer_config.json": {**GENERIC, "added_tokens_decoder": listed(*ALL)}}),
    "other fields in the configuration": (
        {}, {"tokenizer_config.json": {**GENERIC, "added_tokens_decoder": listed(
            *ALL, left={"lstrip": False, "special": True}, right={"single_word": True}, word={"special": True}, bos={"special": False})}}),
    "eos not special": (without(eos={"special": False}), {"tokenizer_config.json": GENERIC}),
    "eos neither special nor named": (without(eos={"special": False}), {"tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"}}),
    "eos of the vocabulary alone": (without("<eos>"), {"tokenizer_config.json": GENERIC}),
    "eos not special, and other tokens listed": (
        without(eos={"special": False}), {"tokenizer_config.json": {**GENERIC, "added_tokens_decoder": listed("<bos>", "word")}}),
    "eos an object, and other tokens listed": (
        without(eos={"special": False}), {"tokenizer_config.json": {
            **GENERIC, "added_tokens_decoder": listed("<bos>", "word"), "eos_token": {"__type": "AddedToken", **token("<eos>", rstrip=True)}}}),
    "special tokens in their map alone": (
        without(eos={"special": False}), {
            "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": SHOWN},
            "special_tokens_map.json": {"bos_token": "<bos>", "eos_token": token("<eos>"), "pad_token": token("<pad>", lstrip=True)}}),
    "the map beats the configuration": (
        {}, {"tokenizer_config.json": {**GENERIC, "pad_token": "<eos>", "chat_template": SHOWN},
             "special_tokens_map.json": {"eos_token": "word", "bos_token": None, "pad_token": "<pad>"}}),
    "the map is not read beside listed tokens": (
        {}, {"tokenizer_config.json": {**GENERIC, "chat_template": SHOWN, "added_tokens_decoder": listed(*ALL)},
             "special_tokens_map.json": {"eos_token": "word", "pad_token": "<pad>"}}),
    "tokens of added_tokens.json": (
        without("theatre"), {"tokenizer_config.json": {**GENERIC, "pad_token": "<pad>"},
                             "added_tokens.json": {"<tool>": 428, "<pad>": 427, "theatre": 426, "<bos>": 0}}),
    "added_tokens.json is not read beside listed tokens": (
        {}, {"tokenizer_config.json": {**GENERIC, "added_tokens_decoder": listed(*ALL)}, "added_tokens.json": {"<tool>": 500}}),
    "named tokens that the vocabulary lacks": (
        {}, {"tokenizer_config.json": {**GENERIC, "pad_token": "<pad>", "additional_special_tokens": ["<tool>", "word", "<eos>"]}}),
    "additional ones as objects": (
        {}, {"tokenizer_config.json": {**GENERIC, "additional_special_tokens": [
            {"__type": "AddedToken", **token("<tool>", rstrip=True)}, {"__type": "AddedToken", **token("word", normalized=True)}, "<left>"]}}),
    "additional ones in both files": (
        {}, {"tokenizer_config.json": {**GENERIC, "additional_special_tokens": ["<tool>"]},
             "special_tokens_map.json": {"additional_special_tokens": ["<pad>", token("<mark>", rstrip=True), "<tool>"]}}),
    "tokens of a model's own kinds": (
        {}, {"tokenizer_config.json": {**GENERIC, "chat_template": "{{ mark_token }}{{ messages[0].content }}",
                                       "extra_special_tokens": {"mark_token": "<mark>", "other": "word"}}}),
    "a padding token in tokenizer.json": (
        {"padding": {"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None, "pad_id": 427, "pad_type_id": 0,
                     "pad_token": "<pad>"}}, {"tokenizer_config.json": GENERIC}),
    "Qwen2's own tokens": (
        {"added_tokens": [*BASE["added_tokens"], MORE]},
        {"tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer", "chat_template": SHOWN, "added_tokens_decoder": listed("<bos>")}}),
    "Qwen2's own tokens, by config.json": (
        {"added_tokens": [*BASE["added_tokens"], MORE]},
        {"tokenizer_config.json": {"eos_token": "<eos>", "unk_token": None, "chat_template": SHOWN}, "config.json": {"model_type": "qwen2"}}),
    "GPT-2's own tokens": (
        {"added_tokens": [*BASE["added_tokens"], MORE]}, {"tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer", "chat_template": SHOWN}}),
    "Llama's own tokens": (
        {}, {"tokenizer_config.json": {"tokenizer_class": "LlamaTokenizerFast", "chat_template": SHOWN}}),
    "the class of config.json": (
        without(eos={"special": False}), {"tokenizer_config.json": {"chat_template": SHOWN, "eos_token": "<eos>"}}),
    "no configuration of the tokenizer": ({}, {"chat_template.jinja": SHOWN}),
    "a prefix space by the configuration": (
        {"pre_tokenizer": BYTE_LEVEL}, {"tokenizer_config.json": {**GENERIC, "add_prefix_space": True}}),
    "no prefix space by the configuration": (
        {"pre_tokenizer": {**BYTE_LEVEL, "add_prefix_space": True}}, {"tokenizer_config.json": GENERIC}),
    "a prefix space that Llama's class leaves alone": (
        {"pre_tokenizer": {**BYTE_LEVEL, "add_prefix_space": True}}, {"tokenizer_config.json": {**GENERIC, "tokenizer_class": "LlamaTokenizerFast"}}),
    "spaces cleaned up": ({}, {"tokenizer_config.json": {**GENERIC, "clean_up_tokenization_spaces": True}}),
    "a template in a file": (
        {}, {"tokenizer_config.json": {**GENERIC, "chat_template": "no"}, "chat_template.jinja": "file {{ bos_token }}\n{{ messages[0].content }}"}),
    "named templates": (
        {}, {"tokenizer_config.json": {**GENERIC, "chat_template": [
            {"name": "default", "template": "no"}, {"name": "rag", "template": "no"}, {"name": "default", "template": "the last {{ eos_token }}"}]}}),
    "templates by name": ({}, {"tokenizer_config.json": {**GENERIC, "chat_template": {"default": "by name", "rag": "no"}}}),
    "more templates": (
        {}, {"tokenizer_config.json": {**GENERIC, "chat_template": "no"}, "chat_template.jinja": "the default",
             "additional_chat_templates/rag.jinja": "no"}),
    "a default among more templates": (
        {}, {"tokenizer_config.json": {**GENERIC, "chat_template": "no"}, "chat_template.jinja": "no",
             "additional_chat_templates/default.jinja": "the other default"}),
    "more templates without a default": (
        {}, {"tokenizer_config.json": {**GENERIC, "chat_template": "no"}, "additional_chat_templates/rag.jinja": "no"}),
    "a processor's template": ({}, {"tokenizer_config.json": GENERIC, "chat_template.json": {"chat_template": "no"}}),
    "no template": ({}, {"tokenizer_config.json": {**GENERIC, "chat_template": None}}),
    "before tokenizer.json, Qwen2": (
        None, {"tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<eos>", "unk_token": None, "pad_token": "<pad>",
                                         "added_tokens_decoder": {"1": token("<eos>", special=True), "420": token("<pad>", special=True)}}}),
    "before tokenizer.json, GPT-2": (
        None, {"tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer", "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<eos>"},
               "added_tokens.json": {"<tool>": 420}}),
    "before tokenizer.json, with a prefix space": (
        None, {"tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer", "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<eos>",
                                         "add_prefix_space": True}}),
}


def write(folder, patch, files):
    for name, content in {"config.json": {"model_type": "llama"}, **files}.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes((content if isinstance(content, str) else json.dumps(content)).encode())
    if patch is not None:
        (folder / "tokenizer.json").write_text(json.dumps(merge_patch(BASE, patch)))
    else:
        (folder / "vocab.json").write_text(json.dumps(BASE["model"]["vocab"]))
        merges = ["#version: 0.2", *map(" ".join, BASE["model"]["merges"]), ""]
        (folder / "merges.txt").write_text("\n".join(merges))


def expect(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False)
    decode = lambda **options: tokenizer.decode(ids, **options)
    return {"text": text, "ids": ids, "decoded": decode(skip_special_tokens=True, clean_up_tokenization_spaces=False),
            "whole": decode(clean_up_tokenization_spaces=False), "cleaned": decode(skip_special_tokens=True)}


def main():
    assert transformers.__version__ == "4.53.3", transformers.__version__
    made = []
    for name, (patch, files) in FOLDERS.items():
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), copy.deepcopy(patch), copy.deepcopy(files))
            tokenizer = AutoTokenizer.from_pretrained(folder)
        try:
            rendered = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True)
        except ValueError:
            rendered = None
        texts = TEXTS + CLASS_TEXTS * (SHOWN in (tokenizer.chat_template or ""))
        made.append({"name": name, "patch": patch, "files": files, "rendered": rendered,
                     "expected": [expect(tokenizer, text) for text in texts]})
    lines = [json.dumps(folder, separators=(",", ":")) for folder in made]
    (FOLDER / "folders.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main()
