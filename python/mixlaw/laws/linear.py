"""Ridge regression of the log loss on proportions (the linear baseline of RegMix, arXiv 2407.01492).

    log L_i(r) = b_i + sum_j w_ij r_j,    sum_j w_ij = 0

symbol  meaning                                                           shape   unit
n       runs                                                              -       -
m, e    training and evaluation domains                                   -       -
r       proportions                                                       (n, m)  share of training tokens
L       validation losses of a domain                                     (n,)    nats per token
b       log loss where all proportions are equal, but for the mean of w   (e,)    -
w       how fast a domain's proportion changes the log loss               (e, m)  -
sigma   standard deviation of a log loss                                  (e,)    -
phi     variance of w over that of a log loss, for all domains            -       -

The law says nothing of proportions that sum to less than 1; of effective ones, see `EffectiveProportions`, what is
missing counts as tokens of the domain that lowers the loss least.

The penalty is a prior w_ij ~ N(0, phi sigma_i**2). phi has the largest marginal likelihood of all domains together, b
integrated out and sigma maximised out in closed form (restricted maximum likelihood), so that one number is searched
for. As proportions sum to 1, adding a constant to a row of w only moves b: the penalty makes their sum 0.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from mixlaw.errors import InputError
from mixlaw.fitted import Array, Axis, Coefficient, ExponentialTerms, FittedLaw, Proportions
from mixlaw.laws.checks import check_question, facts, one_size, spearman_at_the_end, usable_at_one_checkpoint
from mixlaw.laws.goodness import domain_fit
from mixlaw.laws.robust import ROBUST_NOTE, bent
from mixlaw.mixture import EXACT
from mixlaw.runs import RunTable

# Where phi is looked for, as a logarithm.
RANGE = (-10.0, 30.0)
GRID = 41
# Rounds in which Huber's weights settle.
ROUNDS = 20


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class FittedLinear(FittedLaw):
    """Linear log losses; made by `Linear.fit` or read by `mixlaw.laws.read`."""

    law: ClassVar[str] = "linear"
    formula: ClassVar[str] = "log L_i(r) = b_i + sum_j w_ij r_j"

    def __post_init__(self) -> None:
        expected = ("b", *(f"w/{domain}" for domain in self.train_domains))
        for domain in self.eval_domains:
            if tuple(self.coefficients[domain]) != expected:
                raise InputError(
                    f"domain {domain!r}: linear has the coefficients {', '.join(expected)}, "
                    f"not {', '.join(self.coefficients[domain])}"
                )

    def predict(self, proportions: Proportions, *, at: npt.ArrayLike, params: float | None = None) -> Array:
        """See `FittedLaw.predict`."""
        r = self.to_array(proportions)
        check_question(self, self.positions(at, len(r)), params)
        return self._terms.falling(r)

    def gradient(self, proportions: Proportions, *, at: npt.ArrayLike, params: float | None = None) -> Array:
        """See `FittedLaw.gradient`."""
        return np.asarray(self.predict(proportions, at=at, params=params)[:, :, None] * -self._terms.rates)

    def exponential_terms(self, *, at: float, params: float | None = None) -> ExponentialTerms | None:
        """See `FittedLaw.exponential_terms`: the linear law has such terms."""
        check_question(self, self.positions(at, 1), params)
        return self._terms

    @cached_property
    def _terms(self) -> ExponentialTerms:
        values = np.array([[one.value for one in self.coefficients[domain].values()] for domain in self.eval_domains])
        return ExponentialTerms.of(np.zeros(len(values)), values[:, :1] + values[:, 1:])


class Linear:
    """Ridge regression of log losses, its penalty chosen by marginal likelihood; see `Law`."""

    name: ClassVar[str] = FittedLinear.law
    fitted: ClassVar[type[FittedLaw]] = FittedLinear

    def fit(self, runs: RunTable, *, x: Axis = "tokens", seed: int = 0, robust: bool = False) -> FittedLinear:
        """See `Law.fit`; nothing is drawn, so `seed` changes nothing. Standard errors are those of the posterior.

        Raises
        ------
        FitError
            If there are several model sizes or checkpoints, or one mixture only.
        InputError
            If a row lacks `x`.
        """
        sizes = one_size(runs, self.name)
        used, notes = usable_at_one_checkpoint(runs, x, self.name)
        y = np.log(used.losses)
        weights = np.ones_like(y)
        for _ in range(ROUNDS if robust else 1):
            phi, ridges = _fit(used.proportions, y, weights)
            weights = np.column_stack([bent(r.residuals / r.sigma) for r in ridges])
        notes.append(
            f"Penalty by marginal likelihood: a prior under which w varies {math.sqrt(phi):.3g} times as much as log "
            "losses about the law. Standard errors are those of the posterior."
        )
        if robust:
            notes.append(ROBUST_NOTE)
        names = ["b", *(f"w/{domain}" for domain in runs.train_domains)]
        law = FittedLinear(
            **facts(runs, used, x, sizes),
            coefficients={
                domain: dict(zip(names, ridge.coefficients(), strict=True))
                for domain, ridge in zip(runs.eval_domains, ridges, strict=True)
            },
            covariance={domain: ridge.covariance for domain, ridge in zip(runs.eval_domains, ridges, strict=True)},
            quality={
                domain: domain_fit(losses, losses * np.exp(-ridge.residuals), used.run, ridge.sigma)
                for domain, losses, ridge in zip(runs.eval_domains, used.losses.T, ridges, strict=True)
            },
            spearman=None,
            notes=tuple(notes),
        )
        return replace(law, spearman=spearman_at_the_end(law, used))


class _Ridge(NamedTuple):
    """The regression of one evaluation domain: b and w, (1 + m,), their covariance, and y - b - w . r, (n,)."""

    values: Array
    covariance: Array
    residuals: Array
    sigma: float

    def coefficients(self) -> list[Coefficient]:
        errors = np.sqrt(np.maximum(np.diag(self.covariance), 0.0))
        return [Coefficient(*pair) for pair in zip(self.values.tolist(), errors.tolist(), strict=True)]


class _Centred:
    """One domain about its weighted means, rotated such that z = d v + noise with v ~ N(0, phi sigma**2)."""

    def __init__(self, r: Array, y: Array, weights: Array) -> None:
        self.r, self.y = r, y
        self.total = float(weights.sum())
        self.mean_r, self.mean_y = np.average(r, axis=0, weights=weights), float(np.average(y, weights=weights))
        root = np.sqrt(weights)
        left, d, right = np.linalg.svd(root[:, None] * (r - self.mean_r), full_matrices=False)
        varied = d > EXACT * d[0]
        self.d, self.right = d[varied], right[varied]
        centred = root * (y - self.mean_y)
        self.z = left.T[varied] @ centred
        self.rest = max(float(centred @ centred - self.z @ self.z), 0.0)
        self.freedom = len(y) - 1

    def sigma2(self, phi: float) -> float:
        """The best sigma**2 for a phi; not below what rounding of log losses leaves."""
        square = self.rest + float(np.sum(self.z**2 / (1.0 + phi * self.d**2)))
        return max(square / self.freedom, 1e-28)

    def log_likelihood(self, phi: float) -> float:
        return -0.5 * (self.freedom * math.log(self.sigma2(phi)) + float(np.sum(np.log1p(phi * self.d**2))))

    def ridge(self, phi: float) -> _Ridge:
        sigma2 = self.sigma2(phi)
        w = self.right.T @ (phi * self.d * self.z / (1.0 + phi * self.d**2))
        m = len(w)
        # Directions in which the sum of w stays 0, and the runs do not vary.
        untold = np.eye(m) - 1.0 / m - self.right.T @ self.right
        covariance = np.empty((1 + m, 1 + m))
        covariance[1:, 1:] = sigma2 * ((self.right.T * (phi / (1.0 + phi * self.d**2))) @ self.right + phi * untold)
        covariance[0, 1:] = covariance[1:, 0] = -covariance[1:, 1:] @ self.mean_r
        covariance[0, 0] = sigma2 / self.total - covariance[0, 1:] @ self.mean_r
        b = self.mean_y - float(self.mean_r @ w)
        return _Ridge(np.array([b, *w]), covariance, self.y - b - self.r @ w, math.sqrt(sigma2))


def _fit(r: Array, y: Array, weights: Array) -> tuple[float, list[_Ridge]]:
    """phi, and the regression of each domain; y and weights have the shape (n, e)."""
    from scipy.optimize import minimize_scalar

    domains = [_Centred(r, *pair) for pair in zip(y.T, weights.T, strict=True)]

    def cost(log_phi: float) -> float:
        return -math.fsum(domain.log_likelihood(math.exp(log_phi)) for domain in domains)

    grid = np.linspace(*RANGE, GRID)
    k = int(np.argmin([cost(point) for point in grid]))
    found = minimize_scalar(cost, bounds=(grid[max(k - 1, 0)], grid[min(k + 1, GRID - 1)]), method="bounded")
    phi = math.exp(found.x)
    return phi, [domain.ridge(phi) for domain in domains]
