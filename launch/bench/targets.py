"""What kvcomm is to reach beside its peers and its machine, and whether a record does."""

from dataclasses import dataclass
from statistics import median

from measured import AS_A_USER, BOTH_8, Case
from tokens import TOKENS


@dataclass(frozen=True)
class Target:
    what: str
    name: str  # of the case, as its lines and --only have it
    figure: str  # of the case's rounds
    goal: float  # or more
    share: bool = False  # printed in percent


def of_methods() -> list[Target]:
    """kvcomm / transformers, in samples per second."""
    one_by_one = "default batch, transformers one by one"
    goals = [(one_by_one, "kvcomm", AS_A_USER, {"float32": (4, 2.7), "bfloat16": (7, 7)}),
             ("both in batches of 8", "kvcomm", BOTH_8,
              {"float32": (1.5, 1.5), "bfloat16": (2, 2)}),
             (one_by_one, "nld", AS_A_USER, {"float32": (5, 5), "bfloat16": (6, 6)}),
             ("default batch, the authors' way (no KV cache)", "cipher_recomputed", AS_A_USER,
              {"float32": (3, 3), "bfloat16": (10, 10)})]
    return [Target(what, str(Case(dtype, dataset, method, *batches)), "ratio", goal)
            for what, method, batches, by_dtype in goals for dtype, pair in by_dtype.items()
            for dataset, goal in zip(("countries", "tipsheets"), pair)]


def of_model() -> list[Target]:
    """The model alone: beside llama.cpp, and of what the machine does."""
    alone = {"float32": (0.95, 0.85), "bfloat16": (1, 0.80)}  # generation, of the read
    of_product = {"float32": 0.90, "bfloat16": 0.75}
    found = []
    for case in TOKENS:
        if case.beside_llama:
            generation, read = alone[case.dtype]
            found += [Target("prompt tokens/s / llama.cpp's", str(case), "prompt", 1),
                      Target("generated tokens/s / llama.cpp's", str(case), "generation",
                             generation),
                      Target("generation's bytes/s of a bare read", str(case), "of read", read,
                             share=True)]
        else:
            found.append(Target("prompts' FLOP/s of bare matrix products", str(case),
                                "of product", of_product[case.dtype], share=True))
    return found


TARGETS = (*of_methods(), *of_model())


def verdicts(lines: list[dict]) -> list[dict]:
    """Of every target; `lines` are a record's, each with its `name` and its `figures` by round."""
    measured = {line["name"]: line["figures"] for line in lines}
    return [verdict(target, measured.get(target.name, {}).get(target.figure, []))
            for target in TARGETS]


def verdict(target: Target, rounds: list[float]) -> dict:
    found = {"what": target.what, "name": target.name, "goal": target.goal, "share": target.share,
             "rounds": rounds}
    if rounds:
        reached = median(rounds)
        found |= {"reached": reached, "met": reached >= target.goal}
    return found
