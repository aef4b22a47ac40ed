"""Cells as the points of a plot (/studies), and whether data sets agree on which layers matter (/layers)."""

import pandas as pd

PLOT = ["pair", "dataset", "variant", "series", "x_name", "y_name"]
POINT = ["x", "y", "n", "score", "standard_error"]


def studies(results) -> pd.DataFrame:
    """The points by plot, each plot's in ascending order of x (and y); plots are in the order of their first cell."""
    points = results.studies
    if len(points) == 0:
        return pd.DataFrame(columns=PLOT + POINT)
    plots = points.groupby(PLOT, sort=False).ngroup()
    return points.assign(plot=plots).sort_values(["plot", "x", "y"], kind="stable")[PLOT + POINT].reset_index(drop=True)


def heat_map(points) -> pd.DataFrame:
    """The scores of one plot's points with a row for each y, ascending, and a column for each x; NaN: no such cell."""
    return points.pivot(index="y", columns="x", values="score")


def agreement(results) -> pd.DataFrame:
    """Kendall's tau-b between the layers' scores of every two data sets of a pair, in the cells of kvcomm (figure 14).

    A row for each pair, method, data set and other data set, the order of a matrix's rows and columns; `layers` are
    those that both rank, `tau` is NaN where fewer than two are. Methods of a pair that rank alike (they may differ in
    the ratio alone) have one matrix, under the first one's name. Layers given by hand, and cells that calibrate
    online, have no ranking.
    """
    from scipy.stats import kendalltau  # which nothing else here needs

    rows, shown = [], []
    for (pair, method), rankings in _rankings(results.layers).items():
        if (pair, rankings) in shown or len(rankings) < 2:
            continue
        shown.append((pair, rankings))
        for dataset, ranking in rankings.items():
            for other, of_other in rankings.items():
                layers = sorted(ranking.keys() & of_other.keys())
                tau = kendalltau([ranking[layer] for layer in layers], [of_other[layer] for layer in layers]).statistic
                rows.append((pair, method, dataset, other, len(layers), tau))
    return pd.DataFrame(rows, columns=["pair", "method", "dataset", "other", "layers", "tau"])


def _rankings(layers) -> dict:
    """{(pair, method): {data set: {layer: score}}} of kvcomm's cells that rank."""
    found = {}
    if len(layers) == 0:
        return found
    ranked = layers[layers.method.str.partition("(")[0].eq("kvcomm") & layers.score.notna()]
    for (pair, method, dataset, variant), rows in ranked.groupby(["pair", "method", "dataset", "variant"], sort=False):
        name = f"{method} [{variant}]" if variant else method
        found.setdefault((pair, name), {})[dataset] = dict(zip(rows.layer, rows.score))
    return found
