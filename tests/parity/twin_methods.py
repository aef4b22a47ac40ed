"""Every method a second time, on twin.py, in both fidelities; see there for what this may know and what not."""

import re
from dataclasses import dataclass, field
from math import ceil, floor

import numpy as np

from twin import Sequence, as_list, greedy, softmax


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
    context: list = field(default_factory=list)  # tokens of each sender's prompt
    sent: list = field(default_factory=list)     # bytes that each sender sends, in float32
    whole: list = field(default_factory=list)    # layers whose whole context is sent
    failed: bool = False

    @property
    def payload(self):
        return sum(self.sent)


def normalised(values):
    values = np.asarray(values, float)
    width = values.max() - values.min()
    return (values - values.min()) / width if width > 1e-9 else np.zeros_like(values)


def fill(template, **texts):
    """Each {name} gives way to its text, at once: braces inside a text stay."""
    return re.sub(r"\{(\w+)\}", lambda found: texts.get(found[1], found[0]), template)


def lengths(sequences):
    return [len(sequence) for sequence in sequences]


# Drawing, and controls: what goes over the wire in a message's place

def mix(x):
    """The step of splitmix64, modulo 2^64; x is an int or an array of uint64."""
    bits = 2**64 - 1
    z = (x + 0x9E3779B97F4A7C15) & bits
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & bits
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & bits
    return z ^ (z >> 31)


def key_of(seed, *words):
    """The number that a seed and the words after it draw."""
    key = mix(seed)
    for word in words:
        key = mix(key + word)
    return key


