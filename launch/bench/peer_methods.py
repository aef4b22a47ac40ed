"""The other methods in plain transformers, and the timed loop over the records."""

import copy

import torch
from transformers import DynamicCache

from measured import AC_LAYER, METHODS, PHASE1_TOKENS, Case, Measured
from peer import Batch, Clock, Padded, Peer
from peer_kv import kvcomm
from prompts import OTHER, OWN, Prompts


def alone(peer: Peer, batch: Batch) -> list[list[int]]:
    """Baseline and Skyline."""
    batch.read([[]] * len(batch.records))
    return generate(peer, batch, batch.asked(batch.answered(batch.method)), batch.limit)


def generate(peer: Peer, batch: Batch, prompts: list[list[int]], limit: int) -> list[list[int]]:
    clock = Clock()
    ids = peer.generate(prompts, limit, clock)
    batch.took(clock)
    return ids


def ac(peer: Peer, batch: Batch) -> list[list[int]]:
    contexts = batch.read([batch.prompts.sender(context) for context, _ in batch.records])
    prompts = batch.asked(batch.answered("receiver"))
    clock = Clock()
    context = Padded(contexts, peer.pad)
    theirs = below(peer, AC_LAYER)(
        input_ids=context.ids, attention_mask=context.mask, position_ids=context.positions,
        use_cache=False).last_hidden_state[:, -1]

    def replace(_, inputs):
        x = inputs[0]  # [batch, tokens, hidden]
        if x.shape[1] > 1:
            x[:, -1] = theirs

    hook = peer.layers[AC_LAYER].register_forward_pre_hook(replace)
    ids = peer.generate(prompts, batch.limit, clock)
    hook.remove()
    batch.took(clock)
    return ids


def below(peer: Peer, layer: int):
    """The model as far as that layer's input; its weights are the model's own."""
    part = copy.copy(peer.model.model)
    part._modules = part._modules | {"layers": part.layers[:layer], "norm": torch.nn.Identity()}
    part.config._attn_implementation = "sdpa"
    return part


def nld(peer: Peer, batch: Batch) -> list[list[int]]:
    contexts = batch.read([batch.prompts.sender(context, "sender_summary")
                           for context, _ in batch.records])
    theirs = peer.words(generate(peer, batch, contexts, PHASE1_TOKENS))
    own = peer.words(generate(peer, batch, batch.answered("receiver"), PHASE1_TOKENS))
    prompts = [batch.prompts.refined(question, *said)
               for (_, question), *said in zip(batch.records, own, theirs)]
    return generate(peer, batch, batch.asked(prompts), batch.limit)


def cipher(peer: Peer, batch: Batch) -> list[list[int]]:
    """One sample."""
    [(context, question)] = batch.records
    read = batch.read([batch.prompts.sender(context, "sender_summary")])
    said = {OTHER: emit(peer, batch, read), OWN: emit(peer, batch, batch.answered("receiver"))}
    clock = Clock()
    x = torch.cat([said[piece] if isinstance(piece, str) else peer.embed(piece)
                   for piece in batch.prompts.refined_around(question)])
    batch.asked([x])
    ids = peer.generate_from(x[None], batch.limit, clock)
    batch.took(clock)
    return ids


def emit(peer: Peer, batch: Batch, prompts: list[list[int]]) -> torch.Tensor:
    """What an end says first, a vector each step: [steps, hidden]."""
    cache = DynamicCache() if batch.method == "cipher" else None
    clock = Clock()
    peer.model.config._attn_implementation = "sdpa"
    x = peer.embed(prompts)  # [1, tokens, hidden]
    said = x[0, :0]
    while len(said) < PHASE1_TOKENS:
        logits = peer.model(inputs_embeds=x, past_key_values=cache, use_cache=cache is not None,
                            logits_to_keep=1).logits[0]  # [1, vocab]
        vector = torch.softmax(logits.float(), 1).to(x.dtype) @ peer.table
        clock.tick()
        if (vector @ peer.directions.T).argmax() == peer.tokenizer.eos_token_id:
            break
        said = torch.cat([said, vector])
        x = torch.cat([x, vector[None]], 1) if cache is None else vector[None]
    batch.took(clock)
    return said


WAYS = {"baseline": alone, "skyline": alone, "kvcomm": kvcomm, "random": kvcomm,
        "kvcomm_s": kvcomm, "ac": ac, "nld": nld, "cipher": cipher, "cipher_recomputed": cipher}
assert WAYS.keys() == METHODS.keys()


@torch.inference_mode()
def run(peer: Peer, case: Case, records, prompts: Prompts, given) -> Measured:
    """Times the whole loop over the records: template, tokenizer, model, text.

    given: (new tokens of an answer, the layers that the program sent).
    """
    out, clock = Measured(batch=case.peer_batch), Clock()
    for i in range(0, len(records), case.peer_batch):
        batch = Batch(case.method, records[i:i + case.peer_batch], prompts, *given, out)
        ids = WAYS[case.method](peer, batch)
        out.answers += peer.words(ids)
        out.output_tokens += map(len, ids)
    clock.tick()
    out.seconds = clock.times[1] - clock.times[0]
    out.layers = batch.layers
    return out
