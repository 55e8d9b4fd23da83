"""Mixtures between floors and caps: the one nearest to given amounts, and uniformly distributed ones.

symbol  meaning                                     shape   unit
m       domains                                     -       -
r       proportions                                 (m,)    share of training tokens
floor   least proportions                           (m,)    share of training tokens
cap     largest proportions                         (m,)    share of training tokens
a       amounts >= 0 to which r is proportional     (m,)    any
c       r over a of the domains that no bound holds -       1 / unit of a
"""

import numpy as np

from mixlaw.fitted import Array

# Rounds of moves after which a sample has forgotten where it began.
ROUNDS = 64


def proportional_between(amounts: Array, floor: Array, cap: Array) -> Array:
    """Give the mixture clip(c * amounts, floor, cap) that sums to 1, shape (m,).

    Of all mixtures between the bounds it has the least Kullback-Leibler divergence from the one proportional to the
    amounts. Where even the caps of all domains with an amount leave something, the others share it by their room.

    Parameters
    ----------
    amounts
        Finite, >= 0, shape (m,).
    floor, cap
        Bounds that some mixture meets, shape (m,).
    """
    has = amounts > 0.0
    rest = 1.0 - cap[has].sum() - floor[~has].sum()
    if rest >= 0.0:
        room = np.where(has, 0.0, cap - floor)
        return np.where(has, cap, floor + room * (rest / (room.sum() or 1.0)))
    a, low, high = amounts[has] / amounts.max(), floor[has], cap[has]
    # The sum is linear in c between the values at which a domain leaves its floor or reaches its cap.
    bends = np.unique(np.concatenate([low / a, high / a]))
    sums = np.array([np.clip(c * a, low, high).sum() for c in bends]) + floor[~has].sum()
    after = min(int(np.searchsorted(sums, 1.0)), len(bends) - 1)
    before = max(after - 1, 0)
    step = sums[after] - sums[before]
    part = (1.0 - sums[before]) / step if step > 0.0 else 0.0
    r = floor.copy()
    r[has] = np.clip((bends[before] + part * (bends[after] - bends[before])) * a, low, high)
    return r


def uniform_between(count: int, floor: Array, cap: Array, rng: np.random.Generator) -> Array:
    """Draw mixtures that are uniformly distributed between the bounds, shape (count, m).

    In every round domains are paired at random, and each pair divides what it has anew, uniformly within its bounds:
    Gibbs sampling, which needs no rejection however tight the bounds are.

    Parameters
    ----------
    count
        How many.
    floor, cap
        Bounds that some mixture meets, shape (m,).
    rng
        Source of randomness.
    """
    m = len(floor)
    r = np.tile(proportional_between(np.ones(m), floor, cap), (count, 1))
    for _ in range(ROUNDS):
        order = rng.permutation(m)
        one, two = order[: m // 2], order[m // 2 : 2 * (m // 2)]
        both = r[:, one] + r[:, two]
        low, high = np.maximum(floor[one], both - cap[two]), np.minimum(cap[one], both - floor[two])
        r[:, one] = low + rng.uniform(size=both.shape) * np.maximum(high - low, 0.0)
        r[:, two] = both - r[:, one]
    return np.clip(r, floor, cap)
