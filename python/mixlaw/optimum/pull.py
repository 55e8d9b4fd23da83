"""A pull towards a prior mixture: weight KL(r || prior) = weight sum_j r_j log(r_j / prior_j), convex in r.

symbol  meaning                           shape   unit
m       training domains                  -       -
r       proportions                       (m,)    share of training tokens
prior   proportions that cost nothing, > 0 (m,)   share of training tokens
weight  > 0                               -       nats per token
"""

from typing import NamedTuple

import numpy as np

from mixlaw.fitted import Array

# Shares are not told apart from 0 below this.
LEAST = 1e-12
# Multipliers beyond this, times the weight, are not looked for: bounds whose sum is 1 but for rounding have none.
LARGEST = 1e9


class Pull(NamedTuple):
    """See the head of this module."""

    weight: float
    prior: Array

    def value(self, r: Array) -> Array:
        """Penalties of mixtures of shape (..., m)."""
        return np.asarray(self.weight * (r * np.log(np.where(r > 0.0, r / self.prior, 1.0))).sum(axis=-1))

    def slope(self, r: Array) -> Array:
        """First derivative, shape (m,); below `LEAST` that of the parabola that touches the penalty there."""
        above = np.maximum(r, LEAST)
        return np.asarray(self.weight * (np.log(above / self.prior) + r / above))

    def curvature(self, r: Array) -> Array:
        """Second derivative, which is diagonal, shape (m,); see `slope`."""
        return np.asarray(self.weight / np.maximum(r, LEAST))

    def best(self, slope: Array, floor: Array, cap: Array) -> tuple[Array, float]:
        """The mixture between bounds that minimises slope . x + the penalty, and its multiplier of sum x = 1.

        Each share falls with the multiplier, so that the sum has one root, which is bisected.
        """

        def shares(level: float) -> Array:
            with np.errstate(over="ignore"):
                return np.clip(self.prior * np.exp(-(slope + level) / self.weight - 1.0), floor, cap)

        # Here every share is at least its prior, and at most that.
        low, high = -float(slope.max()) - self.weight, -float(slope.min()) - self.weight
        reach = max(high - low, self.weight)
        while shares(low).sum() < 1.0 and reach < LARGEST:
            low, reach = low - reach, 2.0 * reach
        while shares(high).sum() > 1.0 and reach < LARGEST:
            high, reach = high + reach, 2.0 * reach
        while low < (middle := 0.5 * (low + high)) < high:
            low, high = (middle, high) if shares(middle).sum() > 1.0 else (low, middle)
        return shares(high), high

    def excess(self, slope: Array, r: Array, best: Array) -> Array:
        """By how much slope . x + the penalty of each domain is higher at r than at another mixture, shape (m,)."""
        here, there = (self.weight * x * np.log(np.where(x > 0.0, x / self.prior, 1.0)) for x in (r, best))
        return np.asarray(slope * (r - best) + here - there)
