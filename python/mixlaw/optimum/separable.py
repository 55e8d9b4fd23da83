"""The exact minimum of a separable power law over the simplex with floors and caps.

    minimise sum_j c_j / r_j**alpha_j    subject to    sum_j r_j = 1,    floor_j <= r_j <= cap_j

symbol  meaning                                                     shape  unit
m       domains                                                     -      -
r       proportions                                                 (m,)   share of training tokens
c       weighted scale: the objective's share of domain j at r = 1  (m,)   nats per token
alpha   exponents >= 0                                              (m,)   -
pull    alpha * c                                                   (m,)   nats per token
gain    pull / r**(alpha + 1): what more of a domain is worth       (m,)   nats per token and share
lambda  multiplier of sum r = 1: the gain that free domains share   -      nats per token and share
t       log lambda                                                  -      -

By the Lagrange condition r_j(t) = clip((pull_j / lambda)**(1 / (alpha_j + 1)), floor_j, cap_j): each falls with t, so
the sum does, and t is its root at 1. The values of t at which some r_j meets a bound are known; between two of them the
same domains are free and the sum is smooth.
"""

import math

import numpy as np

from mixlaw.fitted import Array
from mixlaw.optimum.lagrange import Solution, held_by_bounds, multiplier

MAX_NEWTON = 100


def minimize_separable(c: Array, alpha: Array, floor: Array, cap: Array) -> Solution:
    """Minimise sum c / r**alpha over the simplex between bounds.

    Domains without a pull stand at their floor, which may be 0, unless `held_by_bounds` spreads share over them.

    Parameters
    ----------
    c, alpha
        Terms of the objective, finite and >= 0, shape (m,).
    floor, cap
        Bounds, 0 <= floor <= cap <= 1 and 0 < cap, shape (m,); their sums lie on either side of 1, or within
        `lagrange.TIGHT`.
    """
    pull = c * alpha
    pulls = pull > 0.0
    r = held_by_bounds(pulls, floor, cap)
    if r is None:
        r = floor.copy()
        r[pulls] = _shares(pull[pulls], alpha[pulls] + 1.0, floor[pulls], cap[pulls], 1.0 - math.fsum(floor[~pulls]))
    return Solution(r, multiplier(separable_gain(c, alpha, r), r, floor, cap))


def separable_gain(c: Array, alpha: Array, r: Array) -> Array:
    """Gain of every domain, shape (m,); infinite where a domain that pulls has no share."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(c * alpha > 0.0, c * alpha / r ** (alpha + 1.0), 0.0)


def _shares(pull: Array, power: Array, floor: Array, cap: Array, total: float) -> Array:
    """Shares of domains with a positive pull that sum to `total`, which is below the sum of the caps."""
    log_pull = np.log(pull)
    with np.errstate(divide="ignore"):
        leaves_cap = log_pull - power * np.log(cap)
        meets_floor = log_pull - power * np.log(floor)

    def shares(t: float) -> Array:
        # At a bend the bound itself, not what rounding makes of it: flat stretches stay flat.
        inside = np.clip(np.exp((log_pull - t) / power), floor, cap)
        return np.where(t <= leaves_cap, cap, np.where(t >= meets_floor, floor, inside))

    bends = np.unique(np.concatenate([leaves_cap, meets_floor[floor > 0.0]]))
    low, high = 0, len(bends)
    while high - low > 1:
        middle = (low + high) // 2
        if math.fsum([*shares(bends[middle]), -total]) >= 0.0:
            low = middle
        else:
            high = middle
    t = float(bends[low])
    r = shares(t)
    free = (leaves_cap <= t) & (t < meets_floor)
    rest = math.fsum([total, *-r[~free]])
    r[free] = np.clip(_between_bends(log_pull[free], power[free], t, rest), floor[free], cap[free])
    return r


def _between_bends(log_pull: Array, power: Array, t: float, total: float) -> Array:
    """Solve sum exp((log_pull - t) / power) = total, given a t at or below the root.

    The logarithm of the sum is convex and falls with t, so that Newton's steps from below never pass the root.
    """
    for _ in range(MAX_NEWTON):
        r = np.exp((log_pull - t) / power)
        step = math.log(r.sum() / total) / np.average(1.0 / power, weights=r)
        t += step
        if step <= 1e-12 * max(1.0, abs(t)):
            break
    # The last step, along the direction that keeps the gains equal, takes the rounding of t out of the sum.
    tangent = r / power
    return np.asarray(r + tangent * (math.fsum([total, *-r]) / tangent.sum()))
