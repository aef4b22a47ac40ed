"""results.h5 as data frames. Everything is also there with h5py alone: f["samples"][:]."""

import json
from dataclasses import dataclass
from pathlib import Path

import h5py
import pandas as pd

SCHEMA = "kvcomm-results"
SCHEMA_VERSION = 1
TABLES = ("samples", "senders", "scores", "questions", "cells", "layers", "studies", "recalibrations", "ranks",
          "failures", "runs")


@dataclass(frozen=True)
class Results:
    """One data frame for each table, an empty one where an older version wrote none.

    `about` holds the root attributes of the newest run.
    """

    about: dict
    samples: pd.DataFrame
    senders: pd.DataFrame
    scores: pd.DataFrame
    questions: pd.DataFrame
    cells: pd.DataFrame
    layers: pd.DataFrame
    studies: pd.DataFrame
    recalibrations: pd.DataFrame
    ranks: pd.DataFrame
    failures: pd.DataFrame
    runs: pd.DataFrame


def read(path) -> Results:
    """Reads a whole file, or a folder's results.h5.

    Texts become str; each frame's .attrs holds units and long_name by column.

    Raises ValueError where the file is not one of kvcomm's, or of a later schema.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "results.h5"
    # A results file is replaced as a whole, never changed: no lock is needed, and some file systems have none.
    with h5py.File(path, "r", locking=False) as file:
        about = dict(file.attrs)
        if about.get("schema") != SCHEMA:
            raise ValueError(f"{path} is not a results file of kvcomm: its root attribute 'schema' "
                             f"is {about.get('schema')!r}, not {SCHEMA!r}.")
        if int(about["schema_version"]) > SCHEMA_VERSION:
            raise ValueError(f"{path} has schema version {about['schema_version']}; this reader "
                             f"knows versions up to {SCHEMA_VERSION}. Use the analysis/ of that release.")
        for name in ("argv", "environment", "fingerprints"):
            about[name] = json.loads(about[name])
        return Results(about, **{name: _frame(file[name]) if name in file else pd.DataFrame()
                                 for name in TABLES})


def _frame(dataset) -> pd.DataFrame:
    frame = pd.DataFrame(dataset[:])
    for name in frame.columns:
        if h5py.check_string_dtype(dataset.dtype[name]):
            frame[name] = pd.Series([text.decode() for text in frame[name]], dtype=object)
    for attribute in ("units", "long_name"):
        frame.attrs[attribute] = dict(zip(frame.columns, dataset.attrs[attribute]))
    return frame
