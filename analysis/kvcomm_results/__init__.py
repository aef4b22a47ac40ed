"""Reads a results.h5 of kvcomm into pandas.

    from kvcomm_results import read
    results = read("results/demo/results.h5")
    results.samples.groupby("method").score.mean()
"""

from .gains import gains
from .reader import Results, read
from .summary import summarise

__all__ = ["Results", "gains", "read", "summarise"]
