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

What the runs do not settle is a curved valley of the posterior: far along it E makes up for C, and C for gamma. A step
along its tangent leaves it, and laws with such coefficients predict losses that no run allows. Draws from the posterior
(`FittedAdditive.draws`) are therefore brought back to what they say of the runs' mixtures to first order.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from mixlaw.errors import InputError
from mixlaw.fitted import Array, Axis, Coefficient, FittedLaw, Proportions, Scale
from mixlaw.laws.additive_rows import Rows, brought_back
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
# Mixtures of the runs, at most, at which a draw from the posterior is brought back.
ANCHORS = 60


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

    def draws(self, count: int, *, seed: int = 0) -> list[Self]:
        """See `FittedLaw.draws`.

        The coefficients move on, no further than they have to, until the losses of the runs' mixtures are what they are
        to first order. So draws spread as `interval` has it, and not as far as coefficients that the runs leave open.
        """
        factors, rows = self._factors, self._anchors()
        z = np.random.default_rng(seed).normal(size=(count, len(factors), len(self._names)))
        coefficients: list[dict[str, dict[str, Coefficient]]] = [{} for _ in z]
        for i, (domain, factor) in enumerate(zip(self.eval_domains, factors, strict=True)):
            mine = self.coefficients[domain]
            theta, F = rows.parameters(np.array([one.value for one in mine.values()]), factor)
            for drawn, found in zip(coefficients, brought_back(rows, theta, F, _prior(rows).sd, z[:, i]), strict=True):
                values = zip(mine.items(), rows.coefficients(found).tolist(), strict=True)
                drawn[domain] = {name: one._replace(value=value) for (name, one), value in values}
        return [replace(self, coefficients=drawn) for drawn in coefficients]

    def _anchors(self) -> Rows:
        """Mixtures of the runs, at most `ANCHORS`, at every size and three lengths, where the law has terms in them."""
        mixtures = self.mixtures[:: max(1, math.ceil(len(self.mixtures) / ANCHORS))]
        sizes = self.sizes if "A" in self._names else (1.0,)
        lengths = np.geomspace(*self.x_range, 3) if "B" in self._names else (1.0,)
        which, N, s = (axis.ravel() for axis in np.meshgrid(np.arange(len(mixtures)), sizes, lengths))
        return Rows(mixtures[which], self._names, {"A": N, "B": s})

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
            [problem.rows.log_losses] * e,
            problem.y,
            used.run,
            problem.prior,
            [problem.starts] * e,
            BEND if robust else math.inf,
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


def _prior(rows: Rows) -> Prior:
    """`PRIOR` for the parameters of the rows."""
    m = rows.r.shape[1]
    C = (PRIOR.C[0] - math.log(m), PRIOR.C[1])
    term = [PRIOR.falling, PRIOR.exponent]
    if rows.joint:
        term += [*[PRIOR.C_scale] * m, PRIOR.gamma_scale]
    pairs = np.array([PRIOR.E, *[C] * m, *[PRIOR.gamma] * m, *term * len(rows.terms)])
    return Prior(pairs[:, 0], pairs[:, 1])


class _Problem:
    """The runs in the units of the fit. Parameters stand in the order of the coefficients."""

    def __init__(self, runs: RunTable, x: Axis, fitted: type[FittedLaw]) -> None:
        several = len(np.unique(runs.params)) > 1, not is_one_checkpoint(runs.x(x))
        self.names = _names(runs.train_domains, fitted.law, *several)
        self.rows = Rows(runs.proportions, self.names, {"A": runs.params, "B": runs.x(x)})
        self.m = len(runs.train_domains)
        logs = np.log(runs.losses)
        self.log_l0 = logs.mean(axis=0)
        self.y = logs - self.log_l0
        self.prior = _prior(self.rows)
        self.starts = np.array([self._start(*start) for start in STARTS])

    def _start(self, E: float, gamma: float, gamma_scale: float) -> Array:
        """The prior's mean but for the gammas and E, and for C, such that the loss of an even mixture is L0."""
        m = self.m
        start = self.prior.mean.copy()
        start[0], start[1 + m : 1 + 2 * m] = math.log(E), math.log(gamma)
        start[1 : 1 + m] = -math.log((1.0 - E) * m ** (1.0 - gamma))
        if self.rows.joint:
            start[[term.at + 2 + m for term in self.rows.terms]] = gamma_scale
        return start

    def coefficients(self, i: int, piece: Piece) -> tuple[dict[str, Coefficient], Array]:
        """Coefficients of evaluation domain i in true units, and their covariance."""
        theta, change = piece.mode.theta.copy(), np.eye(len(self.names))
        theta[0] += self.log_l0[i]
        theta[1 : 1 + self.m] -= self.log_l0[i]
        for term in self.rows.terms:
            theta[term.at] += self.log_l0[i]
            change[term.at, term.at + 1] = math.exp(theta[term.at + 1]) * term.log_unit
            if self.rows.joint:
                k = slice(term.at + 2, term.at + 2 + self.m)
                change[k, k] -= 1.0 / self.m
        values = self.rows.coefficients(theta)
        change[self.rows.logs] *= values[self.rows.logs, None]
        covariance = change @ piece.covariance @ change.T
        errors = np.sqrt(np.diag(covariance)).tolist()
        named = zip(self.names, values.tolist(), errors, strict=True)
        return {name: Coefficient(value, error) for name, value, error in named}, covariance
