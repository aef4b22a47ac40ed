"""The table that a paper would print: a row for each cell, and one for the mean over draws."""

import json
import re

import pandas as pd

SEED = re.compile(r",? ?\bseed=-?\d+")
BYTES = ["payload_bytes", "header_bytes", "calibration_bytes"]
COLUMNS = ["pair", "dataset", "method", "variant", "metric", "n", "n_failed", "draws", "score", "standard_error",
           *BYTES]


def summarise(results) -> pd.DataFrame:
    """The cells in their order; after the last of several draws of `random`, a row with their mean.

    Draws differ in nothing but the seed and have as many samples each. Their row's score is the mean
    of their scores; what is random is the layers, so its standard error is over them: the sample
    standard deviation of the draws' scores / sqrt(draws). Its n is that of one draw, its n_failed the
    failures of all, its bytes the mean of the draws'. `draws` is 1 for a cell.
    """
    cells = results.cells.reset_index(drop=True).assign(draws=1)
    if "variant" not in cells:  # written by an older version
        cells["variant"] = ""
    groups = {}
    for index, cell in cells.iterrows():
        if SEED.search(cell.method) and cell.n > 0:
            groups.setdefault(_draws_of(cell), []).append(index)
    means_after = {group[-1]: group for group in groups.values() if len(group) > 1}
    rows = []
    for index, cell in cells.iterrows():
        rows.append(cell[COLUMNS].to_dict())
        if index in means_after:
            rows.append(_mean_over_draws(cells.loc[means_after[index]]))
    return pd.DataFrame(rows, columns=COLUMNS)


def _without_seed(method) -> str:
    return SEED.sub("", method).replace("(, ", "(").removesuffix("()")


def _draws_of(cell) -> tuple:
    """Equal for draws that may be averaged."""
    try:
        key = json.loads(cell.key_json)
        key.get("parameters", {}).pop("seed", None)
    except (ValueError, AttributeError):
        key = cell.key_json
    return (cell.pair, cell.dataset, _without_seed(cell.method), cell.variant, cell.n, cell.fidelity,
            json.dumps(key, sort_keys=True))


def _mean_over_draws(draws) -> dict:
    first = draws.iloc[0]
    return {
        **{name: first[name] for name in ("pair", "dataset", "variant", "metric", "n")},
        "method": f"{_without_seed(first.method)}, mean of {len(draws)} draws, std err over them",
        "n_failed": int(draws.n_failed.sum()),
        "draws": len(draws),
        "score": draws.score.mean(),
        "standard_error": draws.score.sem(),  # of the sample standard deviation
        **{name: int(round(draws[name].mean())) for name in BYTES},
    }
