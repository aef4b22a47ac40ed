"""What a sample costs each cell, and how that compares with AC and Skyline (the paper's figure 8).

Means over the cell's samples that did not fail; NaN where a number is unknown or there is no such sample:
  n                       samples of which the cell's own means are
  sender_gflop            floating-point operations of the senders' models, in 10^9
  receiver_gflop          those of the answering end's model
  total_gflop             both together
  attention_gflop         the part of the total that is attention, as full squares
  ttft_s                  seconds to the answer's first token
  sender_joules           joules of the senders' devices
  receiver_joules         joules of the answering end's device
  payload_bytes           bytes sent, without headers
Comparisons, over the samples that the cell, AC and Skyline have in common (AC and the cell where there is no Skyline):
  n_compared              how many these are
  excess_gflop            the cell's total minus AC's
  excess_ratio            Skyline's excess / the cell's: below 1, the cell costs more than Skyline; NaN where the
                          cell's excess is not above 0
  attention_excess_gflop  as excess_gflop, of attention alone
  attention_excess_ratio  as excess_ratio, of attention alone: what the paper's figure 8 can be compared with, where
                          the totals differ by prompts (each pays its own chat template) and lengths of answers
"""

import json

import numpy as np
import pandas as pd

GIGA = 1e9
FLOPS = {"sender_flops": "sender_gflop", "receiver_flops": "receiver_gflop", "total_flops": "total_gflop",
         "attention_flops": "attention_gflop"}
AS_THEY_ARE = ["ttft_s", "sender_joules", "receiver_joules", "payload_bytes"]
COMPARED = {"total_flops": ("excess_gflop", "excess_ratio"),
            "attention_flops": ("attention_excess_gflop", "attention_excess_ratio")}
NAMES = ["pair", "dataset", "method", "variant"]
COLUMNS = [*NAMES, "n", *FLOPS.values(), *AS_THEY_ARE, "n_compared",
           *(column for columns in COMPARED.values() for column in columns)]


def costs(results) -> pd.DataFrame:
    """A row for each cell, in their order; the columns are those of this module's docstring.

    AC and Skyline are those of the same pair, data set and settings: of several cells of AC the one that replaces,
    else the first, and of Skyline the one that the receiver's model answers. Controls are none.
    """
    cells = results.cells.reset_index(drop=True)
    samples = _samples(results.samples, len(cells))
    partners = _partners(cells)
    rows = []
    for place, cell in cells.iterrows():
        of_group = partners.get(_group(cell), {})
        row = {name: getattr(cell, name, "") for name in NAMES} | _own(samples[place])
        rows.append(row | _comparison(samples[place], *(samples[of_group[name]] if name in of_group else None
                                                        for name in ("ac", "skyline"))))
    return pd.DataFrame(rows, columns=COLUMNS)


def _samples(samples, cells) -> list:
    """Each cell's numbers by sample, failed ones left out; columns that an older version did not write are NaN."""
    wanted = ["sender_flops", "receiver_flops", "attention_flops", *AS_THEY_ARE]
    if len(samples) == 0:
        return [pd.DataFrame(columns=["total_flops", *wanted], dtype=float)] * cells
    good = samples[samples.failed == 0].set_index("sample")
    numbers = good.reindex(columns=wanted).astype(float)
    numbers["total_flops"] = numbers.sender_flops + numbers.receiver_flops
    return [numbers[good.cell == cell] for cell in range(cells)]


def _own(samples) -> dict:
    means = samples.mean(skipna=False)  # of what one sample does not tell there is no mean
    return {"n": len(samples), **{column: means[name] / GIGA for name, column in FLOPS.items()},
            **{name: means[name] for name in AS_THEY_ARE}}


def _comparison(cell, ac, skyline) -> dict:
    row = {"n_compared": 0, **{column: np.nan for columns in COMPARED.values() for column in columns}}
    if ac is None:
        return row
    common = cell.index.intersection(ac.index)
    if skyline is not None and len(skyline) > 0:
        common = common.intersection(skyline.index)
    row["n_compared"] = len(common)
    for name, (excess, ratio) in COMPARED.items():
        def over_ac(samples):
            return (samples.loc[common, name].mean(skipna=False) - ac.loc[common, name].mean(skipna=False)) / GIGA

        row[excess] = over_ac(cell)
        if skyline is not None and len(skyline) > 0 and row[excess] > 0:
            row[ratio] = over_ac(skyline) / row[excess]
    return row


def _group(cell) -> tuple:
    """Equal for cells that may be compared."""
    return cell.pair, cell.dataset, getattr(cell, "variant", ""), getattr(cell, "fidelity", "")


def _partners(cells) -> dict:
    """The places of AC's and Skyline's cells, by group."""
    best = {}
    for place, cell in cells.iterrows():
        name = cell.method.partition("(")[0]
        if name not in ("ac", "skyline"):
            continue
        parameters = _parameters(cell)
        if parameters.get("control"):
            continue
        preferred = parameters.get("f") == "replace" if name == "ac" else parameters.get("model") == "receiver"
        kept = best.setdefault(_group(cell), {}).setdefault(name, (preferred, place))
        if preferred and not kept[0]:
            best[_group(cell)][name] = (preferred, place)
    return {group: {name: place for name, (_, place) in found.items()} for group, found in best.items()}


def _parameters(cell) -> dict:
    try:
        return dict(json.loads(getattr(cell, "parameters", "{}")))
    except (ValueError, TypeError):
        return {}
