"""Holds the floating-point operations in a results.h5 against PyTorch's own count; run by hand:

    .venv-bench/bin/python tests/parity/flops_check.py results/sweep/results.h5 --models models

(launch/bench.sh makes that environment.) What each method does is done again by transformers 4.53.3 on as many
tokens as /samples tells, under torch.utils.flop_counter. Operations depend on shapes alone, so the models are on the
device "meta", which has shapes and no numbers: a folder's config.json is enough. It exits with 1 where a column
differs from the count by more than 0.1 %. Nothing here may know the program's formulas.
"""

import argparse
import json
import sys
import tomllib
from functools import lru_cache
from pathlib import Path

import h5py
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

COLUMNS = ("sender_flops", "receiver_flops", "attention_flops")
SHARES_LAYERS = ("kvcomm", "kvcomm_s", "random", "contiguous")
TOLERANCE = 1e-3


class End:
    """A model as one end of a sample, and what its passes came to."""

    def __init__(self, model):
        self.model, self.flops, self.attention = model, 0, 0

    @property
    def layers(self):
        return self.model.config.num_hidden_layers

    def no_rows(self):
        """The rows that each layer's cache holds."""
        return [0] * self.layers

    def add(self, flops, attention):
        self.flops += flops
        self.attention += attention

    def read(self, n, held, layers):
        """n rows through some layers, by which `held` grows."""
        for layer in layers:
            flops, attention, held[layer] = of_layer(self.model, n, held[layer])
            self.add(flops, attention)

    def generate(self, prompt, steps, held=None, vectors=False):
        """The last step's token or vector is not read any more."""
        held = held or self.no_rows()
        for step in range(steps):
            self.read(1 if step else prompt, held, range(self.layers))
            self.add(*of_head(self.model))
            if vectors:
                self.add(*of_vector(self.model))


def counted(call):
    """(all operations, those of attention): with a batch of one, products with weights are mm and addmm."""
    with FlopCounterMode(display=False) as counter:
        call()
    counts = counter.get_flop_counts().get("Global", {})
    assert counts.keys() <= {torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.bmm}, counts
    return sum(counts.values()), counts.get(torch.ops.aten.bmm, 0)


@lru_cache(maxsize=None)
def of_layer(model, n, rows):
    """n rows in a decoder layer that holds others: (operations, those of attention, the rows that it then holds).

    There is no mask, as it changes no product, and rotary angles are given, as they are a bmm in transformers.
    """
    layer, cache = model.model.layers[0], DynamicCache()
    attention = layer.self_attn
    if rows:
        past = torch.empty(1, model.config.num_key_value_heads, rows, attention.head_dim, device="meta")
        cache.update(past, past, attention.layer_idx)
    x = torch.empty(1, n, model.config.hidden_size, device="meta")
    angles = torch.empty(2, 1, n, attention.head_dim, device="meta")
    return *counted(lambda: layer(x, past_key_value=cache, position_embeddings=tuple(angles))), cache.get_seq_length()


@lru_cache(maxsize=None)
def of_head(model):
    """What a step asks of the last row."""
    last = torch.empty(1, 1, model.config.hidden_size, device="meta")
    return counted(lambda: model.lm_head(model.model.norm(last)))


@lru_cache(maxsize=None)
def of_vector(model):
    """What CIPHER's step does besides: the mean of the embedding table, and its cosine with each row of it."""
    table = model.get_input_embeddings().weight
    weights = torch.empty(1, len(table), device="meta")
    return counted(lambda: weights @ table @ table.T)


@lru_cache(maxsize=None)
def model_of(folder):
    """Its layers are alike, so that each of them may be counted as the first."""
    config = AutoConfig.from_pretrained(folder)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", torch_dtype=torch.float32).eval()
    assert len({tuple(weights.shape for weights in layer.parameters()) for layer in model.model.layers}) == 1, folder
    return model


def count(cell, row, senders, receiver):
    """(sender_flops, receiver_flops, attention_flops) of a row of /samples.

    cell        dict: method, parameters; of methods that share layers also keep_layer0, sink_token and layers, a
                function of the sample
    row         dict: sample, layers_sent and the counts of tokens; of several senders `senders`, such a dict for each
    senders     their models
    receiver    its model
    """
    senders, receiver = [End(model) for model in senders], End(receiver)
    method, parameters, held = cell["method"], cell["parameters"], receiver.no_rows()
    parts = row.get("senders") or [{"context_tokens": row["context_tokens"],
                                    "output_tokens": row["sender_output_tokens"]}]
    if method in SHARES_LAYERS:
        for sender, part in zip(senders, parts, strict=True):
            sender.read(part["context_tokens"], sender.no_rows(), range(sender.layers))
        held = received(cell, row, [part["context_tokens"] for part in parts], receiver.layers)
    elif method in ("ac", "hidden_prepend"):
        senders[0].read(row["context_tokens"], senders[0].no_rows(), range(parameters["k"]))
        if method == "hidden_prepend":
            receiver.read(row["context_tokens"], held, range(parameters["j"], receiver.layers))
    elif method in ("nld", "cipher"):
        first = (row["receiver_input_tokens"] - row["prompt_tokens"],
                 row["receiver_output_tokens"] - row["output_tokens"])
        said = [(part["context_tokens"], part["output_tokens"]) for part in parts]
        for end, (prompt, emitted) in zip([*senders, receiver], [*said, first], strict=True):
            vectors = method == "cipher"  # whose last step emits nothing where its vector ends the answer
            steps = min(emitted + 1, parameters["phase1_tokens"]) if vectors else emitted
            end.generate(prompt, steps, vectors=vectors)
    else:
        assert method in ("baseline", "skyline", "token_study"), method
        if parameters["model"] == "sender":
            receiver = End(senders[0].model)
            held = receiver.no_rows()
    receiver.generate(row["prompt_tokens"], row["output_tokens"], held)
    return sum(end.flops for end in senders), receiver.flops, sum(end.attention for end in [*senders, receiver])


