"""What kvcomm is compared with: the same in plain transformers, as a careful user writes it."""

import time

import torch
from transformers import (AttentionInterface, AutoModelForCausalLM, AutoTokenizer, DynamicCache,
                          StoppingCriteria, StoppingCriteriaList)
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from measured import Case, Measured
from prompts import Prompts


def attend_ragged(module, query, key, value, attention_mask, **more):
    """sdpa for layers of unequal length: the columns that a layer has are the mask's last ones.

    (transformers' own sdpa takes the first ones, which hides the wrong tokens here.)
    """
    rows = key.shape[-2]
    if attention_mask is not None:
        plain = query.shape[0] == 1 and query.shape[-2] == rows  # one sequence, alone: causal
        attention_mask = None if plain else attention_mask[..., -rows:]
    return sdpa_attention_forward(module, query, key, value, attention_mask, **more)


AttentionInterface.register("ragged", attend_ragged)


class Clock(StoppingCriteria):
    """Notes when each new token is there, and stops nothing."""

    def __init__(self):
        self.times = []

    def __call__(self, input_ids, scores, **_):
        self.times.append(time.perf_counter())
        return torch.zeros(len(input_ids), dtype=torch.bool)


class Padded:
    """Sequences of unequal length side by side, padded on the left."""

    def __init__(self, sequences: list[list[int]], pad: int):
        longest = max(map(len, sequences))
        # each [batch, longest]
        self.ids = torch.tensor([[pad] * (longest - len(s)) + s for s in sequences])
        self.mask = torch.tensor([[0] * (longest - len(s)) + [1] * len(s) for s in sequences])
        self.positions = (self.mask.cumsum(1) - 1).clamp(min=0)
        self.lengths = self.mask.sum(1, keepdim=True)  # [batch, 1]


class Peer:
    """One model, loaded once and kept warm. Greedy, KV cache, sdpa, inference mode."""

    def __init__(self, folder, dtype: str):
        self.model = AutoModelForCausalLM.from_pretrained(
            folder, torch_dtype=getattr(torch, dtype), attn_implementation="sdpa").eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        eos = self.model.generation_config.eos_token_id
        self.eos = eos if isinstance(eos, list) else [eos]
        self.pad = self.tokenizer.pad_token_id

    @torch.inference_mode()
    def run(self, case: Case, records, prompts: Prompts, limit: int, layers: list[int]) -> Measured:
        """Times the whole loop over the records: template, tokenizer, model, text."""
        out = Measured(0, 0, 0, [], [], [], [])
        start = time.perf_counter()
        for i in range(0, len(records), case.batch):
            batch = records[i:i + case.batch]
            if case.method == "kvcomm":
                contexts = [prompts.sender(context) for context, _ in batch]
                asked = [prompts.answered("receiver", *record) for record in batch]
                times, ids = self.kvcomm(contexts, asked, limit, layers)
                out.context_tokens += map(len, contexts)
            else:
                asked = [prompts.answered(case.method, *record) for record in batch]
                times, ids = self.generate(asked, limit)
                out.context_tokens += [0] * len(batch)
            ids = [self.until_eos(row) for row in ids.tolist()]
            out.answers += self.tokenizer.batch_decode(ids, skip_special_tokens=True,
                                                       clean_up_tokenization_spaces=False)
            out.prompt_tokens += map(len, asked)
            out.output_tokens += map(len, ids)
            out.prefill_s += times[1] - times[0]
            out.decode_s += times[-1] - times[1]
        out.seconds = time.perf_counter() - start
        return out

    def until_eos(self, ids: list[int]) -> list[int]:
        ends = [i for i, token in enumerate(ids) if token in self.eos]
        return ids[:ends[0] + 1] if ends else ids

    def generate(self, prompts: list[list[int]], limit: int):
        """Times (start, each new token) and the new ids [batch, steps]."""
        clock, start, x = Clock(), time.perf_counter(), Padded(prompts, self.pad)
        self.model.config._attn_implementation = "sdpa"
        ids = self.model.generate(x.ids, attention_mask=x.mask, max_new_tokens=limit,
                                  do_sample=False, eos_token_id=self.eos, pad_token_id=self.pad,
                                  stopping_criteria=StoppingCriteriaList([clock]))
        return [start, *clock.times], ids[:, x.ids.shape[1]:]

    def kvcomm(self, contexts, prompts, limit: int, layers: list[int]):
        """The same for a receiver that has the sender's keys and values in some layers."""
        times = [time.perf_counter()]
        context, own = Padded(contexts, self.pad), Padded(prompts, self.pad)
        cache = self.read(context, layers)
        first = context.ids.shape[1]  # of the receiver's cache positions
        x, positions, mask = own.ids, context.lengths + own.positions, prefill_mask(context, own)
        seen = torch.cat([context.mask, own.mask], 1)  # [batch, rows]
        padded = not seen.all()
        self.model.config._attn_implementation = "ragged"
        ids, ended = [], torch.zeros(len(prompts), dtype=torch.bool)
        while True:
            hidden = self.model.model(
                input_ids=x, attention_mask=mask, position_ids=positions, past_key_values=cache,
                cache_position=torch.arange(first, first + x.shape[1])).last_hidden_state
            token = self.model.lm_head(hidden[:, -1]).argmax(-1).masked_fill(ended, self.pad)
            ids.append(token)
            times.append(time.perf_counter())
            ended = ended | torch.isin(token, torch.tensor(self.eos))
            if len(ids) == limit or ended.all():
                return times, torch.stack(ids, 1)
            first += x.shape[1]
            x, positions = token[:, None], positions[:, -1:] + 1
            seen = torch.cat([seen, torch.ones_like(token)[:, None]], 1)
            mask = seen.bool()[:, None, None] if padded else None

    def read(self, context: Padded, layers: list[int]) -> DynamicCache:
        """The sender's part: its cache, emptied in all layers but the given ones."""
        self.model.config._attn_implementation = "sdpa"
        cache = self.model.model(input_ids=context.ids, attention_mask=context.mask,
                                 position_ids=context.positions, use_cache=True).past_key_values
        for layer in set(range(len(cache))) - set(layers):
            cache.key_cache[layer] = cache.value_cache[layer] = torch.tensor([])
        return cache


def prefill_mask(context: Padded, own: Padded) -> torch.Tensor:
    """[batch, 1, own, context + own], True where seen: contexts whole, own tokens causally.

    A padded row sees itself, since a row that sees nothing has no softmax.
    """
    n = own.ids.shape[1]
    causal = torch.ones(n, n, dtype=torch.bool).tril() & own.mask.bool()[:, None]
    causal = causal | torch.eye(n, dtype=torch.bool)
    whole = context.mask.bool()[:, None].expand(-1, n, -1)
    return torch.cat([whole, causal], 2)[:, None]
