"""The Lagrange conditions of a convex objective over the simplex with floors and caps.

    minimise f(r)    subject to    sum_j r_j = 1,    floor_j <= r_j <= cap_j

symbol  meaning                                                     shape  unit
m       domains                                                     -      -
r       proportions                                                 (m,)   share of training tokens
gain    minus the gradient of f, >= 0: what more of a domain saves  (m,)   nats per token and share
pulls   whether a domain has a gain at all, whatever r is           (m,)   -
lambda  multiplier of sum r = 1: the gain that free domains share   -      nats per token and share

r is a minimum if and only if, for some lambda, a domain between its bounds gains lambda, one at its floor at most that,
one at its cap at least that. For f is convex: f(r) - f(s) <= gain . (s - r) = (gain - lambda) . (s - r).
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mixlaw.fitted import Array
from mixlaw.optimum.constraints import Constraints
from mixlaw.optimum.programme import solve_programme
from mixlaw.optimum.pull import Pull

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

    Free domains that are nearly at a bound, and may differ from the others, count for nearly nothing. The latter is
    what the best domain at its floor would gain.
    """
    free = (floor < r) & (r < cap)
    if free.any():
        return float(np.average(gain[free], weights=np.minimum(r - floor, cap - r)[free]))
    at_floor, at_cap = (r <= floor) & (floor < cap), (r >= cap) & (floor < cap)
    return float(gain[at_floor].max() if at_floor.any() else np.min(gain[at_cap], initial=0.0))


class Certificate(NamedTuple):
    """How near a mixture is to the minimum under any constraints, and what each of these costs.

    Attributes
    ----------
    multiplier
        Lambda: what the domains gain that no constraint holds, nats per token and share.
    reduced
        How much the objective rises with the share of each domain, beyond lambda and what groups and ratios add to it,
        shape (m,): the price of a floor that holds where it is above 0, of a cap where it is below.
    rows
        Price of each group or ratio bound: above 0 where `high` holds, below where `low` does, shape (p,).
    gap
        No mixture that satisfies the constraints has an objective lower by more than this, if the objective is convex;
        whether it is or not, it is 0 only where the Lagrange conditions hold. Nats per token.
    """

    multiplier: float
    reduced: Array
    rows: Array
    gap: float


def certificate(
    values: Array,
    gradients: Array,
    r: Array,
    constraints: Constraints,
    multipliers: tuple[Array, Array] | None = None,
    pull: Pull | None = None,
) -> Certificate:
    """Certify a mixture r as the minimum of the largest of K functions, plus a pull.

    With any weights y >= 0 that sum to 1 and any multipliers u of the rows, the minimum of the Lagrange function that
    is linearised at r, but for the pull, is a lower bound if the functions are convex; `gap` is the distance to it.

    Parameters
    ----------
    values, gradients
        The functions and their derivatives at r, shapes (K,) and (K, m).
    r
        Shape (m,), satisfies the constraints.
    constraints
        See there.
    multipliers
        y, shape (K,), and u, shape (p,), above 0 for `high`; the best ones if not given, by a linear programme.
    pull
        See there.
    """
    if multipliers is None:
        slopes = gradients if pull is None else gradients + pull.slope(r)
        y, rows = _best_multipliers(values, slopes, r, constraints)
    else:
        y, rows = multipliers
    rows = np.where(np.isfinite(constraints.high), rows, np.minimum(rows, 0.0))
    rows = np.where(np.isfinite(constraints.low), rows, np.maximum(rows, 0.0))
    floor, cap, sums = constraints.floor, constraints.cap, constraints.G @ r
    slope = y[y > 0.0] @ gradients[y > 0.0] + rows @ constraints.G
    # Infinite times 0: a term is infinite, or the constraints leave one share alone.
    with np.errstate(invalid="ignore"):
        if pull is None:
            level = multiplier(-slope, r, floor, cap)
            reduced = slope + level
            excess = np.where(reduced > 0.0, reduced * (r - floor), reduced * (r - cap))
        else:
            best, level = pull.best(slope, floor, cap)
            reduced = slope + pull.slope(r) + level
            excess = pull.excess(slope, r, best)
        excess = np.where(floor < cap, excess, 0.0)
        held = np.where(rows > 0.0, rows * (constraints.high - sums), rows * (constraints.low - sums))
        held = np.where(rows != 0.0, np.maximum(held, 0.0), 0.0)
        gap = float(values.max() - y @ values + excess.sum() + held.sum())
    return Certificate(level, reduced, rows, float(np.maximum(0.0, gap)))  # NaN stays NaN


def _best_multipliers(values: Array, gradients: Array, r: Array, constraints: Constraints) -> tuple[Array, Array]:
    """Those of the linearised problem: minimise t subject to values + gradients (x - r) <= t and the constraints."""
    highs, lows = np.isfinite(constraints.high), np.isfinite(constraints.low)
    G, count = constraints.G, len(values)
    # A derivative is infinite only where the constraints leave one share alone, so that it does not matter.
    gradients = np.where(np.isfinite(gradients), gradients, 0.0)
    unit = float(np.abs(gradients).max()) or 1.0
    rows = np.vstack([gradients / unit, G[highs], -G[lows]])
    found = solve_programme(
        cost=np.r_[np.zeros(len(r)), 1.0],
        a=np.column_stack([rows, np.r_[-np.ones(count), np.zeros(len(rows) - count)]]),
        b=np.r_[(gradients @ r - values) / unit, constraints.high[highs], -constraints.low[lows]],
        equal=np.r_[np.ones(len(r)), 0.0][None, :],
        values=np.ones(1),
        bounds=[*zip(constraints.floor.tolist(), constraints.cap.tolist(), strict=True), (None, None)],
    )
    prices = np.zeros(len(G))
    prices[highs] += found.prices[count : count + highs.sum()]
    prices[lows] -= found.prices[count + highs.sum() :]
    y = np.maximum(found.prices[:count], 0.0)
    return y / y.sum(), unit * prices
