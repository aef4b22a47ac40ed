"""Every method a second time, on twin.py, in both fidelities; see there for what this may know and what not."""

import re
from dataclasses import dataclass, field
from math import ceil, floor

import numpy as np

from twin import Sequence, greedy, softmax


@dataclass(frozen=True)
class Fidelity:
    """What the paper and the release do differently. The defaults are the paper's."""

    layer_count: str = "ceil"
    keep_layer0: bool = False
    sink_token: bool = False
    importance_from: int = 0
    importance_mask: str = "causal"
    prior: str = "plain"
    unselected_prefill: str = "causal"
    shifted_start: int = 0
    generation: str = "common"
    phase1_tokens: int = 256
    sender_aware: bool = True


PAPER = Fidelity()
RELEASE = Fidelity(layer_count="floor", keep_layer0=True, sink_token=True, importance_from=1,
                   importance_mask="visible_plus_one", prior="normalised", unselected_prefill="first_columns",
                   shifted_start=1, generation="per_method", phase1_tokens=128, sender_aware=False)


@dataclass
class Answer:
    """What one sample of one method comes to."""

    ids: list = field(default_factory=list)
    text: str = ""
    best: list = field(default_factory=list)     # the two best logits of each step of the answer
    earlier: list = field(default_factory=list)  # of each step that other generations took before it
    payload: int = 0                             # bytes that cross the wire, in float32
    whole: list = field(default_factory=list)    # layers whose whole context is sent
    failed: bool = False


def normalised(values):
    values = np.asarray(values, float)
    width = values.max() - values.min()
    return (values - values.min()) / width if width > 1e-9 else np.zeros_like(values)


def fill(template, **texts):
    """Each {name} gives way to its text, at once: braces inside a text stay."""
    return re.sub(r"\{(\w+)\}", lambda found: texts.get(found[1], found[0]), template)


