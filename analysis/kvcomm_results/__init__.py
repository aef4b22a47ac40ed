"""Reads a results.h5 of kvcomm into pandas.

    from kvcomm_results import read
    results = read("results/demo/results.h5")
    results.samples.groupby("method").score.mean()
"""

from .costs import costs
from .gains import gains
from .reader import Results, read
from .studies import agreement, heat_map, studies
from .summary import summarise

__all__ = ["Results", "agreement", "costs", "gains", "heat_map", "read", "studies", "summarise"]
