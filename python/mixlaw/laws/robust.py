"""Huber's loss by iteratively reweighted least squares: what is far from the law counts less.

symbol  meaning                                     shape  unit
n       residuals                                   -      -
u       residuals over their standard deviation     (n,)   -
w       weights of the squares, at most 1           (n,)   -

A residual within the bend counts in full, w = 1; one beyond counts as w = bend / |u|, so that its pull on the fit grows
no further.

P. J. Huber (1964), Robust Estimation of a Location Parameter, Ann. Math. Statist. 35(1).
"""

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from mixlaw.fitted import Array

# 95 % efficient where residuals are normal.
BEND = 1.345
# Rounds, and the change of the weights below which no further one is needed.
ROUNDS, SETTLED = 30, 1e-3
# Residuals of log losses below this are rounding, of the losses that were written down or of the optimiser.
ROUNDING = 1e-8

ROBUST_NOTE = (
    f"What deviates by more than {BEND} standard deviations counts less (Huber's loss). Standard errors, and the "
    "standard deviation of residuals, are those of the weighted fit."
)

Fit = TypeVar("Fit")


def bent(u: Array, bend: float = BEND) -> Array:
    """Give w for u; all 1 where `bend` is infinite."""
    return np.asarray(bend / np.maximum(np.abs(u), bend)) if np.isfinite(bend) else np.ones_like(u)


def huber_weights(residuals: Array) -> Array:
    """Give w for residuals; their standard deviation is taken as their median size over .6745, which is robust."""
    return bent(residuals / max(float(np.median(np.abs(residuals))) / 0.6745, ROUNDING))


def reweighted(fit: Callable[[Array], tuple[Fit, Array]], n: int, robust: bool) -> tuple[Fit, Array, Array]:
    """Fit log losses by least squares; if `robust`, again and again until the Huber weights settle.

    Parameters
    ----------
    fit
        Maps w to what was fitted and its unweighted residuals, shape (n,).
    n
        How many residuals there are.
    robust
        If not, all weights are 1.

    Returns
    -------
    tuple
        What was fitted last, its residuals and its weights.
    """
    weights = np.ones(n)
    found, residuals = fit(weights)
    for _ in range(ROUNDS if robust else 0):
        new = huber_weights(residuals)
        if np.abs(new - weights).max() <= SETTLED:
            break
        weights = new
        found, residuals = fit(weights)
    return found, residuals, weights
