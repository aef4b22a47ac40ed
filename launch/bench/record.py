"""The record of a benchmark: raw numbers as JSON, and a Markdown page that is made of them."""

import dataclasses
import json
import re
from pathlib import Path
from statistics import median

import targets
import tokens
from measured import METHODS, Case, Measured

PROGRAMS = "kvcomm", "transformers"


def made(about: dict, results: dict, speeds: dict, readings: list, limits: dict) -> dict:
    """All that write() needs: a line a case with its medians and rounds."""
    raw = {"about": about, "cases": [row(case, pairs) for case, pairs in results.items()],
           "tokens": [tokens.line(case, rounds) for case, rounds in speeds.items()],
           "runs": [run(case, number, pair) for case, pairs in results.items()
                    for number, pair in enumerate(pairs, 1)],
           "readings": readings, "limits": [limits] if limits else []}
    return {"about": [about], "targets": targets.verdicts(raw["cases"] + raw["tokens"])} | {
        key: value for key, value in raw.items() if key != "about"}


def row(case: Case, pairs: list[tuple[Measured, Measured]]) -> dict:
    """One case's line: medians over the rounds."""
    ours, theirs = pairs[0]
    line = {"name": str(case), **dataclasses.asdict(case), "batches": case.batches,
            "full_batch": ours.batch, "samples": len(ours.answers),
            "figures": {"ratio": [a.rate / b.rate for a, b in pairs]}}
    for name, sides in zip(PROGRAMS, zip(*pairs)):
        rate, prefill_s, decode_s = (median(getattr(m, part) for m in sides)
                                     for part in ("rate", "prefill_s", "decode_s"))
        line[name] = {
            "rate": rate, "sample_s": 1 / rate, "output_tokens": sum(sides[0].output_tokens),
            "prefill_s": prefill_s, "decode_s": decode_s,
            "rest_s": median(m.seconds - m.prefill_s - m.decode_s for m in sides)}
    differing = [i for i, (a, b) in enumerate(zip(ours.answers, theirs.answers)) if a != b]
    line["equal"] = len(ours.answers) - len(differing)
    if case.dtype == "float32":  # bfloat16's are expected to differ, and only counted
        line["differing"] = [{"sample": i, "kvcomm": ours.answers[i],
                              "transformers": theirs.answers[i]} for i in differing]
    return line


def run(case: Case, number: int, pair: tuple[Measured, Measured]) -> dict:
    """One round of a case."""
    sides = {name: {part: getattr(m, part) for part in ("seconds", "prefill_s", "decode_s")}
             for name, m in zip(PROGRAMS, pair)}
    for side, m in zip(sides.values(), pair):
        side |= {"tokens": [sum(counts) for counts in
                            (m.context_tokens, m.prompt_tokens, m.output_tokens)]}
    return {"name": str(case), "round": number, **sides, **pair[0].about}


def table(head: list[str], rows: list[list[str]], names: int) -> str:
    rule = "|" + "|".join("---" if i < names else "---:" for i in range(len(head))) + "|"
    return "\n".join([f"| {' | '.join(head)} |", rule, *(f"| {' | '.join(r)} |" for r in rows)])


def spread(figures: list[float], form: str) -> str:
    return f"{min(figures):{form}} to {max(figures):{form}}"


def busy(about: dict) -> str:
    """What a reader must know of a machine that had other work; empty where it had none."""
    load = about["load_before"][0]
    return "" if load < 0.5 else (
        f"the machine was busy before this began (load {load:.1f}): threads that wait for each "
        "other in transformers lose most by it, so the ratios are too good.")


def targets_table(lines: list[dict]) -> str:
    cells = []
    for line in lines:
        form = ".0%" if line["share"] else ".2f"
        reached = ["not measured", "", "", ""]
        if line["rounds"]:
            reached = [f"{line['reached']:{form}}", spread(line["rounds"], form),
                       str(len(line["rounds"])), "yes" if line["met"] else "**no**"]
        cells.append([line["what"], line["name"], f"{line['goal']:{form}}", *reached])
    return table(["target", "case", "goal", "median", "of the rounds", "rounds", "met"], cells, 2)


def name(line: dict) -> list[str]:
    return [line[key] for key in ("dtype", "dataset", "method", "batches")]


