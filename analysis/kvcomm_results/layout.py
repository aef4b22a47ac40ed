"""Tables as lines of text or markdown: what analysis/table.py prints."""

from .studies import PLOT, heat_map


def number(value, digits=3):
    return "-" if value != value else f"{round(value, digits) + 0:,.{digits}f}"  # + 0: no sign of a rounded nothing


def place(value):
    """A layer or a count, which /studies holds as a float."""
    return "-" if value != value else f"{value:g}"


def named(table):
    return {
        "pair": table.pair,
        "dataset": table.dataset,
        "method": table.method + table.variant.map(lambda variant: f" [{variant}]" if variant else ""),
    }


def rows_of(columns):
    """The heads, then the lines, of columns of texts."""
    return [list(columns), *map(list, zip(*columns.values()))]


def shown(table):
    """Scores with their standard errors, bytes in all and by sample."""
    per_sample = table.payload_bytes / table.n.where(table.n > 0)
    return rows_of({
        **named(table),
        "n": table.n.map(str),
        "failed": table.n_failed.map(str),
        "metric": table.metric,
        "score": table.score.map(number),
        "s.e.": table.standard_error.map(number),
        "bytes sent": table.payload_bytes.map("{:,}".format),
        "a sample": per_sample.map(lambda b: number(b, 0)),
        "headers": table.header_bytes.map("{:,}".format),
        "calibration": table.calibration_bytes.map("{:,}".format),
    })


def shown_gains(table, margin):
    """A line for each gain: which one, and its intervals."""
    def interval(low, high):
        return [f"[{number(a)}, {number(b)}]" if a == a else "-" for a, b in zip(low, high)]

    columns = {
        **named(table),
        "gain": [gain.kind if gain.kind == "G" else f"P against {gain.control}" +
                 (f" {gain.control_seed}" if gain.control_seed else "") for gain in table.itertuples()],
        "n": table.n.map(str),
        "value": table.value.map(number),
        "95 % interval": interval(table.low, table.high),
    }
    if margin is not None:
        columns["90 % interval"] = interval(table.low_90, table.high_90)
        columns[f"within {margin:g}"] = table.equivalent.map(lambda equivalent: "yes" if equivalent else "-")
    return rows_of(columns)


def shown_costs(table):
    """A line for each cell; joules where any are told."""
    columns = {
        **named(table),
        "n": table.n.map(str),
        "sender GFLOP": table.sender_gflop.map(number),
        "receiver GFLOP": table.receiver_gflop.map(number),
        "total GFLOP": table.total_gflop.map(number),
        "excess over AC": table.excess_gflop.map(number),
        "ratio": table.excess_ratio.map(number),
        "attention GFLOP": table.attention_gflop.map(number),
        "attention excess": table.attention_excess_gflop.map(number),
        "attention ratio": table.attention_excess_ratio.map(number),
        "on samples": table.n_compared.map(lambda n: str(n) if n > 0 else "-"),
        "ttft s": table.ttft_s.map(number),
        "bytes": table.payload_bytes.map(lambda b: number(b, 0)),
    }
    if table.receiver_joules.notna().any():  # a sender that is not asked takes 0 J on every machine
        columns |= {"sender J": table.sender_joules.map(number), "receiver J": table.receiver_joules.map(number)}
    return rows_of(columns)


def shown_points(table):
    """A line for each point of a study."""
    return rows_of({**{name: table[name] for name in ("pair", "dataset", "series")},
                    "x is": table.x_name, "x": table.x.map(place), "y is": table.y_name.map(lambda name: name or "-"),
                    "y": table.y.map(place), "n": table.n.map(str), "score": table.score.map(number),
                    "s.e.": table.standard_error.map(number)})


def plots(table):
    """(heading, lines, columns to the left) of each plot: a curve is a list, a heat map a matrix of scores, y by x.

    A heat map of few diagonals (runs of some lengths) is a list too: most of its matrix would be empty.
    """
    for (pair, dataset, variant, series, x_name, y_name), points in table.groupby(PLOT, sort=False):
        heading = f"{series}{f' [{variant}]' if variant else ''}: {pair} on {dataset}"
        matrix = heat_map(points) if y_name else None
        if y_name and 4 * len(points) >= matrix.size:
            heads = [f"{y_name} \\ {x_name}", *map(place, matrix.columns)]
            lines = [heads, *([place(y), *map(number, scores)] for y, scores in zip(matrix.index, matrix.to_numpy()))]
        else:
            lines = rows_of({**({y_name: points.y.map(place)} if y_name else {}), x_name: points.x.map(place),
                             "score": points.score.map(number), "s.e.": points.standard_error.map(number),
                             "n": points.n.map(str)})
        yield heading, lines, 0


def matrices(table):
    """(heading, lines, columns to the left) of each matrix of tau."""
    for (pair, method), rows in table.groupby(["pair", "method"], sort=False):
        order = list(dict.fromkeys(rows.dataset))
        matrix = rows.pivot(index="dataset", columns="other", values="tau").loc[order, order]
        lines = [["tau", *order], *([name, *map(number, taus)] for name, taus in zip(order, matrix.to_numpy()))]
        yield f"{pair}, {method}", lines, 1


def as_text(lines, left):
    widths = [max(map(len, column)) for column in zip(*lines)]
    for line in lines:
        cells = [cell.ljust(width) if i < left else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(line, widths))]
        yield "  ".join(cells).rstrip()


def as_markdown(lines, left):
    rows = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
    rule = "|" + "|".join("---" if i < left else "---:" for i in range(len(lines[0]))) + "|"
    return [rows[0], rule, *rows[1:]]
