"""A local minimum over the simplex with floors and caps, of an objective that need not be convex.

    minimise f(r)    subject to    sum_j r_j = 1,    floor_j <= r_j <= cap_j

symbol  meaning                   shape   unit
m       domains                   -       -
r       proportions               (m,)    share of training tokens
k       starting points           -       -

Sequential quadratic programming (SLSQP) with exact gradients from several starting points; the lowest minimum is given,
with how many of them led to it.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mixlaw.errors import MixlawError
from mixlaw.fitted import Array

# Proportions that the search does not go below, as some laws have an infinite slope at 0.
SMALLEST = 1e-9
# Minima whose objectives differ by less, relatively, count as one.
SAME = 1e-6
RANDOM_STARTS = 5


class LocalMinimum(NamedTuple):
    """The lowest minimum that was found.

    Attributes
    ----------
    r
        Shape (m,).
    starts, agreeing
        Starting points, and how many led to an objective as low.
    """

    r: Array
    starts: int
    agreeing: int


def minimize_local(
    value: Callable[[Array], float], gradient: Callable[[Array], Array], mixtures: Array, floor: Array, cap: Array
) -> LocalMinimum:
    """Minimise an objective from the mixtures given, the centre of the bounds, and draws between them.

    Parameters
    ----------
    value, gradient
        Map r to f, and to its gradient, shape (m,).
    mixtures
        Starting points, moved between the bounds, shape (k, m).
    floor, cap
        Bounds, 0 <= floor <= cap <= 1; their sums lie on either side of 1.

    Raises
    ------
    MixlawError
        If the search failed from every starting point.
    """
    from scipy.optimize import Bounds, LinearConstraint, minimize

    low = np.minimum(np.maximum(floor, SMALLEST), cap)
    drawn = np.random.default_rng(0).dirichlet(np.ones(len(floor)), RANDOM_STARTS)
    starts = [between(start, low, cap) for start in (0.5 * (low + cap), *mixtures, *drawn)]
    total = LinearConstraint(np.ones((1, len(floor))), 1.0, 1.0)
    found: list[tuple[float, Array]] = []
    for start in starts:
        done = minimize(
            value,
            start,
            jac=gradient,
            method="SLSQP",
            bounds=Bounds(low, cap),
            constraints=total,
            options={"maxiter": 500, "ftol": 1e-13},
        )
        if np.isfinite(done.fun):
            r = _settled(done.x, floor, cap)
            found.append((value(r), r))
    if not found:
        raise MixlawError("no optimum was found: the objective is not finite; look for coefficients that make no sense")
    best, r = min(found, key=lambda pair: pair[0])
    agreeing = sum(reached <= best + SAME * abs(best) for reached, _ in found)
    return LocalMinimum(r, len(starts), agreeing)


def _settled(r: Array, floor: Array, cap: Array) -> Array:
    """Put on a bound what is next to it, and let the others make up for it."""
    low, high = r <= np.maximum(floor, SMALLEST) + SMALLEST, r >= cap - SMALLEST
    r = np.where(low, floor, np.where(high, cap, r))
    free = ~(low | high)
    r[free] *= (1.0 - r[~free].sum()) / r[free].sum()
    return r


def between(r: Array, low: Array, high: Array) -> Array:
    """Move proportions by one and the same amount, each up to its bounds, until they sum to 1."""
    below, above = float(np.min(low - r)), float(np.max(high - r))
    for _ in range(200):
        middle = 0.5 * (below + above)
        below, above = (middle, above) if np.clip(r + middle, low, high).sum() < 1.0 else (below, middle)
    return np.asarray(np.clip(r + above, low, high))