def rates(lines) -> str:
    return table(
        ["dtype", "data set", "method", "batch", "samples",
         *(f"{who} {unit}" for unit in ("s/sample", "samples/s") for who in PROGRAMS),
         "ratio", "of the rounds", "rounds", "tokens out", "equal answers"],
        [[*name(l), str(l["samples"]), *(f"{l[who]['sample_s']:.3f}" for who in PROGRAMS),
          *(f"{l[who]['rate']:.2f}" for who in PROGRAMS), f"{median(l['figures']['ratio']):.2f}",
          spread(l["figures"]["ratio"], ".2f"), str(len(l["figures"]["ratio"])),
          f"{l['kvcomm']['output_tokens']} and {l['transformers']['output_tokens']}",
          f"{l['equal']}/{l['samples']}"] for l in lines], 4)


def parts(lines) -> str:
    cells = [[*name(l), who, *(f"{l[who][part] * 1e3 / l['samples']:.1f}" for part in
                               ("prefill_s", "decode_s", "rest_s"))]
             for l in lines for who in PROGRAMS]
    return table(["dtype", "data set", "method", "batch", "program", "prefill ms", "decode ms",
                  "rest ms"], cells, 5)


def shown(ours: tokens.Speed, theirs: tokens.Speed | None) -> str:
    """One round of the model alone."""
    text = f"{ours.prompt:.1f} prompt and {ours.generation:.1f} generated tokens/s"
    if theirs:
        text += (f" and {theirs.prompt:.1f} and {theirs.generation:.1f}, ratio "
                 f"{ours.prompt / theirs.prompt:.2f} and {ours.generation / theirs.generation:.2f}")
    return f"{text}; {ours.of_product:.0%} of the product, {ours.of_read:.0%} of the read"


def model_alone(lines) -> str:
    cells = []
    for l in lines:
        for who in ("kvcomm", "llama.cpp"):
            if not l[who]:
                continue
            shape = [str(l[key]) for key in ("batch", "prompt", "generate")]
            shares = ["-", "-"]
            if who == "kvcomm":
                shares = [f"{median(l['figures'][of]):.0%}" for of in ("of product", "of read")]
            cells.append([l["dtype"], *shape, who,
                          *(f"{median(speed[part] for speed in l[who]):.1f}"
                            for part in ("prompt", "generation")), *shares])
    return table(["dtype", "batch", "prompt", "generated", "program", "prompt tokens/s",
                  "generated tokens/s", "of product", "of read"], cells, 1)


def methods(lines) -> str:
    rows = []
    for key in dict.fromkeys(l["method"] for l in lines):
        method = METHODS[key]
        settings = method.settings.replace("\n", ", ")
        rows.append([key, f"{method.name or key}({settings})" if settings else method.name or key,
                     method.transformers])
    return table(["method", "kvcomm", "transformers"], rows, 3)


def machine_limits(limits: dict) -> str:
    by_dtype, reads = limits["products"], limits["reads"]
    rows = [[dtype, *(f"{value / 1e9:.0f}" for value in by_rows.values())]
            for dtype, by_rows in by_dtype.items()]
    counts = map(str, next(iter(by_dtype.values())))
    speeds = ", ".join(f"{kernel} {value / 1e9:.1f} GB/s" for kernel, value in reads.items())
    return table(["GFLOP/s by rows", *counts], rows, 1) + f"\n\nMemory, read: {speeds}."


def differences(lines) -> str:
    out = [f"- {l['name']}, sample {d['sample']}: {d['kvcomm']!r} and {d['transformers']!r}"
           for l in lines for d in l.get("differing", ())]
    return "\n".join(out) or "None."


def readings(lines) -> str:
    cells = [[l["case"], l["what"], str(l["records"]), f"{l['file_bytes'] / 1e6:.0f}",
              *(f"{l[who]['seconds']:.2f}" for who in ("kvcomm", "json")),
              *(f"{l[who]['peak_bytes'] / 1e6:.0f}" for who in ("kvcomm", "json"))] for l in lines]
    return table(["case", "file", "records", "MB", "kvcomm s", "json s", "kvcomm MB", "json MB"],
                 cells, 2)


HEAD = """# kvcomm beside its peers, {date}

| | |
|---|---|
{facts}
"""

TARGETS_PART = """## Targets

Ratios are kvcomm / its peer; each is the median of the rounds' own. `--only` takes a case's name.
{busy}

{targets}
"""

