"""The additive and the joint scaling law (Shukor et al., arXiv 2507.09404).

    additive:  L_i(r, N, s) = E_i + 1 / sum_j C_ij r_j**gamma_ij + A_i / N**alpha_i + B_i / s**beta_i
    joint:     the same, with A_i (sum_j C^A_ij r_j)**gamma^A_i for A_i, and B_i likewise

symbol      meaning                                                          shape   unit
n           checkpoints                                                      -       -
m, e        training and evaluation domains                                  -       -
r           proportions (h in the paper)                                     (n, m)  share of training tokens
N           model size                                                       (n,)    parameters
s           length of training (D in the paper)                              (n,)    tokens or steps
L           validation losses of a domain                                    (n,)    nats per token
E           the part of the loss that nothing removes                        (e,)    nats per token
C, gamma    how much each training domain lowers the loss                    (e, m)  1 / nats per token, -
A, alpha    the part that model size removes                                 (e,)    nats per token * N**alpha, -
B, beta     the part that training removes                                   (e,)    nats per token * s**beta, -
C^A, C^B    how the latter two depend on the mixture (joint law only)        (e, m)  -
gamma^A, gamma^B                                                             (e,)    -

All but gamma^A and gamma^B are positive. In the paper C^A has the scale of A in it; here A stands apart, and the
geometric mean over j of C^A_ij is 1. That leaves 2m + 5 coefficients a domain to determine, in the joint law 4m + 5,
as in the paper.

With one model size A and alpha are left out: the term is a part of E. With one checkpoint B and beta are.

The fit works in u = s / s0, w = N / N0 and L / L0, where s0, N0 and L0 are geometric means, with logarithms of all
positive coefficients as parameters: log(L / L0) is the logarithm of a sum of exponentials of terms. Runs are fewer
than coefficients as a rule, so these have weak priors (`PRIOR`); `mixlaw.laws.panel` has the rest.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from mixlaw.errors import InputError
from mixlaw.fitted import Array, Axis, Coefficient, FittedLaw, Proportions, Scale
from mixlaw.laws.checks import (
    check_length,
    facts,
    is_one_checkpoint,
    model_sizes,
    size_of,
    spearman_at_the_end,
    usable,
)
from mixlaw.laws.goodness import domain_fit
from mixlaw.laws.panel import Piece, Prior, fit_panel, prior_notes
from mixlaw.laws.robust import BEND, ROBUST_NOTE
from mixlaw.runs import RunTable


class Priors(NamedTuple):
    """Means and standard deviations of the logarithms of coefficients, where N, s and L are over their geometric means.

    Attributes
    ----------
    E, gamma
        As in the law.
    C
        Times the number of training domains.
    falling, exponent
        A or B; alpha or beta.
    C_scale, gamma_scale
        C^A or C^B; and gamma^A or gamma^B themselves, not their logarithms.
    """

    E: tuple[float, float] = (math.log(0.6), 1.5)
    gamma: tuple[float, float] = (math.log(0.1), 1.0)
    C: tuple[float, float] = (math.log(20.0), 1.5)
    falling: tuple[float, float] = (math.log(0.2), 2.0)
    exponent: tuple[float, float] = (math.log(0.4), 1.0)
    C_scale: tuple[float, float] = (0.0, 1.0)
    gamma_scale: tuple[float, float] = (0.0, 1.0)


PRIOR = Priors()
# E and gamma of the starting points, where 1 / C makes up for the rest of the loss; and gamma^A and gamma^B, as the
# joint law has a saddle where they are 0 and all C^A, or C^B, are the same.
STARTS = ((0.8, 0.1, -0.5), (0.8, 0.6, 0.5))
ONE_SIZE = "one model size only"
ONE_CHECKPOINT = "one checkpoint only"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class FittedAdditive(FittedLaw):
    """The additive law with its coefficients; made by `Additive.fit` or read by `mixlaw.laws.read`.

    Where a domain has no tokens and its gamma is below 1, the gradient by its proportion is minus infinity.
    """

    law: ClassVar[str] = "additive"
    formula: ClassVar[str] = "L_i(r, N, s) = E_i + 1 / sum_j C_ij r_j^gamma_ij + A_i / N^alpha_i + B_i / s^beta_i"

    def __post_init__(self) -> None:
        for domain in self.eval_domains:
            names = tuple(self.coefficients[domain])
            expected = _names(self.train_domains, self.law, "A" in names, "B" in names)
            if names != expected:
                raise InputError(
                    f"domain {domain!r}: {self.law} has the coefficients {', '.join(expected)}, not {', '.join(names)}"
                )

    @staticmethod
    def scale(name: str) -> Scale:
        """See `FittedLaw.scale`."""
        if name in ("gamma_A", "gamma_B"):
            return "real"
        return "positive" if name in ("alpha", "beta") else "log"  # A N0**-alpha is what the runs determine

    def predict(self, proportions: Proportions, *, at: npt.ArrayLike, params: float | None = None) -> Array:
        """See `FittedLaw.predict`."""
        return self._evaluate(proportions, at, params)[0]

    def gradient(self, proportions: Proportions, *, at: npt.ArrayLike, params: float | None = None) -> Array:
        """See `FittedLaw.gradient`."""
        return self._evaluate(proportions, at, params)[1]

    def _evaluate(self, proportions: Proportions, at: npt.ArrayLike, params: float | None) -> tuple[Array, Array]:
        """Losses, (q, e), and their derivatives, (q, e, m)."""
        r = self.to_array(proportions)
        s = self.positions(at, len(r))
        size = size_of(self, params)
        check_length(self, s)
        gamma, C = self._table("gamma"), self._table("C")
        shares = r[:, None, :]
        sums = np.sum(C * shares**gamma, axis=2)
        with np.errstate(divide="ignore"):
            slope = -C * gamma * shares ** (gamma - 1.0) / sums[:, :, None] ** 2
        losses = self._column("E") + 1.0 / sums
        if "B" in self._names:
            fall, fall_slope = self._falling("B", "beta", r, s)
            losses, slope = losses + fall, slope + fall_slope
        if "A" in self._names:
            fall, fall_slope = self._falling("A", "alpha", r, np.full(len(r), size))
            losses, slope = losses + fall, slope + fall_slope
        return np.asarray(losses), np.asarray(slope)

    def _falling(self, scale: str, exponent: str, r: Array, x: Array) -> tuple[Array, Array | float]:
        """A term in N or s at each x, (q, e), and its derivatives by the proportions."""
        return np.asarray(self._column(scale) * x[:, None] ** -self._column(exponent)), 0.0

    def _column(self, name: str) -> Array:
        """A coefficient of every evaluation domain, shape (e,)."""
        return np.array([self.coefficients[domain][name].value for domain in self.eval_domains])

    def _table(self, name: str) -> Array:
        """A coefficient of every evaluation and training domain, shape (e, m)."""
        return np.array([self._column(f"{name}/{domain}") for domain in self.train_domains]).T

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(self.coefficients[self.eval_domains[0]])


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class FittedJoint(FittedAdditive):
    """The joint law with its coefficients; made by `Joint.fit` or read by `mixlaw.laws.read`.

    Where a domain has no tokens and its gamma is below 1, the gradient by its proportion is minus infinity.
    """

    law: ClassVar[str] = "joint"
    formula: ClassVar[str] = (
        "L_i(r, N, s) = E_i + 1 / sum_j C_ij r_j^gamma_ij + A_i (sum_j C_A_ij r_j)^gamma_A_i / N^alpha_i "
        "+ B_i (sum_j C_B_ij r_j)^gamma_B_i / s^beta_i"
    )

    def _falling(self, scale: str, exponent: str, r: Array, x: Array) -> tuple[Array, Array | float]:
        fall, _ = super()._falling(scale, exponent, r, x)
        C, gamma = self._table(f"C_{scale}"), self._column(f"gamma_{scale}")
        sums = r @ C.T
        fall = fall * sums**gamma
        return fall, (fall * gamma / sums)[:, :, None] * C


def _names(train_domains: Sequence[str], law: str, size: bool, length: bool) -> tuple[str, ...]:
    """Coefficients of a law with a term in the model size, or in the length of training, or not."""
    names = ["E", *_by_domain("C", train_domains), *_by_domain("gamma", train_domains)]
    for there, scale, exponent in ((size, "A", "alpha"), (length, "B", "beta")):
        if there:
            names += [scale, exponent]
            if law == FittedJoint.law:
                names += [*_by_domain(f"C_{scale}", train_domains), f"gamma_{scale}"]
    return tuple(names)


def _by_domain(name: str, train_domains: Sequence[str]) -> list[str]:
    return [f"{name}/{domain}" for domain in train_domains]


class Additive:
    """The additive law, fitted to log losses under weak priors; see `Law`."""

    name: ClassVar[str] = FittedAdditive.law
    fitted: ClassVar[type[FittedLaw]] = FittedAdditive

    def fit(self, runs: RunTable, *, x: Axis = "tokens", seed: int = 0, robust: bool = False) -> FittedLaw:
        """See `Law.fit`; nothing is drawn, so `seed` changes nothing.

        With one model size there is no term in N, with one checkpoint none in s, and the law then predicts at that
        checkpoint alone. Standard errors are those of the posterior (Laplace).

        Raises
        ------
        FitError
            If there are one mixture only, two checkpoints only, or models of a known and of an unknown size.
        InputError
            If a row lacks `x`.
        """
        sizes = model_sizes(runs, self.name)
        used, notes = usable(runs, x, self.name)
        problem = _Problem(used, x, self.fitted)
        e = len(runs.eval_domains)
        pieces = fit_panel(
            [problem.model] * e, problem.y, used.run, problem.prior, [problem.starts] * e, BEND if robust else math.inf
        )
        notes += [*_size_notes(sizes), *prior_notes(used, pieces), *([ROBUST_NOTE] if robust else [])]
        named = dict(zip(runs.eval_domains, map(problem.coefficients, range(e), pieces), strict=True))
        law = self.fitted(
            **facts(runs, used, x, sizes),
            coefficients={domain: one[0] for domain, one in named.items()},
            covariance={domain: one[1] for domain, one in named.items()},
            quality={
                domain: domain_fit(losses, losses * np.exp(-piece.mode.residuals), used.run, piece.deviation)
                for domain, losses, piece in zip(runs.eval_domains, used.losses.T, pieces, strict=True)
            },
            spearman=None,
            notes=tuple(notes),
        )
        return replace(law, spearman=spearman_at_the_end(law, used))


class Joint(Additive):
    """The joint law, whose terms in model size and length of training depend on the mixture; see `Additive`."""

    name: ClassVar[str] = FittedJoint.law
    fitted: ClassVar[type[FittedLaw]] = FittedJoint


def _size_notes(sizes: tuple[float, ...]) -> list[str]:
    if len(sizes) < 2:
        return ["One model size: the term A / N^alpha is a part of E."]
    if len(sizes) == 2:
        return ["Two model sizes cannot tell A, alpha and E apart: what is said of other sizes rests on the priors."]
    return []


class _Term(NamedTuple):
    """A term in the model size or in the length of training.

    Attributes
    ----------
    at
        Where its parameters begin: log A, log alpha and, in the joint law, log C^A and gamma^A.
    log_unit
        log N0, or log s0.
    log_x
        log w, or log u, shape (n,).
    """

    at: int
    log_unit: float
    log_x: Array


class _Problem:
    """The runs in the units of the fit. Parameters stand in the order of the coefficients."""

    def __init__(self, runs: RunTable, x: Axis, fitted: type[FittedLaw]) -> None:
        self.fitted, self.joint = fitted, issubclass(fitted, FittedJoint)
        self.r = runs.proportions
        several = len(np.unique(runs.params)) > 1, not is_one_checkpoint(runs.x(x))
        self.names = _names(runs.train_domains, fitted.law, *several)
        m = len(runs.train_domains)
        self.trained = self.r > 0.0
        self.log_r = np.log(np.where(self.trained, self.r, 1.0))
        logs = np.log(runs.losses)
        self.log_l0 = logs.mean(axis=0)
        self.y = logs - self.log_l0
        self.terms = []
        for scale, values in (("A", runs.params), ("B", runs.x(x))):
            if scale in self.names:
                log_x = np.log(values)
                self.terms.append(_Term(self.names.index(scale), float(log_x.mean()), log_x - log_x.mean()))
        C = (PRIOR.C[0] - math.log(m), PRIOR.C[1])
        term = [PRIOR.falling, PRIOR.exponent]
        if self.joint:
            term += [*[PRIOR.C_scale] * m, PRIOR.gamma_scale]
        pairs = np.array([PRIOR.E, *[C] * m, *[PRIOR.gamma] * m, *term * len(self.terms)])
        self.prior = Prior(pairs[:, 0], pairs[:, 1])
        self.starts = np.array([self._start(*start) for start in STARTS])

    def _start(self, E: float, gamma: float, gamma_scale: float) -> Array:
        """The prior's mean but for the gammas and E, and for C, such that the loss of an even mixture is L0."""
        m = self.r.shape[1]
        start = self.prior.mean.copy()
        start[0], start[1 + m : 1 + 2 * m] = math.log(E), math.log(gamma)
        start[1 : 1 + m] = -math.log((1.0 - E) * m ** (1.0 - gamma))
        if self.joint:
            start[[term.at + 2 + m for term in self.terms]] = gamma_scale
        return start

    def model(self, theta: Array) -> tuple[Array, Array]:
        """log(L / L0), and its derivatives: of a logarithm of a sum, whose terms have shares p."""
        n, m = self.r.shape
        gamma = np.exp(theta[1 + m : 1 + 2 * m])
        parts = np.where(self.trained, theta[1 : 1 + m] + gamma * self.log_r, -np.inf)
        log_sum = np.logaddexp.reduce(parts, axis=1)
        logs = [np.full(n, theta[0]), -log_sum]
        J = np.zeros((n, len(theta)))
        for term in self.terms:
            rate = math.exp(theta[term.at + 1])
            log = theta[term.at] - rate * term.log_x
            J[:, term.at], J[:, term.at + 1] = 1.0, -rate * term.log_x
            if self.joint:
                k = term.at + 2
                C = np.exp(theta[k : k + m] - theta[k : k + m].mean())
                z, power = self.r @ C, theta[k + m]
                log = log + power * np.log(z)
                J[:, k : k + m] = power * (self.r * C / z[:, None] - 1.0 / m)
                J[:, k + m] = np.log(z)
            logs.append(log)
        f = np.logaddexp.reduce(logs, axis=0)
        shares = np.exp(np.array(logs) - f)
        within = np.exp(parts - log_sum[:, None])
        J[:, 0] = shares[0]
        J[:, 1 : 1 + m] = -shares[1, :, None] * within
        J[:, 1 + m : 1 + 2 * m] = -shares[1, :, None] * within * gamma * self.log_r
        for term, share in zip(self.terms, shares[2:], strict=True):
            end = term.at + (3 + m if self.joint else 2)
            J[:, term.at : end] *= share[:, None]
        return f, J

    def coefficients(self, i: int, piece: Piece) -> tuple[dict[str, Coefficient], Array]:
        """Coefficients of evaluation domain i in true units, and their covariance."""
        m, p = self.r.shape[1], len(self.names)
        values, change = piece.mode.theta.copy(), np.eye(p)
        values[0] += self.log_l0[i]
        values[1 : 1 + m] -= self.log_l0[i]
        for term in self.terms:
            rate = math.exp(values[term.at + 1])
            values[term.at] += rate * term.log_unit + self.log_l0[i]
            change[term.at, term.at + 1] = rate * term.log_unit
            if self.joint:
                k = slice(term.at + 2, term.at + 2 + m)
                values[k] -= values[k].mean()
                change[k, k] -= 1.0 / m
        logs = np.array([self.fitted.scale(name) != "real" for name in self.names])
        values[logs] = np.exp(values[logs])
        change[logs] *= values[logs, None]
        covariance = change @ piece.mode.covariance @ change.T
        errors = np.sqrt(np.diag(covariance)).tolist()
        named = zip(self.names, values.tolist(), errors, strict=True)
        return {name: Coefficient(value, error) for name, value, error in named}, covariance
