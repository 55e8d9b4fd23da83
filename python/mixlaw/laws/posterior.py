"""The mode of a posterior with Gaussian noise and a Gaussian prior, and its width.

symbol  meaning                                                    shape   unit
n       observations                                               -       -
p       parameters                                                 -       -
theta   parameters                                                 (p,)    -
y       observations                                               (n,)    -
f, J    what a model says, and its derivatives                     (n,), (n, p)
W       whitening: W (y - f) has independent entries of variance 1 (n, n)  -
m, P    mean of the prior, and its precision by parameter          (p,)    -

    minimise |W (y - f(theta))|^2 + sum_k P_k (theta_k - m_k)^2

by Gauss-Newton steps with Levenberg's damping. Every prior is proper, so every problem has a solution, however few the
observations are, and the covariance at the mode is (J'W'W J + P)^-1 (Laplace).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mixlaw.fitted import Array

Model = Callable[[Array], tuple[Array, Array]]
Whiten = Callable[[Array], Array]

MAX_STEPS = 200
TOLERANCE = 1e-8
# Longest step of a parameter; all are logarithms, or of that order.
LONGEST = 2.0


class Mode(NamedTuple):
    """The mode.

    Attributes
    ----------
    theta
        Parameters, shape (p,).
    covariance
        Of the parameters by Laplace's approximation, shape (p, p).
    settled
        How many parameters the observations, rather than the prior, have settled: p - sum_k P_k covariance_kk.
    residuals
        y - f, shape (n,).
    jacobian
        J, shape (n, p).
    converged
        False if the steps were used up on the way.
    """

    theta: Array
    covariance: Array
    settled: float
    residuals: Array
    jacobian: Array
    converged: bool


def maximize_posterior(
    model: Model,
    y: Array,
    whiten: Whiten,
    mean: Array,
    precision: Array,
    start: Array,
    *,
    tolerance: float = TOLERANCE,
) -> Mode:
    """Find the mode nearest to a start.

    Parameters
    ----------
    model
        Maps theta to f and J.
    y
        Observations, shape (n,).
    whiten
        Applies W to an array of shape (n,) or (n, p).
    mean, precision
        m and P > 0, shape (p,).
    start
        Shape (p,).
    tolerance
        Relative change of the objective below which a step is the last.
    """
    theta, damping = start.copy(), 1e-3
    f, J = model(theta)
    cost, whitened = _cost(y - f, whiten, theta, mean, precision)
    converged = False
    for _ in range(MAX_STEPS):
        tilted = whiten(J)
        normal = tilted.T @ tilted + np.diag(precision)
        slope = tilted.T @ whitened - precision * (theta - mean)
        step = np.clip(np.linalg.solve(normal + damping * np.diag(np.diag(normal)), slope), -LONGEST, LONGEST)
        f_new, J_new = model(theta + step)
        cost_new, whitened_new = _cost(y - f_new, whiten, theta + step, mean, precision)
        # Not "<": rounding may leave a perfect fit where it is.
        if cost_new <= cost:
            converged = cost - cost_new <= tolerance * (1.0 + cost)
            theta, f, J, cost, whitened = theta + step, f_new, J_new, cost_new, whitened_new
            damping = max(damping / 10.0, 1e-12)
        else:
            damping *= 10.0
            converged = damping > 1e12
        if converged:
            break
    tilted = whiten(J)
    covariance = np.linalg.inv(tilted.T @ tilted + np.diag(precision))
    settled = len(theta) - float(precision @ np.diag(covariance))
    return Mode(theta, 0.5 * (covariance + covariance.T), settled, y - f, J, converged)


def _cost(residuals: Array, whiten: Whiten, theta: Array, mean: Array, precision: Array) -> tuple[float, Array]:
    whitened = whiten(residuals)
    return float(whitened @ whitened + precision @ (theta - mean) ** 2), whitened
