"""The mixture that entropies suggest, and how its error bars follow from theirs.

symbol  meaning                                                 shape   unit
m       domains                                                 -       -
B       replicates                                              -       -
H       entropies, of any measure                               (m,)    nats
r       proxy mixture, e^{H_i} / sum_j e^{H_j}                  (m,)    share of training tokens
e       standard errors of H                                    (m,)    nats

BiMix, arXiv 2405.14908, Eq. 13. Entropies of different domains come from different documents, so their errors are
independent; those of the proportions are not, for an entropy that is too high takes from all the others.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# Ends of a 90 % interval, as percentiles.
INTERVAL = 5.0, 95.0
# Replicates that are drawn where only standard errors are known: ends of intervals are within a fiftieth of an error.
DRAWS = 10_000


class ProportionBars(NamedTuple):
    """Error bars of a mixture: standard errors, and both ends of 90 % intervals, each of shape (m,)."""

    error: Floats
    low: Floats
    high: Floats


def proportions(entropies: Floats) -> Floats:
    """Give r for H, along the last axis, shape (..., m)."""
    # The largest is subtracted first: e^H may be beyond float64, its ratio to the largest is not.
    scores = np.exp(entropies - entropies.max(axis=-1, keepdims=True))
    return np.asarray(scores / scores.sum(axis=-1, keepdims=True))


def proportion_bars(entropies: Floats, replicates: Floats) -> ProportionBars:
    """Error bars of r from replicates of H.

    Parameters
    ----------
    entropies
        H, shape (m,).
    replicates
        Replicates of H, shape (B, m), drawn for each domain by itself. Only how they spread about their mean counts,
        not the mean, which a bootstrap puts too low.
    """
    drawn = proportions(entropies + (replicates - replicates.mean(axis=0)))
    low, high = np.percentile(drawn, INTERVAL, axis=0)
    return ProportionBars(drawn.std(axis=0, ddof=1), low, high)


def normal_replicates(entropies: Floats, errors: Floats) -> Floats:
    """Replicates of H as normal draws, the same at every call, shape (DRAWS, m)."""
    return np.asarray(entropies + errors * np.random.default_rng(0).standard_normal((DRAWS, len(errors))))
