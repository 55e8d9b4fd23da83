"""Diminishing returns: what a share of the training tokens is worth, as a function that is 0 at 0 and concave.

    g(r) = (r + DELTA)**rho - DELTA**rho,    0 < rho <= 1

symbol  meaning                                                  shape
r       proportions                                              (..., m)
rho     1 where every token counts the same, below 1 where the   broadcast with r
        first tokens of a domain count for more than later ones

DELTA keeps derivatives finite at r = 0. All functions broadcast.
"""

import math

import numpy as np
import numpy.typing as npt

from mixlaw.fitted import Array

DELTA = 1e-4


def returns(r: Array, rho: npt.ArrayLike) -> Array:
    """Give g."""
    rho = np.asarray(rho)
    return np.asarray(DELTA**rho * np.expm1(rho * np.log1p(r / DELTA)))


def marginal(r: Array, rho: npt.ArrayLike) -> Array:
    """Give g', the derivative of g by r; the second is (rho - 1) g' / (r + DELTA)."""
    rho = np.asarray(rho)
    return np.asarray(rho * np.exp((rho - 1.0) * np.log(r + DELTA)))


def by_rho(r: Array, rho: npt.ArrayLike) -> Array:
    """Give the derivative of g by rho."""
    rho, times = np.asarray(rho), np.log1p(r / DELTA)
    rising = np.expm1(rho * times)
    return np.asarray(DELTA**rho * (math.log(DELTA) * rising + times * (rising + 1.0)))