class Twin:
    """A pair of models that answers samples.

    sender, receiver   twin.Model
    text               has encode(text) -> ids, decode(ids) -> text without special tokens, chat(text) -> text, eos
    prompts            {key: template}
    samples            [{"context", "question", ...}] in the evaluated order: calibration takes the first ones
    """

    def __init__(self, sender, receiver, text, prompts, samples, fidelity=PAPER, max_new_tokens=12):
        self.sender, self.receiver, self.text, self.prompts = sender, receiver, text, prompts
        self.samples, self.fidelity, self.max_new_tokens = samples, fidelity, max_new_tokens
        self.kept = {}

    def answer(self, place, method, chosen=None, **parameters):
        """The answer to the sample at `place`; `chosen`: Random's layers, which the program draws."""
        if method == "random":
            parameters = {"chosen": chosen}
        return getattr(self, method)(self.samples[place], **parameters)

    def once(self, key, make):
        """make(), or what it gave before under this key."""
        if key not in self.kept:
            self.kept[key] = make()
        return self.kept[key]

    # Prompts

    def filled(self, key, sample):
        question = sample["question"] + self.prompts.get("question_suffix", "")
        return fill(self.prompts[key], context=sample["context"], question=question)

    def ids(self, text, prefix=True):
        more = self.text.encode(self.prompts.get("answer_prefix", "")) if prefix else []
        return self.text.encode(self.text.chat(text)) + more

    def context_ids(self, sample):
        return self.ids(self.filled("sender", sample), prefix=False)

    def question_ids(self, sample):
        return self.ids(self.filled("receiver", sample))

    # Generation

    def ending(self, model, wrapped=False):
        """(eos ids, penalty) for what `model` generates; wrapped: the release's wrapper, configured by config.json."""
        if self.fidelity.generation == "common":
            return model.generation_eos, 1.0
        return (model.config_eos, 1.0) if wrapped else (model.generation_eos, model.penalty)

    def plain(self, model, ids, limit):
        """model's own answer to a prompt: (ids, best logits)."""
        return self.once(("plain", id(model), *ids, limit), lambda: greedy(
            Sequence(model), model.table[ids], limit, self.ending(model), before=ids))

    def words(self, ids, ending):
        """The text of what was generated: an eos that ended it is no part of it."""
        ended = len(ids) > 0 and ids[-1] in ending[0]
        return self.text.decode(ids[:len(ids) - ended])

    def done(self, generated, ending, **more):
        ids, best = generated
        return Answer(ids, self.words(ids, ending), best, **more)

    # Baseline and Skyline

    def baseline(self, sample, model="receiver", key="baseline"):
        ids = self.ids(self.filled(key, sample))
        model = self.sender if model == "sender" else self.receiver
        return self.done(self.plain(model, ids, self.max_new_tokens), self.ending(model))

    def skyline(self, sample, model="receiver"):
        return self.baseline(sample, model, "skyline")

    # KVComm and its kin

    def context(self, sample):
        """The sender's (k, v) of each layer, [|C|, kv_heads, head_dim]."""
        def read():
            sequence = Sequence(self.sender)
            sequence.feed(self.sender.table[self.context_ids(sample)])
            return sequence.own

        return self.once(("context", sample["id"]), read)

    def whole_layers(self, chosen):
        return sorted({*chosen, 0} if self.fidelity.keep_layer0 else set(chosen))

    def receiving(self, sample, chosen, shifted=False):
        """The receiver as it stands before the question, and the layers that it holds whole."""
        whole, context = self.whole_layers(chosen), self.context(sample)
        size, sink = len(context[0][0]), int(self.fidelity.sink_token)
        past = [(k, v) if layer in whole else (k[:sink], v[:sink]) for layer, (k, v) in enumerate(context)]
        ahead = size - sink if self.fidelity.unselected_prefill == "first_columns" and not shifted else 0
        layers = range(self.receiver.layers)
        starts = [self.fidelity.shifted_start if shifted and layer not in whole else size for layer in layers]
        lookahead = [0 if layer in whole else ahead for layer in layers]
        return Sequence(self.receiver, past, starts, lookahead), whole

    def shared(self, sample, chosen, shifted=False):
        def answer():
            sequence, whole = self.receiving(sample, chosen, shifted)
            x = self.receiver.table[self.question_ids(sample)]
            ending = self.ending(self.receiver, wrapped=True)
            generated = greedy(sequence, x, self.max_new_tokens, ending)
            size = len(self.context(sample)[0][0])
            rows = len(whole) * size + (self.receiver.layers - len(whole)) * self.fidelity.sink_token
            row_bytes = 2 * self.receiver.kv_heads * self.receiver.head_dim * 4
            return self.done(generated, ending, payload=rows * row_bytes, whole=whole)

        return self.once(("shared", sample["id"], *self.whole_layers(chosen), shifted), answer)

    def importance_of(self, sample):
        """How much the question's tokens look at the context, per layer, all layers being shared."""
        by_layer = []

        def look(layer, scores, visible, rows):
            added = self.fidelity.importance_mask == "visible_plus_one"
            masked = scores + visible if added else np.where(visible, scores, -np.inf)
            by_layer.append(softmax(masked)[:, :, self.fidelity.importance_from:rows].sum(-1).mean())

        sequence, _ = self.receiving(sample, range(self.receiver.layers))
        sequence.feed(self.receiver.table[self.question_ids(sample)], at_scores=look)
        return np.array(by_layer)

    def importance(self, calibration_samples=1):
        return self.once(("importance", calibration_samples), lambda: np.mean(
            [self.importance_of(sample) for sample in self.samples[:calibration_samples]], axis=0))

    def prior(self, mu, sigma):
        layers = self.receiver.layers
        centre = mu * (layers - 1 if self.fidelity.prior == "normalised" else layers)
        bell = np.exp(-(np.arange(layers) - centre) ** 2 / (2 * sigma ** 2))
        return normalised(bell) if self.fidelity.prior == "normalised" else bell

    def scores(self, alpha=1.0, mu=0.5, sigma=10.0, calibration_samples=1):
        return alpha * normalised(self.importance(calibration_samples)) + (1 - alpha) * self.prior(mu, sigma)

    def ranking(self, **scoring):
        """Layers, the best first; of equal ones the higher, as in argsort read backwards (the paper is silent)."""
        return [int(layer) for layer in np.argsort(self.scores(**scoring), kind="stable")[::-1]]

    def count(self, ratio):
        """How many layers a ratio stands for."""
        layers = self.receiver.layers
        return floor(ratio * layers) if self.fidelity.layer_count == "floor" else ceil(ratio * layers - 1e-9)

    def chosen(self, ratio=0.5, layers=None, layer_count=None, **scoring):
        if layers is not None:
            return layers
        return self.ranking(**scoring)[:self.count(ratio) if layer_count is None else layer_count]

    def kvcomm(self, sample, **parameters):
        return self.shared(sample, self.chosen(**parameters))

    def kvcomm_s(self, sample, **parameters):
        return self.shared(sample, self.chosen(**parameters), shifted=True)

    def random(self, sample, chosen):
        return self.shared(sample, chosen)

    def contiguous(self, sample, to, **first):
        return self.shared(sample, range(first["from"], to + 1))

    # AC

    def ac(self, sample, f="replace", k=26, j=26):
        sent = []

        def note(layer, x):
            sent.extend([x[-1]] if layer == k else [])
            return x

        def inject(layer, x):
            if layer != j:
                return x
            last = {"replace": sent[0], "sum": x[-1] + sent[0], "mean": (x[-1] + sent[0]) / 2}[f]
            return np.concatenate([x[:-1], last[None]])

        Sequence(self.sender).feed(self.sender.table[self.context_ids(sample)], at_input=note)
        x = self.receiver.table[self.question_ids(sample)]
        ending = self.ending(self.receiver, wrapped=True)
        generated = greedy(Sequence(self.receiver), x, self.max_new_tokens, ending, at_input=inject)
        return self.done(generated, ending, payload=4 * self.sender.hidden)

    # NLD and CIPHER

    def phase1(self, sample, phase1_tokens, sender_aware):
        """(limit, the sender's prompt, the receiver's prompt)"""
        aware = self.fidelity.sender_aware if sender_aware is None else sender_aware
        said = self.ids(self.filled("sender_summary" if aware else "sender", sample), prefix=False)
        return phase1_tokens or self.fidelity.phase1_tokens, said, self.question_ids(sample)

    def refine(self, sample, own, other):
        line = fill(self.prompts.get("other_answer", "{answer}"), answer=other, index="1")
        return fill(self.prompts["refine"], prompt=self.filled("receiver", sample), own_answer=own, other_answers=line)

    def nld(self, sample, phase1_tokens=None, sender_aware=None):
        limit, said, asked = self.phase1(sample, phase1_tokens, sender_aware)
        other, other_best = self.plain(self.sender, said, limit)
        own, own_best = self.plain(self.receiver, asked, limit)
        ending = self.ending(self.receiver)
        own_words, others = self.words(own, ending), self.words(other, self.ending(self.sender))
        prompt = self.ids(self.refine(sample, own_words, others))
        return self.done(self.plain(self.receiver, prompt, self.max_new_tokens), ending,
                         earlier=other_best + own_best, payload=4 * len(other))

    def soft_answer(self, model, ids, limit, temperature):
        """([steps, hidden] emitted, (cosine of eos, best of the others) at each step); empty if eos comes first."""
        directions = model.table / np.linalg.norm(model.table, axis=-1, keepdims=True)
        sequence, vectors, best = Sequence(model), [], []
        logits = sequence.feed(model.table[ids])
        while True:
            vector = softmax(logits / temperature) @ model.table
            near = directions @ vector / np.linalg.norm(vector)
            best.append((near[self.text.eos], np.delete(near, self.text.eos).max()))
            if near.argmax() == self.text.eos:
                break
            vectors.append(vector)
            if len(vectors) == limit:
                break
            logits = sequence.feed(vector[None])
        return np.array(vectors).reshape(-1, model.hidden), best

    def cipher(self, sample, phase1_tokens=None, sender_aware=None, temperature=1.0):
        limit, said, asked = self.phase1(sample, phase1_tokens, sender_aware)
        other, other_best = self.soft_answer(self.sender, said, limit, temperature)
        own, own_best = self.soft_answer(self.receiver, asked, limit, temperature)
        if len(other) == 0 or len(own) == 0:
            return Answer(earlier=other_best + own_best, failed=True)
        vectors = {"\x11own\x11": own, "\x12other\x12": other}
        text = self.text.chat(self.refine(sample, *vectors))
        pieces = re.split("(" + "|".join(vectors) + ")", text) + [self.prompts.get("answer_prefix", "")]
        x = np.concatenate([vectors[piece] if piece in vectors else self.receiver.table[self.text.encode(piece)]
                            for piece in pieces])
        ending = self.ending(self.receiver)
        generated = greedy(Sequence(self.receiver), x, self.max_new_tokens, ending)
        return self.done(generated, ending, earlier=other_best + own_best, payload=other.size * 4)
