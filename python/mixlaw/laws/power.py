"""Power laws of one variable above a floor, y = E + B (x / x0)**-beta, whose curves share the exponent.

symbol  meaning                                            shape   unit
n, c    points, and curves                                 -       -
x       length of training, or model size                  (n,)    tokens, steps or parameters
x0      geometric mean of x                                -       as x
y       losses                                             (n, c)  nats per token
w       weights of squares, 0 where a curve has no point   (n, c)  -
E, B    floors, and what falls, at x0; both >= 0           (c,)    nats per token
beta    the exponent                                       -       -

Squares are of (y - curve) / (mean of the curve's y), so that no curve counts more for its unit. For a given beta the
rest is linear, so only beta is searched for: on a grid, and from its best point on.
"""

from typing import NamedTuple

import numpy as np

from mixlaw.fitted import Array

# Where beta is looked for.
RANGE, GRID = (0.02, 5.0), 16


class Power(NamedTuple):
    """Curves E + B (x / x0)**-beta."""

    x0: float
    beta: float
    E: Array
    B: Array

    def at(self, x: float) -> Array:
        """Losses of all curves at x, shape (c,)."""
        return np.asarray(self.E + self.B * (x / self.x0) ** -self.beta)


def fit_power(x: Array, y: Array, w: Array) -> Power:
    """Fit curves with one exponent; every curve needs two points or more, and one of them three."""
    from scipy.optimize import minimize_scalar

    log_u = np.log(x) - np.log(x).mean()
    scaled = w / np.average(y, axis=0, weights=w) ** 2

    def cost(beta: float) -> float:
        E, B, power = _linear(log_u, y, w, beta)
        return float(np.sum(scaled * (y - E - power[:, None] * B) ** 2))

    grid = np.geomspace(*RANGE, GRID)
    k = int(np.argmin([cost(point) for point in grid]))
    found = minimize_scalar(cost, bounds=(grid[max(k - 1, 0)], grid[min(k + 1, GRID - 1)]), method="bounded")
    beta = float(found.x)
    E, B, _ = _linear(log_u, y, w, beta)
    return Power(float(np.exp(np.log(x).mean())), beta, E, B)


def _linear(log_u: Array, y: Array, w: Array, beta: float) -> tuple[Array, Array, Array]:
    """The best E and B >= 0 for a beta, and (x / x0)**-beta."""
    p = np.exp(-beta * log_u)
    total, mean_p, mean_y = w.sum(axis=0), p @ w / w.sum(axis=0), np.sum(w * y, axis=0) / w.sum(axis=0)
    spread = p**2 @ w / total - mean_p**2
    B = np.maximum((p @ (w * y) / total - mean_p * mean_y) / spread, 0.0)
    E = mean_y - B * mean_p
    floorless = E < 0.0
    return np.where(floorless, 0.0, E), np.where(floorless, p @ (w * y) / (p**2 @ w), B), p
