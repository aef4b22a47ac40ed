"""What is measured, and what one measurement of it gives."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Case:
    dtype: str  # "float32" or "bfloat16"
    dataset: str
    method: str  # "baseline", "skyline" or "kvcomm"
    batch: int

    def __str__(self):
        return f"{self.dtype} {self.dataset} {self.method} batch {self.batch}"


@dataclass
class Measured:
    """One timed pass over a case's samples. The token counts are by sample."""

    seconds: float  # all that a sample costs, start-up left out
    prefill_s: float  # of which: both ends' prefill, to the first new token
    decode_s: float  # of which: the steps after it
    answers: list[str]
    context_tokens: list[int]
    prompt_tokens: list[int]
    output_tokens: list[int]
    layers: list[int] = field(default_factory=list)  # KVComm's
    about: dict = field(default_factory=dict)

    @property
    def read(self) -> list[tuple[int, int]]:
        return list(zip(self.context_tokens, self.prompt_tokens))

    @property
    def rate(self) -> float:
        return len(self.answers) / self.seconds