METHODS_PART = """## Methods

Data: {data}.

Seconds per sample and samples per second are medians over the rounds, kvcomm and transformers in
turns; `ratio` is the median of the rounds' samples per second, kvcomm / transformers. One lane in
one process, start-up left out. kvcomm's time is the lane's life less loading, calibration and the
warm-up batch (launch/bench/program.py); transformers' is the whole loop: template, tokenizer,
model, text. Where the answers differ, as they may in bfloat16, so may the numbers of tokens made.
A default batch holds up to {full_batches} samples. Where two cases of a method have transformers' side in
common, a round measured that side once.

{rates}

### What was run

`paper` fidelity; settings that are not named are the program's defaults. A batch of transformers is
padded on the left. Contiguous has no rows: it does random's work with other layers.

{methods}

The authors run one sample at a time, and CIPHER without a KV cache. CIPHER's steps round to no
token, so that the last bits of one step grow in those after it: where two programs add in another
order, the answers of float32 too may differ. All that differ are below. kvcomm runs CIPHER's
sequences one by one in float32, whatever the batch.

### Where the time goes

Milliseconds a sample. `prefill` is both ends' up to the first new token, `rest` is everything
outside the model; nld and cipher have three prefills and decodings, first answers included.

{parts}

### Float32 answers that differ (kvcomm's, then transformers')

{differences}
"""

MODEL_PART = """## The model alone

`kvcomm bench model` and llama.cpp's llama-bench on the same weights, medians, {threads} threads.
llama.cpp: {llama}. Generation goes on behind the prompt (llama-bench's --n-depth). kvcomm measures
between its own work what it is held against: the best of several matrix products of the layers'
shapes with as many rows as the batch has tokens, and of several reads of as many bytes as the
weights have.

{model_alone}
"""

LIMITS_PART = """## The machine's limits

Measured once, after the rounds: {threads} threads, all layers' matrix products of this model one
after the other.

{limits}
"""

READING_PART = """## Reading data sets

A file that was just written becomes samples in a fresh process, kvcomm and Python's json in turns,
medians. Python keeps the same parts of a record. Memory is the process's peak.

{readings}
"""


def page(raw: dict) -> str:
    [about], lines = raw["about"], raw["cases"]
    cell = lambda value: str(value).replace("|", "\\|")
    facts = "\n".join(f"| {k} | {cell(value)} |" for k, value in about.items() if k != "data")
    parts_of_page = [HEAD.format(date=about["date"], facts=facts)]
    if any(line["rounds"] for line in raw["targets"]):
        parts_of_page.append(TARGETS_PART.format(
            busy=busy(about) and f"**Beware: {busy(about)}**",
            targets=targets_table(raw["targets"])))
    if lines:
        full = sorted({line["full_batch"] for line in lines if not line["batch"]})
        parts_of_page.append(METHODS_PART.format(
            data=about["data"], full_batches=" or ".join(map(str, full)) or "no",
            rates=rates(lines), methods=methods(lines), parts=parts(lines),
            differences=differences(lines)))
    if raw["tokens"]:
        parts_of_page.append(MODEL_PART.format(
            threads=about["threads"], llama=about["llama.cpp"],
            model_alone=model_alone(raw["tokens"])))
    if raw["limits"]:
        parts_of_page.append(LIMITS_PART.format(threads=about["threads"],
                                                limits=machine_limits(*raw["limits"])))
    if raw["readings"]:
        parts_of_page.append(READING_PART.format(readings=readings(raw["readings"])))
    return "\n".join(parts_of_page)


def compact(raw: dict[str, list]) -> str:
    """JSON with one item a line, and numbers of as many digits as mean something."""
    tables = [f'"{key}": [' + ",".join("\n" + json.dumps(brief(item)) for item in items) + "]"
              for key, items in raw.items()]
    return "{\n" + ",\n".join(tables) + "\n}\n"


def brief(value):
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: brief(one) for key, one in value.items()}
    return [brief(one) for one in value] if isinstance(value, list) else value


def write(folder: Path, raw: dict) -> Path:
    """Writes <date>-<kind of host>-cpu.json and .md; gives the page's path."""
    [about] = raw["about"]
    kind = re.sub(r"[^a-z0-9]+", "-", f"{about['cpu']}-{about['cores']}c".lower()).strip("-")
    path = folder / f"{about['date']}-{kind}-cpu.md"
    folder.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".json").write_text(compact(raw), encoding="utf-8")
    path.write_text(page(raw), encoding="utf-8")
    return path
