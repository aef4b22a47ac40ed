"""What is measured, and what one measurement of it gives."""

from dataclasses import dataclass, field

AC_LAYER = 20  # that AC's activation leaves and enters
PHASE1_TOKENS = 24  # of a debate's first answers


DEFAULT = 0  # the batch that a user gets who names none (`run.batch`)


@dataclass(frozen=True)
class Method:
    transformers: str  # how it is done there
    name: str = ""  # the program's, where it is another one
    settings: str = ""  # TOML, for the program
    batches: tuple[tuple[int, int], ...] = ()  # kvcomm's, transformers', in every round
    once: tuple[tuple[int, int], ...] = ()  # the same, in the first round alone
    debate: bool = False


AS_A_USER, BOTH_8, BOTH_1 = (DEFAULT, 1), (8, 8), (1, 1)
DEBATE = {"settings": f"phase1_tokens = {PHASE1_TOKENS}", "debate": True}
CIPHER = DEBATE | {"once": (AS_A_USER,)}
OTHER = {"once": (AS_A_USER, BOTH_8)}
# Every round has what targets.py asks for, the first one the rest too. CIPHER is in that one alone:
# its pass over the samples takes transformers longer than all rounds of KVComm together.
METHODS = {
    "baseline": Method("generate", **OTHER),
    "skyline": Method("generate", **OTHER),
    "kvcomm": Method("the sender's cache, emptied in layers that are not sent; a loop of calls",
                     batches=(AS_A_USER, BOTH_8), once=(BOTH_1,)),
    "random": Method("as kvcomm", **OTHER),
    "kvcomm_s": Method("as kvcomm; hooks turn by other positions in layers that are not sent",
                       **OTHER),
    "ac": Method("the sender's layers below k; generate, with a hook at the receiver's layer j",
                 settings=f"k = {AC_LAYER}\nj = {AC_LAYER}", **OTHER),
    "nld": Method("three times generate", batches=(AS_A_USER,), once=(BOTH_8,), **DEBATE),
    "cipher": Method("loops of calls on vectors, with a KV cache; generate", **CIPHER),
    "cipher_recomputed": Method("the authors' way: as cipher, but each vector's step computes all "
                                "tokens anew, without a KV cache", "cipher", **CIPHER),
}


@dataclass(frozen=True)
class Case:
    dtype: str  # "float32" or "bfloat16"
    dataset: str
    method: str  # of METHODS
    batch: int  # kvcomm's
    peer_batch: int  # transformers'

    def __str__(self):
        return f"{self.dtype} {self.dataset} {self.method} {self.batches}"

    @property
    def once(self) -> bool:
        return (self.batch, self.peer_batch) in METHODS[self.method].once

    @property
    def batches(self) -> str:
        if self.batch == self.peer_batch:
            return f"batch {self.batch}"
        ours = self.batch or "default"
        return f"batch {ours} against {self.peer_batch}"


@dataclass
class Measured:
    """One timed pass over a case's samples. The token counts are by sample."""

    seconds: float = 0  # all that a sample costs, start-up left out
    prefill_s: float = 0  # of which: both ends' prefills, each to its first new token
    decode_s: float = 0  # of which: both ends' steps after it
    answers: list[str] = field(default_factory=list)
    context_tokens: list[int] = field(default_factory=list)
    prompt_tokens: list[int] = field(default_factory=list)
    output_tokens: list[int] = field(default_factory=list)
    layers: list[int] = field(default_factory=list)  # whose keys and values are sent
    batch: int = 0  # samples that were worked on together, at most
    about: dict = field(default_factory=dict)

    def read(self, case: Case) -> list:
        """The lengths that depend on no answer; a debate's last prompt holds first answers."""
        if METHODS[case.method].debate:
            return self.context_tokens
        return list(zip(self.context_tokens, self.prompt_tokens))

    @property
    def rate(self) -> float:
        return len(self.answers) / self.seconds