def noise(like, seed, sample, sender, layer, part):
    """Normal numbers, by Box and Muller, with the mean and the standard deviation of the tensor `like`."""
    at = key_of(seed, sample, sender, layer + 1, part) + 2 * np.arange((like.size + 1) // 2, dtype=np.uint64)
    radius = np.sqrt(-2 * np.log(((mix(at) >> 11) + 1) * 2.0**-53))
    turn = 2 * np.pi * ((mix(at + 1) >> 11) * 2.0**-53)
    numbers = np.stack([radius * np.cos(turn), radius * np.sin(turn)], -1).reshape(-1)[:like.size]
    return (like.mean() + like.std() * numbers).astype(np.float32).astype(float).reshape(like.shape)


class Twin:
    """Senders and a receiver that answer samples.

    senders            one twin.Model or a list of them, each of which reads a run of a sample's texts
    receiver           twin.Model
    text               has encode(text) -> ids, decode(ids) -> text without special tokens, chat(text) -> text, eos
    prompts            {key: template}
    samples            [{"context": a text or a list, "question", ...}], all of a data set in the evaluated order
    max_input_tokens   prompts that are longer are cut
    """

    def __init__(self, senders, receiver, text, prompts, samples, fidelity=PAPER, max_new_tokens=12,
                 max_input_tokens=64000):
        self.senders, self.receiver, self.text, self.prompts = as_list(senders), receiver, text, prompts
        self.sender = self.senders[0]  # the only one, where a method takes no more
        self.samples = [{**sample, "key": (place, None, 0)} for place, sample in enumerate(samples)]
        self.fidelity, self.max_new_tokens, self.max_input_tokens = fidelity, max_new_tokens, max_input_tokens
        self.kept = {}

    def answer(self, place, method, chosen=None, control=None, control_seed=0, **parameters):
        """The answer to the sample at `place`; `chosen`: Random's layers, which the program draws."""
        sample = {**self.samples[place], "key": (place, control, control_seed)}
        if control == "deranged":  # senders see nothing of a sample but its context
            sample["context"] = self.samples[(place + 1) % len(self.samples)]["context"]
        if method == "random":
            parameters = {"chosen": chosen}
        return getattr(self, method)(sample, **parameters)

    def once(self, key, make):
        """make(), or what it gave before under this key."""
        if key not in self.kept:
            self.kept[key] = make()
        return self.kept[key]

    def sent(self, sample, tensor, sender, layer=-1, part=0):
        """What goes over the wire as this tensor, under the sample's control; layer -1: it belongs to none."""
        place, control, seed = sample["key"]
        if control == "zero":
            return np.zeros_like(tensor)
        if control == "noise" and tensor.size > 0:
            return noise(tensor, seed, place, sender, layer, part)
        return tensor

    # Prompts

    def filled(self, key, sample, sender=None):
        """A prompt's text; the context of a sender is its run of the texts, else all of them."""
        texts, senders = as_list(sample["context"]), len(self.senders)
        if sender is not None:
            texts = texts[len(texts) * sender // senders:len(texts) * (sender + 1) // senders]
        question = sample["question"] + self.prompts.get("question_suffix", "")
        return fill(self.prompts[key], context="\n".join(texts), question=question)

    def ids(self, text, prefix=True):
        more = self.text.encode(self.prompts.get("answer_prefix", "")) if prefix else []
        return self.text.encode(self.text.chat(text)) + more

    def cut(self, ids):
        """A prompt that one model reads alone; one that is too long loses its middle."""
        half = self.max_input_tokens // 2
        return ids if len(ids) <= self.max_input_tokens else ids[:half] + ids[-half:]

    def said(self, sample, key="sender"):
        """The ids of each sender's prompt; of two that are too long, the last of one and the first of the other go."""
        prompts = [self.ids(self.filled(key, sample, sender), prefix=False) for sender in range(len(self.senders))]
        free = self.max_input_tokens - len(self.question_ids(sample))
        if sum(lengths(prompts)) > free:
            first, second = prompts
            return [first[:free // 2], second[-(free // 2):]]
        return prompts

    def context_ids(self, sample, sender=0):
        return self.said(sample)[sender]

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
        ids = self.cut(self.ids(self.filled(key, sample)))
        model = self.sender if model == "sender" else self.receiver
        return self.done(self.plain(model, ids, self.max_new_tokens), self.ending(model))

    def skyline(self, sample, model="receiver"):
        return self.baseline(sample, model, "skyline")

    # KVComm and its kin

    def read(self, model, ids):
        """(k, v) of each layer, [n, kv_heads, head_dim], from position 0."""
        sequence = Sequence(model)
        sequence.feed(model.table[ids])
        return sequence.own

    def whole_layers(self, chosen):
        return sorted({*chosen, 0} if self.fidelity.keep_layer0 else set(chosen))

    def messages(self, sample, whole):
        """The (k, v) of each layer that each sender sends; the sink is the first sender's."""
        messages = []
        for sender, (model, ids) in enumerate(zip(self.senders, self.said(sample))):
            sink = int(self.fidelity.sink_token and sender == 0)
            context = self.once(("context", id(model), *ids), lambda: self.read(model, ids))
            messages.append([[self.sent(sample, rows if layer in whole else rows[:sink], sender, layer, part)
                              for part, rows in enumerate(pair)] for layer, pair in enumerate(context)])
        return messages

    def receiving(self, sample, chosen, shifted=False):
        """(the receiver as it stands before the question, what was sent to it, the layers that it holds whole)"""
        whole, size = self.whole_layers(chosen), sum(lengths(self.said(sample)))
        messages = self.messages(sample, whole)
        past = [[np.concatenate(parts) for parts in zip(*of_layer)] for of_layer in zip(*messages)]
        columns = self.fidelity.unselected_prefill == "first_columns" and not shifted
        ahead = size - int(self.fidelity.sink_token) if columns else 0
        layers = range(self.receiver.layers)
        starts = [self.fidelity.shifted_start if shifted and layer not in whole else size for layer in layers]
        lookahead = [0 if layer in whole else ahead for layer in layers]
        return Sequence(self.receiver, past, starts, lookahead), messages, whole

    def shared(self, sample, chosen, shifted=False):
        def answer():
            sequence, messages, whole = self.receiving(sample, chosen, shifted)
            x = self.receiver.table[self.question_ids(sample)]
            ending = self.ending(self.receiver, wrapped=True)
            generated = greedy(sequence, x, self.max_new_tokens, ending)
            sent = [4 * sum(rows.size for pair in message for rows in pair) for message in messages]
            return self.done(generated, ending, context=lengths(self.said(sample)), sent=sent, whole=whole)

        return self.once(("shared", *sample["key"], *self.whole_layers(chosen), shifted), answer)

    def importance_of(self, sample):
        """How much the question's tokens look at what was sent, per layer, all layers being shared."""
        by_layer = []

        def look(layer, scores, visible, rows):
            added = self.fidelity.importance_mask == "visible_plus_one"
            masked = scores + visible if added else np.where(visible, scores, -np.inf)
            by_layer.append(softmax(masked)[:, :, self.fidelity.importance_from:rows].sum(-1).mean())

        sequence, _, _ = self.receiving(sample, range(self.receiver.layers))
        sequence.feed(self.receiver.table[self.question_ids(sample)], at_scores=look)
        return np.array(by_layer)

    def importance(self, calibration_samples=1, calibration="evaluated", recalibrate_every=0, place=0):
        """The importance by which layers are chosen for the sample at `place`; no control touches it."""
        first = len(self.samples) - calibration_samples if calibration == "held_out" else 0
        if recalibrate_every:
            first = place - place % recalibrate_every
        return self.once(("importance", first, calibration_samples), lambda: np.mean(
            [self.importance_of(sample) for sample in self.samples[first:first + calibration_samples]], axis=0))

    def prior(self, mu, sigma):
        layers = self.receiver.layers
        centre = mu * (layers - 1 if self.fidelity.prior == "normalised" else layers)
        bell = np.exp(-(np.arange(layers) - centre) ** 2 / (2 * sigma ** 2))
        return normalised(bell) if self.fidelity.prior == "normalised" else bell

    def scores(self, alpha=1.0, mu=0.5, sigma=10.0, **calibrating):
        return alpha * normalised(self.importance(**calibrating)) + (1 - alpha) * self.prior(mu, sigma)

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
        return self.shared(sample, self.chosen(place=sample["key"][0], **parameters))

    def kvcomm_s(self, sample, **parameters):
        return self.shared(sample, self.chosen(place=sample["key"][0], **parameters), shifted=True)

    def random(self, sample, chosen):
        return self.shared(sample, chosen)

    def contiguous(self, sample, to, **first):
        return self.shared(sample, range(first["from"], to + 1))

    # Hidden states: AC, and the paper's study of all tokens' in front of the question's

    def inputs(self, model, ids, k):
        """[n, hidden]: what a prompt's tokens are at the input of layer k."""
        seen = []

        def note(layer, x):
            seen.extend([x] if layer == k else [])
            return x

        Sequence(model).feed(model.table[ids], at_input=note)
        return seen[0]

    def given_hidden(self, sample, sent, at_input, starts=None):
        """The receiver's answer, where at_input changes what it reads by what was sent."""
        x = self.receiver.table[self.question_ids(sample)]
        ending = self.ending(self.receiver, wrapped=True)
        generated = greedy(Sequence(self.receiver, starts=starts), x, self.max_new_tokens, ending, at_input=at_input)
        return self.done(generated, ending, context=[len(self.context_ids(sample))], sent=[4 * sent.size])

    def ac(self, sample, f="replace", k=26, j=26):
        def inject(layer, x):
            if layer != j:
                return x
            last = {"replace": sent, "sum": x[-1] + sent, "mean": (x[-1] + sent) / 2}[f]
            return np.concatenate([x[:-1], last[None]])

        sent = self.sent(sample, self.inputs(self.sender, self.context_ids(sample), k)[-1], 0, k)
        return self.given_hidden(sample, sent, inject)

    def hidden_prepend(self, sample, k, j):
        """From layer j on one matrix of the context's rows and the question's; below it the question's alone."""
        def prepend(layer, x):
            return np.concatenate([sent, x]) if layer == j else x

        sent = self.sent(sample, self.inputs(self.sender, self.context_ids(sample), k), 0, k)
        starts = [len(sent) if layer < j else 0 for layer in range(self.receiver.layers)]
        return self.given_hidden(sample, sent, prepend, starts)

    # The paper's study of single tokens

    def token_study(self, sample, model="receiver", reads="question", layer=0, mode="retain", token="last",
                    draw="sample", token_seed=0, answer="letter"):
        """One model alone, at the input of whose layer all of the prompt's rows but one are zeroed, or that one."""
        def erase(at, x):
            return np.where(erased[:, None], 0, x) if at == layer else x

        model = self.sender if model == "sender" else self.receiver
        key = {"question": "baseline", "context_and_question": "skyline"}[reads]
        ids = self.cut(self.ids(self.filled(key, sample)))
        drawn = key_of(token_seed, sample["key"][0], *([layer + 1] if draw == "layer" else [])) % len(ids)
        row = {"first": 0, "last": len(ids) - 1, "random": drawn, "none": -1}[token]
        erased = (np.arange(len(ids)) == row) != (mode == "retain")
        sequence, x = Sequence(model), model.table[ids]
        if answer == "text":
            ending = self.ending(model)
            return self.done(greedy(sequence, x, self.max_new_tokens, ending, ids, erase), ending)
        letters = sorted(one for letter in "ABCD" for one in self.text.encode(letter))
        assert len(letters) == 4, letters
        logits = sequence.feed(x, erase)[letters]
        ids = [letters[logits.argmax()]]
        return Answer(ids, self.text.decode(ids), [tuple(np.sort(logits)[:-3:-1])])

    # NLD and CIPHER

    def phase1(self, sample, phase1_tokens, sender_aware):
        """(limit, the senders' prompts, the receiver's prompt)"""
        aware = self.fidelity.sender_aware if sender_aware is None else sender_aware
        said = self.said(sample, "sender_summary" if aware else "sender")
        return phase1_tokens or self.fidelity.phase1_tokens, said, self.question_ids(sample)

    def refine(self, sample, own, other):
        """The text of the second prompt; `other`: an answer, or a list of the senders'."""
        lines = [fill(self.prompts.get("other_answer", "{answer}"), answer=answer, index=str(index))
                 for index, answer in enumerate(as_list(other), 1)]
        return fill(self.prompts["refine"], prompt=self.filled("receiver", sample), own_answer=own,
                    other_answers="\n".join(lines))

    def nld(self, sample, phase1_tokens=None, sender_aware=None):
        limit, said, asked = self.phase1(sample, phase1_tokens, sender_aware)
        models = [*self.senders, self.receiver]
        answers = [self.plain(model, ids, limit) for model, ids in zip(models, [*said, asked])]
        *others, own = [self.words(ids, self.ending(model)) for model, (ids, _) in zip(models, answers)]
        prompt = self.cut(self.ids(self.refine(sample, own, others)))
        return self.done(self.plain(self.receiver, prompt, self.max_new_tokens), self.ending(self.receiver),
                         earlier=[step for _, best in answers for step in best], context=lengths(said),
                         sent=[4 * len(ids) for ids, _ in answers[:-1]])

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
        answers = [self.once(("soft", id(model), *ids, limit, temperature),
                             lambda: self.soft_answer(model, ids, limit, temperature))
                   for model, ids in [*zip(self.senders, said), (self.receiver, asked)]]
        earlier = [step for _, best in answers for step in best]
        *others, own = [emitted for emitted, _ in answers]
        if 0 in lengths([*others, own]):
            return Answer(earlier=earlier, failed=True)
        vectors = {f"\x12{sender}\x12": self.sent(sample, other, sender) for sender, other in enumerate(others)}
        text = self.text.chat(self.refine(sample, "\x11", list(vectors)))
        vectors["\x11"] = own
        pieces = re.split("(" + "|".join(vectors) + ")", text) + [self.prompts.get("answer_prefix", "")]
        x = np.concatenate([vectors[piece] if piece in vectors else self.receiver.table[self.text.encode(piece)]
                            for piece in pieces])
        if len(x) > self.max_input_tokens:
            return Answer(earlier=earlier, failed=True)
        ending = self.ending(self.receiver)
        generated = greedy(Sequence(self.receiver), x, self.max_new_tokens, ending)
        return self.done(generated, ending, earlier=earlier, context=lengths(said),
                         sent=[4 * other.size for other in others])
