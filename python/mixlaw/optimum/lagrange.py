"""The Lagrange conditions of a convex objective over the simplex with floors and caps.

    minimise f(r)    subject to    sum_j r_j = 1,    floor_j <= r_j <= cap_j

symbol  meaning                                                     shape  unit
m       domains                                                     -      -
r       proportions                                                 (m,)   share of training tokens
gain    minus the gradient of f, >= 0: what more of a domain saves  (m,)   nats per token and share
pulls   whether a domain has a gain at all, whatever r is           (m,)   -
lambda  multiplier of sum r = 1: the gain that free domains share   -      nats per token and share

r is a minimum if and only if, for some lambda, a domain between its bounds gains lambda, one at its floor at most that,
one at its cap at least that. Where these conditions hold but for epsilon * lambda, no mixture s is better than r by
more than 2 * epsilon * lambda, for f is convex: f(r) - f(s) <= gain . (s - r) = (gain - lambda) . (s - r).
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mixlaw.fitted import Array

Mask = npt.NDArray[np.bool_]

# Bounds whose sum is this close to 1 leave no freedom: decimal fractions rarely sum to 1 to the last bit.
TIGHT = 1e-12


class Solution(NamedTuple):
    """A minimum.

    Attributes
    ----------
    r
        Proportions, shape (m,).
    multiplier
        lambda >= 0, see `multiplier`.
    """

    r: Array
    multiplier: float


def held_by_bounds(pulls: Mask, floor: Array, cap: Array) -> Array | None:
    """Give the minimum, shape (m,), where the bounds alone determine it; None where they do not.

    They do where floors or caps sum to 1, and where caps hold all domains that pull. The share that nobody gains from
    is then spread over the others, in proportion to the room between their bounds.
    """
    for bound in (floor, cap):
        if abs(math.fsum(bound) - 1.0) <= TIGHT:
            return bound.copy()
    spare = math.fsum([1.0, *-cap[pulls], *-floor[~pulls]])
    if spare < -TIGHT:
        return None
    room = np.where(pulls, 0.0, cap - floor)
    extra = spare * room / room.sum() if spare > 0.0 else 0.0
    return np.where(pulls, cap, floor) + extra


def multiplier(gain: Array, r: Array, floor: Array, cap: Array) -> float:
    """Lambda of a minimum: the gain of the free domains, or without any the smallest that satisfies the conditions.

    The latter is what the best domain at its floor would gain.
    """
    free = (floor < r) & (r < cap)
    if free.any():
        return float(np.average(gain[free], weights=r[free]))
    return float(np.max(gain[(r <= floor) & (floor < cap)], initial=0.0))


def violations(gain: Array, floor: Array, cap: Array, solution: Solution) -> Array:
    """How far each domain is from its Lagrange condition, relative to |lambda| where that is not 0, shape (m,)."""
    excess = gain - solution.multiplier
    above = np.where(solution.r < cap, excess, 0.0)
    below = np.where(solution.r > floor, -excess, 0.0)
    return np.maximum(0.0, np.maximum(above, below)) / (abs(solution.multiplier) or 1.0)


def kkt_residual(gain: Array, floor: Array, cap: Array, solution: Solution) -> float:
    """Largest of the `violations`."""
    return float(np.max(violations(gain, floor, cap, solution)))
