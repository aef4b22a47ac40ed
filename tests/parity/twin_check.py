"""Holds the twin against transformers 4.53.3, method by method; run by hand after a change of the twin:

    .venv-bench/bin/python tests/parity/twin_check.py       # launch/bench.sh makes that environment

What transformers cannot do by itself is asked of it layer by layer: hooks give each decoder layer its own mask
and positions. The release's prefill of unselected layers needs none: a cache with unequal layers gives it.
"""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers import AutoModelForCausalLM, DynamicCache

from twin import Model
from twin_case import CHECKPOINTS, GLOOMY, MAX_NEW_TOKENS, PAIRS, PROMPTS, Text, change_model, records
from twin_methods import PAPER, RELEASE, Twin


class Peer:
    """A model in transformers, driven by hand."""

    def __init__(self, folder):
        self.model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32).eval()
        self.eager = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32,
                                                          attn_implementation="eager").eval()
        self.table = self.model.get_input_embeddings().weight

    def generated(self, limit, **inputs):
        """generate() under the folder's own generation_config.json; the new ids."""
        given = inputs["input_ids"].shape[1] if "input_ids" in inputs else 0
        ones = torch.ones(next(iter(inputs.values())).shape[:2], dtype=torch.long)
        out = self.model.generate(**inputs, attention_mask=ones, max_new_tokens=limit, do_sample=False, pad_token_id=0)
        return out[0, given:].tolist()

    def prefilled(self, ids):
        """Per layer (k, v), each [1, kv_heads, n, head_dim]."""
        cache = self.model(torch.tensor([ids]), use_cache=True).past_key_values
        return [cache[layer] for layer in range(len(cache))]


def cache_of(layers):
    cache = DynamicCache()
    for layer, (k, v) in enumerate(layers):
        cache.update(k.clone(), v.clone(), layer)
    return cache


def stepwise(step, ids, stop):
    """Greedy ids without a penalty: step(ids) -> logits after them, called with the prompt, then id by id."""
    out = []
    while len(out) < MAX_NEW_TOKENS and not (out and out[-1] in stop):
        ids = [int(step(ids).argmax())]
        out += ids
    return out


def by_unequal_cache(peer, layers, ids, stop):
    """The release's prefill: one mask made for layer 0's length, of which each layer takes what fits."""
    cache, seen = cache_of(layers), layers[0][0].shape[2]

    def step(new):
        nonlocal seen
        at = torch.arange(seen, seen + len(new))
        seen += len(new)
        return peer.model(torch.tensor([new]), past_key_values=cache, cache_position=at).logits[0, -1]

    return stepwise(step, ids, stop)


def by_hooks(peer, layers, starts, ids, stop):
    """Each layer with its own start of positions; own tokens causal, what a layer holds is seen by all."""
    cache, done = cache_of(layers), 0
    inner = peer.model.model

    def hook(layer):
        def change(_, arguments, words):
            n, rows = arguments[0].shape[1], layers[layer][0].shape[2]
            columns = torch.arange(rows + done + n)
            visible = columns[None] <= rows + done + torch.arange(n)[:, None]
            positions = (starts[layer] + done + torch.arange(n))[None]
            words |= {"attention_mask": visible[None, None], "position_ids": positions,
                      "position_embeddings": inner.rotary_emb(arguments[0], positions)}
            return arguments, words
        return change

    def step(new):
        nonlocal done
        logits = peer.model(torch.tensor([new]), past_key_values=cache).logits[0, -1]
        done += len(new)
        return logits

    handles = [block.register_forward_pre_hook(hook(layer), with_kwargs=True)
               for layer, block in enumerate(inner.layers)]
    found = stepwise(step, ids, stop)
    for handle in handles:
        handle.remove()
    return found


def importances(peer, layers, ids, release):
    """By attention weights that transformers hands out; the release's from each layer's attention alone, with its
    boolean mask turned into numbers that are added."""
    rows, n = layers[0][0].shape[2], len(ids)
    out = peer.eager(torch.tensor([ids]), past_key_values=cache_of(layers), output_attentions=True,
                     output_hidden_states=True)
    if not release:
        return [weights[0, :, :, :rows].sum(-1).mean().item() for weights in out.attentions]
    visible = (torch.arange(rows + n)[None] <= rows + torch.arange(n)[:, None])[None, None]
    positions, found = (rows + torch.arange(n))[None], []
    for layer, block in enumerate(peer.eager.model.layers):
        x = block.input_layernorm(out.hidden_states[layer])
        turned = peer.eager.model.rotary_emb(x, positions)
        _, weights = block.self_attn(hidden_states=x, position_embeddings=turned, attention_mask=visible.float(),
                                     past_key_value=cache_of(layers), cache_position=positions[0])
        found.append(weights[0, :, :, 1:rows].sum(-1).mean().item())
    return found


def with_injection(peer, j, change, ids, stop):
    """AC: the input of layer j is changed at its last token, at prefill."""
    def hook(_, arguments):
        x = arguments[0].clone()
        if x.shape[1] > 1:
            x[0, -1] = change(x[0, -1])
        return (x, *arguments[1:])

    handle, cache = peer.model.model.layers[j].register_forward_pre_hook(hook), DynamicCache()
    found = stepwise(lambda new: peer.model(torch.tensor([new]), past_key_values=cache).logits[0, -1], ids, stop)
    handle.remove()
    return found


def soft_vectors(peer, ids, limit, temperature):
    """CIPHER's first phase, everything computed again at each step."""
    x, out = peer.table[ids], []
    while len(out) < limit:
        vector = torch.softmax(peer.model(inputs_embeds=x[None]).logits[0, -1] / temperature, -1) @ peer.table
        if torch.cosine_similarity(vector[None], peer.table).argmax() == Text.eos:
            break
        out.append(vector)
        x = torch.cat([x, vector[None]])
    return torch.stack(out) if out else torch.zeros(0, peer.table.shape[1])


