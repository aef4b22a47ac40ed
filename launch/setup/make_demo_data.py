#!/usr/bin/env python3
"""Write the demo's records: one or two short facts as context and a question on one of them.

The values are drawn at random, so a model can read the answer in the context but cannot know it
from elsewhere, and no question holds its own answer. The same seed gives the same file.
Each line of the output is a JSON object with `id`, `context`, `question` and `answers`.
"""
import argparse
import json
import random
from pathlib import Path

WORDS = {
    "person": "Alice Clara Diana Emma Felix Helen Henry Julia Laura Martin Nina Oscar Paul Peter "
              "Robert Simon Sofia Tom Victor Walter".split(),
    "city": "Athens Berlin Boston Cairo Chicago Denver Dublin Lisbon London Madrid Miami Moscow "
            "Oslo Paris Prague Rome Seattle Sydney Tokyo Vienna".split(),
    "thing": "bag ball book clock coat cup hat key lamp map radio rope".split(),
    "room": "attic barn basement bathroom cellar garage garden kitchen library office".split(),
    "day": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(),
    "event": "concert dance exam game lecture meeting party wedding".split(),
    "fruit": "apples bananas cherries grapes lemons mangoes melons oranges peaches pears".split(),
    "price": [str(n) for n in range(102, 999)],
}

# (fact, question, the word that answers it); every {name} is a list of WORDS.
KINDS = [
    ("{person} lives in {city}.", "Where does {person} live?", "city"),
    ("The {thing} is in the {room}.", "Where is the {thing}?", "room"),
    ("The {thing} costs {price} dollars.", "How much does the {thing} cost?", "price"),
    ("The {event} is on {day}.", "On which day is the {event}?", "day"),
    ("{person} bought {fruit} at the market.", "What did {person} buy at the market?", "fruit"),
]


def record(rng: random.Random, number: int) -> dict:
    """One record: facts of different kinds in random order, the question on the first drawn."""
    facts = []
    for fact, question, answer in rng.sample(KINDS, rng.choice((1, 2))):
        words = {name: rng.choice(values) for name, values in WORDS.items()}
        facts.append((fact.format(**words), question.format(**words), words[answer]))
    _, question, answer = facts[0]
    rng.shuffle(facts)
    return {
        "id": f"demo-{number:04d}",
        "context": " ".join(fact for fact, _, _ in facts),
        "question": question,
        "answers": [answer],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="of the random draws (default 1)")
    parser.add_argument("--samples", type=int, default=60, help="records to write (default 60)")
    parser.add_argument("--output", type=Path, help="default: launch/data/demo.jsonl",
                        default=Path(__file__).resolve().parents[1] / "data" / "demo.jsonl")
    args = parser.parse_args()
    if args.samples < 1:
        parser.error(f"--samples is {args.samples}; give the number of records to write, 1 or more")
    rng = random.Random(args.seed)
    lines = [json.dumps(record(rng, number)) + "\n" for number in range(args.samples)]
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text("".join(lines), encoding="utf-8")
    print(f"{args.output}: {args.samples} records, seed {args.seed}")


if __name__ == "__main__":
    main()
