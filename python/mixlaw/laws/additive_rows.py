"""The additive and the joint law in logarithms, at given rows: what is fitted, and what draws are brought back by.

symbol      meaning                                                          shape      unit
n, m        rows, and training domains                                       -          -
p           coefficients of an evaluation domain                             -          -
theta       logarithms of coefficients, but gamma^A and gamma^B themselves   (p,)       -
            A at the geometric mean of the model sizes, B of the lengths
f, J        log of the loss, and its derivatives by theta                    (n,), (n, p)
F, z        how far theta moves with independent standard normal variables   (p, p), (p,)

`mixlaw.laws.additive` has the formulas.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mixlaw.fitted import Array
from mixlaw.laws.posterior import maximize_posterior
from mixlaw.laws.robust import ROUNDING

# How close a draw is brought back to what it says to first order, in standard deviations of that; and the relative
# change of the objective at which the search ends.
CLOSE, TOLERANCE = 0.5, 1e-3


class Term(NamedTuple):
    """A term in the model size or in the length of training.

    Attributes
    ----------
    at
        Where its parameters begin: log A, log alpha and, in the joint law, log C^A and gamma^A.
    log_unit
        log N0, or log s0.
    log_x
        log(N / N0), or log(s / s0), shape (n,).
    """

    at: int
    log_unit: float
    log_x: Array


class Rows:
    """Mixtures with model sizes and lengths of training.

    Parameters
    ----------
    r
        Proportions, shape (n, m).
    names
        Of the coefficients, in the order of theta.
    x
        Model sizes by ``"A"`` and lengths by ``"B"``, each of shape (n,); only those that the names have matter.
    """

    def __init__(self, r: Array, names: Sequence[str], x: Mapping[str, Array]) -> None:
        self.r, self.names = r, names
        self.joint = "gamma_A" in names or "gamma_B" in names
        self.trained = r.T > 0.0
        self.log_r = np.log(np.where(self.trained, r.T, 1.0))
        self.terms = []
        for scale, values in x.items():
            if scale in names:
                log_x = np.log(values)
                self.terms.append(Term(names.index(scale), float(log_x.mean()), log_x - log_x.mean()))
        # Of the terms of the sum, which one a coefficient belongs to.
        self.part = np.array([min(at, 1) for at in range(len(names))])
        for number, term in enumerate(self.terms):
            self.part[term.at :] = 2 + number
        self.logs = np.array([name not in ("gamma_A", "gamma_B") for name in names])

    def log_losses(self, theta: Array) -> tuple[Array, Array]:
        """f, and J: of a logarithm of a sum, whose terms have shares p."""
        n, m = self.r.shape
        C, gamma = slice(1, 1 + m), slice(1 + m, 1 + 2 * m)
        powers = np.exp(theta[gamma])[:, None] * self.log_r
        log_sum, within = _sum_of_exponentials(np.where(self.trained, theta[C, None] + powers, -np.inf))
        logs = [np.full(n, theta[0]), -log_sum]
        slopes = np.empty((len(theta), n))
        slopes[0], slopes[C], slopes[gamma] = 1.0, -within, -within * powers
        for term in self.terms:
            fall = -math.exp(theta[term.at + 1]) * term.log_x
            slopes[term.at], slopes[term.at + 1] = 1.0, fall
            log = theta[term.at] + fall
            if self.joint:
                k = slice(term.at + 2, term.at + 2 + m)
                weights = np.exp(theta[k] - theta[k].mean())
                z, power = self.r @ weights, theta[k.stop]
                slopes[k] = power * (self.r.T * weights[:, None] / z - 1.0 / m)
                slopes[k.stop] = np.log(z)
                log = log + power * slopes[k.stop]
            logs.append(log)
        f, shares = _sum_of_exponentials(np.array(logs))
        slopes *= shares[self.part]
        return f, slopes.T

    def coefficients(self, theta: Array) -> Array:
        """Coefficients in the units of the law's formula, shape (p,)."""
        values = np.where(self.logs, np.exp(theta), theta)
        for term in self.terms:
            values[term.at] *= math.exp(values[term.at + 1] * term.log_unit)
            if self.joint:
                k = slice(term.at + 2, term.at + 2 + self.r.shape[1])
                values[k] /= math.exp(theta[k].mean())
        return values

    def parameters(self, values: Array, factor: Array) -> tuple[Array, Array]:
        """theta, and F, of coefficients and a factor of their covariance, each in its `FittedLaw.scale`."""
        theta = np.where(self.logs, np.log(np.where(self.logs, values, 1.0)), values)
        factor = factor.copy()
        for term in self.terms:
            exponent = values[term.at + 1]
            theta[term.at] -= exponent * term.log_unit
            factor[term.at] -= term.log_unit * factor[term.at + 1]
            factor[term.at + 1] /= exponent
        return theta, factor


def _sum_of_exponentials(logs: Array) -> tuple[Array, Array]:
    """Logarithm of the sum of exponentials along the first axis, and the share of each in the sum."""
    largest = logs.max(axis=0)
    parts = np.exp(logs - largest)
    total = parts.sum(axis=0)
    return largest + np.log(total), parts / total


def brought_back(rows: Rows, theta: Array, F: Array, sd: Array, draws: Array) -> list[Array]:
    """Move theta + F z, for each z of `draws`, until f is what it is to first order, and no further than that takes.

    What is found is the mode of the posterior after observations f(theta) + J F z, as independent as rows of as many
    runs, under a prior with mean theta + F z and standard deviations `sd`.
    """
    f, J = rows.log_losses(theta)
    J = J @ F
    width = max(CLOSE * math.sqrt(np.sum(J**2) / len(theta)), ROUNDING)

    def settled(z: Array) -> Array:
        first_order = theta + F @ z
        for start in (first_order, theta):  # a few have no way back from where they are, but one from the mode
            mode = maximize_posterior(
                rows.log_losses, f + J @ z, lambda v: v / width, first_order, sd**-2.0, start, tolerance=TOLERANCE
            )
            if np.sum(mode.residuals**2) <= len(theta) * width**2:
                break
        return mode.theta

    return [settled(z) for z in draws]