def received(cell, row, contexts, layers):
    """The rows that each layer of the receiver gets: whole contexts, or the first one's first row."""
    whole = {*cell["layers"](row["sample"]), *([0] if cell["keep_layer0"] else [])}
    assert len(whole) == row["layers_sent"], (whole, row["layers_sent"])
    return [sum(contexts) if layer in whole else int(cell["sink_token"]) for layer in range(layers)]


def table(file, name):
    """A dict for each row, texts as str."""
    def plain(value):
        return value.decode() if isinstance(value, bytes) else value.item()

    rows = file[name][:]
    return [dict(zip(rows.dtype.names, map(plain, row))) for row in rows]


def pairs_of(file, models):
    """{name: (the senders' folders, the receiver's)}, as the runs' configurations have them; the newest counts."""
    found = {}
    for run in table(file, "runs"):
        for pair in tomllib.loads(run["config"])["pair"]:
            senders = pair["sender"] if isinstance(pair["sender"], list) else [pair["sender"]]
            found[pair["name"]] = [models / sender for sender in senders], models / pair["receiver"]
    return found


def layers_of(file, cell):
    """A function of the sample: the layers chosen for it, by the cell's last choice until then if it has several."""
    once = [row["layer"] for row in table(file, "layers") if row["cell"] == cell and row["selected"]]
    choices = sorted((row["sample"], json.loads(row["layers"])) for row in table(file, "recalibrations")
                     if row["cell"] == cell)
    return lambda sample: [once, *(layers for at, layers in choices if at <= sample)][-1]


def cells_of(file, samples):
    """Each row of /cells with what count() wants to know of it, and its first samples that did not fail."""
    rows = table(file, "samples")
    parts = table(file, "senders")
    for place, cell in enumerate(table(file, "cells")):
        key = json.loads(cell["key_json"])
        chosen = sorted((row for row in rows if row["cell"] == place and not row["failed"]),
                        key=lambda row: row["sample"])[:samples]
        for row in chosen:
            row["senders"] = sorted((part for part in parts if part["cell"] == place and
                                     part["sample"] == row["sample"]), key=lambda part: part["sender"])
        yield cell | {"label": cell["method"], "method": key["method"], "parameters": json.loads(cell["parameters"]),
                      "keep_layer0": key["fidelity"].get("keep_layer0", False),
                      "sink_token": key["fidelity"].get("sink_token", False),
                      "layers": layers_of(file, place)}, chosen


def ratio(stored, counted):
    return stored / counted if counted else 1.0 if stored == 0 else float("inf")


def distance(value):
    """How far a ratio is from 1; NaN, of what was not stored, is as far as can be."""
    return abs(value - 1) if value == value else float("inf")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, metavar="RESULTS_H5")
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of the models (default models)")
    parser.add_argument("--samples", type=int, default=4, help="of each cell, the first ones (default 4)")
    arguments = parser.parse_args()
    assert transformers.__version__ == "4.53.3", transformers.__version__
    wrong = checked = 0
    print(f"stored / counted, the worst of the samples\n{'':9}" + "".join(f"{name:>17}" for name in COLUMNS))
    with h5py.File(arguments.results) as file, torch.no_grad():
        lacking = sorted({*COLUMNS} - {*file["samples"].dtype.names})
        assert not lacking, f"{arguments.results} is of a program that did not count: no {', '.join(lacking)}"
        pairs = pairs_of(file, arguments.models)
        for cell, rows in cells_of(file, arguments.samples):
            senders, receiver = pairs[cell["pair"]]
            counts = [count(cell, row, [*map(model_of, senders)], model_of(receiver)) for row in rows]
            ratios = [max((ratio(row[name], counted[column]) for row, counted in zip(rows, counts)), key=distance,
                          default=1.0) for column, name in enumerate(COLUMNS)]
            bad = any(distance(value) > TOLERANCE for value in ratios)
            wrong, checked = wrong + bad, checked + len(rows)
            print(f"{'DIFFERENT' if bad else '':9}" + "".join(f"{value:17.6f}" for value in ratios),
                  f"  {cell['pair']} {cell['dataset']} {cell['label']} {cell['variant']}".rstrip(),
                  f"({len(rows)} samples)", flush=True)
    print(f"{checked} rows, cells that differ: {wrong}")
    sys.exit(1 if wrong or not checked else 0)


if __name__ == "__main__":
    main()