class Check:
    """A pair, in the twin and in transformers."""

    def __init__(self, folder, pair, fidelity):
        self.name, self.release = f"{pair} {'release' if fidelity == RELEASE else 'paper'}", fidelity == RELEASE
        self.twin = Twin(Model(folder / "sender"), Model(folder / "receiver"), Text(), PROMPTS, records(), fidelity,
                         MAX_NEW_TOKENS)
        self.sender, self.receiver = Peer(folder / "sender"), Peer(folder / "receiver")
        if not self.release:  # generate() knows no penalty then
            for peer in (self.sender, self.receiver):
                peer.model.generation_config.repetition_penalty = None
        self.wrapped = self.receiver.model.config.eos_token_id if self.release else (2, 3)
        self.wrapped = [self.wrapped] if isinstance(self.wrapped, int) else self.wrapped
        self.asked = 0

    def same(self, ids, place, method, **parameters):
        found = self.twin.answer(place, method, **parameters)
        assert found.ids == ids, (self.name, place, method, parameters, found.ids, ids, found.best)
        self.asked += 1

    def plain(self, peer, ids, limit=MAX_NEW_TOKENS):
        return peer.generated(limit, input_ids=torch.tensor([ids]))

    def all(self):
        for place, sample in enumerate(self.twin.samples):
            context, question = self.twin.context_ids(sample), self.twin.question_ids(sample)
            for key in ("baseline", "skyline"):
                ids = self.twin.ids(self.twin.filled(key, sample))
                self.same(self.plain(self.receiver, ids), place, key)
                self.same(self.plain(self.sender, ids), place, key, model="sender")
            self.shares(place, context, question)
            self.injects(place, context, question)
            self.debates(place, sample, question)
            self.splices(place, sample, question)
        print(f"{self.name}: {self.asked} answers equal")

    def shares(self, place, context, question):
        layers, count = self.sender.prefilled(context), self.twin.receiver.layers
        expected = self.twin.importance_of(self.twin.samples[place])
        np.testing.assert_allclose(importances(self.receiver, layers, question, self.release), expected, atol=1e-5)
        for chosen in ([0, 2], [1, 3], [3], [0, 1, 2, 3]):
            whole = {*chosen, 0} if self.release else set(chosen)
            held = [(k, v) if layer in whole else (k[:, :, :self.release], v[:, :, :self.release])
                    for layer, (k, v) in enumerate(layers)]
            for method, first in (("kvcomm", len(context)), ("kvcomm_s", int(self.release))):
                starts = [len(context) if layer in whole else first for layer in range(count)]
                if self.release and method == "kvcomm":
                    ids = by_unequal_cache(self.receiver, held, question, self.wrapped)
                else:
                    ids = by_hooks(self.receiver, held, starts, question, self.wrapped)
                self.same(ids, place, method, layers=chosen)

    def injects(self, place, context, question):
        states = self.sender.model(torch.tensor([context]), output_hidden_states=True).hidden_states
        for k, j in ((2, 1), (0, 3), (3, 0)):
            sent = states[k][0, -1]
            for f, change in (("replace", lambda x: sent), ("sum", lambda x: x + sent),
                              ("mean", lambda x: (x + sent) / 2)):
                self.same(with_injection(self.receiver, j, change, question, self.wrapped), place, "ac", f=f, k=k, j=j)

    def debates(self, place, sample, question):
        for aware, key in ((True, "sender_summary"), (False, "sender")):
            said = self.plain(self.sender, self.twin.ids(self.twin.filled(key, sample)), 6)
            own = self.plain(self.receiver, question, 6)
            own_words = self.twin.words(own, self.twin.ending(self.twin.receiver))
            others = self.twin.words(said, self.twin.ending(self.twin.sender))
            prompt = self.twin.ids(self.twin.refine(sample, own_words, others))
            self.same(self.plain(self.receiver, prompt), place, "nld", phase1_tokens=6, sender_aware=aware)

    def splices(self, place, sample, question):
        for limit, temperature in ((4, 1.0), (6, 1.6)):  # few: rounding grows tenfold a step where T is low
            said = soft_vectors(self.sender, self.twin.context_ids(sample), limit, temperature)
            own = soft_vectors(self.receiver, question, limit, temperature)
            parameters = dict(phase1_tokens=limit, temperature=temperature, sender_aware=False)
            if not len(said) or not len(own):
                assert self.twin.answer(place, "cipher", **parameters).failed
                continue
            text = self.twin.text.chat(self.twin.refine(sample, own="\x11", other="\x11"))
            pieces = [self.receiver.table[torch.tensor(self.twin.text.encode(piece), dtype=torch.long)]
                      for piece in text.split("\x11")]  # the prompts of twin_case put the other's answer first
            x = torch.cat([pieces[0], said, pieces[1], own, pieces[2]])
            self.same(self.receiver.generated(MAX_NEW_TOKENS, inputs_embeds=x[None]), place, "cipher", **parameters)


def main():
    assert transformers.__version__ == "4.53.3", transformers.__version__
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary, torch.no_grad():
        for pair, (checkpoint, seeds, penalties) in PAIRS.items():
            folder = Path(temporary) / pair
            for end, seed, penalty in zip(("sender", "receiver"), seeds, penalties):
                shutil.copytree(CHECKPOINTS / checkpoint, folder / end)
                change_model(folder / end, seed, penalty, pair in GLOOMY)
            for fidelity in (PAPER, RELEASE):
                Check(folder, pair, fidelity).all()


if __name__ == "__main__":
    main()
