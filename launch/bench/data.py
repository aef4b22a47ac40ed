"""The records that both programs answer: real files, or made ones of the same shape."""

import json
import random
from pathlib import Path

MAX_NEW_TOKENS = {"countries": 5, "tipsheets": 10}  # method.md, "Datasets"

PEOPLE = "Alice Bob Carol Diana Erin Frank Grace Henry Iris Jack Nora Oscar Uma Xavier".split()
PLACES = [("Old Harbour Lighthouse", "Ireland"), ("Royal Opera of Ghent", "Belgium"),
          ("Lake Bohinj Bridge", "Slovenia"), ("Museum of Glass, Kosta", "Sweden"),
          ("Fort of the Three Kings", "Portugal"), ("Saint Olaf Church", "Norway")]
FIRMS = "Apex Atlas Delta Lumo Nova Orion Pillar Quill Sable Tera Trace Vega".split()
TIPS = {"up": "shows clear momentum and improving execution; sales +{n}%; authorized a buyback",
        "flat": "looks balanced with a mixed near-term setup; P/E ~{n}x; no strong catalyst yet",
        "down": "is under pressure amid softer trends; EPS -{n}%; had an abrupt leadership exit"}


def countries(rng: random.Random) -> dict:
    person, (place, country) = rng.choice(PEOPLE), rng.choice(PLACES)
    return {"prompt_A": f"{person} is at the {place}.",
            "prompt_B": f"Which country is {person} located in?", "y": country}


def tipsheets(rng: random.Random) -> dict:
    firms = [f"{name} LLC" for name in rng.sample(FIRMS, 3)]
    views = dict(zip(firms, rng.sample(list(TIPS), 3)))
    tips = (f"{firm} {TIPS[view].format(n=rng.randint(9, 30))}." for firm, view in views.items())
    question = (f"You must invest in exactly one company from {', '.join(firms)}. Which do you "
                "choose? You must only answer with the company name.\nThe company name is:")
    label = next(firm for firm, view in views.items() if view == "up")
    return {"prompt_A": " ".join(tips), "prompt_B": question, "label": label}


def make(folder: Path, samples: int) -> None:
    """Writes both files, the same ones every time."""
    for write in (countries, tipsheets):
        rng = random.Random(1)
        records = [{"id": f"made-{i:04d}", **write(rng)} for i in range(samples)]
        file = folder / f"{write.__name__}.jsonl"
        file.write_text("".join(json.dumps(record) + "\n" for record in records))


def read(folder: Path, dataset: str, samples: int) -> list[tuple[str, str]]:
    """(context, question) of the first records, in file order."""
    lines = (folder / f"{dataset}.jsonl").read_text(encoding="utf-8").splitlines()[:samples]
    return [(r["prompt_A"], r["prompt_B"]) for r in map(json.loads, lines)]
