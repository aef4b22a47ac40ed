"""What communication gains, and whether that is equivalent to nothing.

G = A(method) - A(receiver alone), the system's gain: over the cell `baseline` that the receiver answers.
P = A(matched) - A(control), the content's gain: a control sends something else in a message's place and leaves
all else as it is. P proper is that of the control "deranged", the message of another sample; a method that
ignores what it receives has P = 0.

A is the mean score of the samples that both cells have, failed ones counting 0. Intervals are those of a
paired bootstrap: of DRAWS draws of n samples with replacement, the central 95 % (or 90 %) of the means.
"""

import json

import numpy as np
import pandas as pd

DRAWS = 10_000
RECEIVER_ALONE = "baseline"
COLUMNS = ["pair", "dataset", "method", "variant", "kind", "control", "control_seed", "n", "value", "low", "high"]
# The parts of a key that hold for all methods of a sweep: where one differs, two cells were not asked the same, or
# were not scored alike.
SHARED = ("answers_version", "receiver", "tokenizer", "chat_template", "dataset", "dtype", "device", "date",
          "max_input_tokens", "metric", "normalisation", "lemmas", "max_new_tokens", "receiver_thinks", "think_end")


def gains(results, margin=None, seed=0) -> pd.DataFrame:
    """A row for each gain, in the cells' order: a cell's G, then its P against each of its controls, deranged first.

    `kind` is "G" or "P". `control` is of G the cell's own, "" where it sends its own message, and of P the one that
    the cell is held against. `value` is the gain, `low` and `high` the 95 % interval, NaN for n < 2. A G needs the
    receiver alone under the same settings, a P equal keys but for the control, both a sample that the two cells
    share; what lacks these has no row.

    With a margin, `low_90` and `high_90` are the 90 % interval, and `equivalent` says whether it lies inside
    (-margin, margin). These are two one-sided tests at the 5 % level each, of a gain at or below -margin and of one
    at or above margin: where both are rejected, the gain is too small to matter. Where it is not equivalent it may
    be small all the same, on too few samples to tell.

    Where all differences are equal a bootstrap has no spread, however few they are: of n samples without a
    difference, a share of about 3 / n may still have one (95 %), which the margin should exceed.

    Raises ValueError where the margin is not above 0.
    """
    if margin is not None and not margin > 0:
        raise ValueError(f"A margin of equivalence is above 0, not {margin}.")
    found = list(_comparisons(results))
    means = _sorted_means([differences for _, differences in found], seed)
    rows = []
    for place, (gain, _) in enumerate(found):
        gain["low"], gain["high"] = _central(means.get(place), 0.95)
        if margin is not None:
            gain["low_90"], gain["high_90"] = low, high = _central(means.get(place), 0.90)
            gain["equivalent"] = bool(-margin < low and high < margin)
        rows.append(gain)
    more = [] if margin is None else ["low_90", "high_90", "equivalent"]
    return pd.DataFrame(rows, columns=COLUMNS + more)


def _comparisons(results):
    """(row, differences) of each gain."""
    cells = [_cell(place, cell) for place, cell in enumerate(results.cells.itertuples())]
    scores = _scores(results.samples, len(cells))
    alone, controls = {}, {}
    for cell in cells:
        if cell["alone"]:
            alone.setdefault(cell["setting"], cell)
        if cell["control"]:
            controls.setdefault(cell["matched"], []).append(cell)
    for cell in cells:
        partners = []
        if cell["setting"] in alone and not cell["alone"]:
            partners.append(("G", alone[cell["setting"]], cell))
        if not cell["control"]:
            of_cell = sorted(controls.get(cell["matched"], []), key=lambda control: control["control"] != "deranged")
            partners += [("P", control, control) for control in of_cell]
        for kind, other, control in partners:
            differences = (scores[cell["place"]] - scores[other["place"]]).dropna().to_numpy()  # aligned by sample
            if len(differences) > 0:
                yield {**cell["name"], "kind": kind, "control": control["control"],
                       "control_seed": control["control_seed"], "n": len(differences),
                       "value": differences.mean()}, differences


def _cell(place, cell) -> dict:
    """A cell with what its partners are found by; without a readable key it has none."""
    name = {"pair": cell.pair, "dataset": cell.dataset, "method": cell.method,
            "variant": getattr(cell, "variant", "")}  # which an older version did not write
    found = {"place": place, "name": name, "control": "", "control_seed": 0, "matched": None, "setting": None,
             "alone": False}
    try:
        key = json.loads(cell.key_json)
        parameters = dict(key["parameters"])
    except (ValueError, TypeError, KeyError):
        return found
    found["control"] = parameters.pop("control", None) or ""
    found["control_seed"] = parameters.pop("control_seed", None) or 0
    found["alone"] = key.get("method") == RECEIVER_ALONE and parameters.get("model", "receiver") == "receiver"
    found["matched"] = _text(cell.pair, cell.dataset, key | {"parameters": parameters})
    found["setting"] = _text(cell.pair, cell.dataset, cell.fidelity, {part: key.get(part) for part in SHARED})
    return found


def _text(*parts) -> str:
    return json.dumps(parts, sort_keys=True)


def _scores(samples, cells) -> list:
    """Each cell's scores by sample."""
    counted = samples.assign(score=samples.score.where(samples.failed == 0, 0.0)) if len(samples) else samples
    groups = dict(list(counted.groupby("cell"))) if len(samples) else {}
    nothing = pd.Series(dtype=float)
    return [groups[cell].set_index("sample").score if cell in groups else nothing for cell in range(cells)]


def _sorted_means(all_differences, seed) -> dict:
    """The draws' means, by place in the list, where there is more than one sample. Those over equally many share
    their draws."""
    by_n = {}
    for place, differences in enumerate(all_differences):
        if len(differences) > 1:
            by_n.setdefault(len(differences), []).append(place)
    means = {}
    for n, places in by_n.items():
        differences = np.stack([all_differences[place] for place in places], axis=1)  # [n, gains]
        random = np.random.default_rng(seed)
        drawn = []
        for draws in _portions(n):
            samples = random.integers(n, size=(draws, n)) + n * np.arange(draws)[:, None]
            counts = np.bincount(samples.ravel(), minlength=draws * n).reshape(draws, n)
            drawn.append(counts.astype(float) @ differences / n)
        means |= dict(zip(places, np.sort(np.concatenate(drawn), axis=0).T))
    return means


def _portions(n, most=4_000_000):
    """Numbers of draws that make up DRAWS, so many at a time that their samples fit into memory."""
    size = max(1, most // n)
    return [min(size, DRAWS - begin) for begin in range(0, DRAWS, size)]


def _central(sorted_means, share) -> tuple:
    """The ends of the central share of the draws."""
    if sorted_means is None:
        return np.nan, np.nan
    outside = round(DRAWS * (1 - share) / 2)
    return sorted_means[outside], sorted_means[DRAWS - 1 - outside]
