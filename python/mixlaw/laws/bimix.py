"""BiMix (Ge et al., arXiv 2405.14908): each domain's loss from its own proportion and the length of training.

    L_i(r_i, s) = A_i / r_i**alpha_i * (B_i / s**beta_i + C_i),    A_i, B_i, C_i, alpha_i, beta_i >= 0

symbol   meaning                                           shape  unit
n        checkpoints that enter a domain's fit             -      -
r        proportions of the domain                         (n,)   share of training tokens
s        length of training                                (n,)   tokens or steps
L        validation losses of the domain                   (n,)   nats per token
alpha    how fast more data of the domain lowers its loss  -      -
B, beta  the part of the loss that training removes        -      nats per token * s**beta, -
C        the part that it does not                         -      nats per token

A only multiplies B and C, so it is 1 here, and four coefficients are fitted. The fit works in u = s / s0, v = r / r0
and L / L0, where s0, r0 and L0 are geometric means, with theta = (alpha, b, beta, c):

    log(L / L0) = log(b u**-beta + c) - alpha log v,    b = B s0**-beta r0**-alpha / L0,    c = C r0**-alpha / L0

by least squares, or with `robust` by Huber's loss, as least squares whose weights w are found anew until they settle.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from mixlaw.errors import FitError, InputError, did_you_mean
from mixlaw.fitted import Array, Axis, Coefficient, DomainFit, FittedLaw, Proportions, Scale, SeparableTerms
from mixlaw.laws.checks import (
    check_checkpoints,
    check_question,
    facts,
    is_one_checkpoint,
    one_size,
    spearman_at_the_end,
    stopped_note,
    usable,
)
from mixlaw.laws.goodness import domain_fit
from mixlaw.laws.least_squares import Minimum, jackknife_covariance, minimize
from mixlaw.laws.robust import ROBUST_NOTE, reweighted
from mixlaw.mixture import EXACT
from mixlaw.runs import RunTable

COEFFICIENTS = ("A", "B", "C", "alpha", "beta")
# Far above any exponent that was ever observed; keeps B finite in every unit of s.
LARGEST_EXPONENT = 10.0
# Of theta.
BOUNDS = (np.zeros(4), np.array([LARGEST_EXPONENT, np.inf, LARGEST_EXPONENT, np.inf]))
# The optimiser wants to start strictly inside the bounds.
INSIDE = 1e-2
RANDOM_STARTS = 3

A_IS_FIXED = (
    "A is fixed at 1, as it only multiplies B and C; the standard errors are those of the other four, "
    "from a jackknife over runs."
)
AT_ZERO = "at its bound 0"
AT_LARGEST = f"at its bound {LARGEST_EXPONENT:g}"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class FittedBiMix(FittedLaw):
    """BiMix with its coefficients; made by `BiMix.fit` or read by `mixlaw.laws.read`.

    A prediction is infinite where the mixture gives the domain no tokens, and its gradient there minus infinity.
    """

    law: ClassVar[str] = "bimix"
    formula: ClassVar[str] = "L_i(r, s) = A_i / r_i^alpha_i * (B_i / s^beta_i + C_i)"

    def __post_init__(self) -> None:
        trained = set(self.train_domains)
        for domain in self.eval_domains:
            if domain not in trained:
                raise InputError(f"evaluation domain {domain!r} is no training domain, which bimix needs")
            if tuple(self.coefficients[domain]) != COEFFICIENTS:
                raise InputError(
                    f"domain {domain!r}: bimix has the coefficients {', '.join(COEFFICIENTS)}, "
                    f"not {', '.join(self.coefficients[domain])}"
                )

    @staticmethod
    def scale(name: str) -> Scale:
        """See `FittedLaw.scale`."""
        return "log" if name in ("B", "C") else "positive"

    def predict(self, proportions: Proportions, *, at: npt.ArrayLike, params: float | None = None) -> Array:
        """See `FittedLaw.predict`."""
        shares = self.to_array(proportions)
        terms = self._terms(self.positions(at, len(shares)), params)
        own = shares[:, terms.domain]
        with np.errstate(divide="ignore"):
            return np.where(own > 0.0, terms.scale * own**-terms.alpha, np.inf)

    def gradient(self, proportions: Proportions, *, at: npt.ArrayLike, params: float | None = None) -> Array:
        """See `FittedLaw.gradient`."""
        shares = self.to_array(proportions)
        terms = self._terms(self.positions(at, len(shares)), params)
        own = shares[:, terms.domain]
        gradient = np.zeros((*own.shape, shares.shape[1]))
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = np.where(own > 0.0, -terms.alpha * terms.scale * own ** (-terms.alpha - 1.0), -np.inf)
        gradient[:, np.arange(len(terms.domain)), terms.domain] = slope
        return gradient

    def separable(self, *, at: float, params: float | None = None) -> SeparableTerms:
        """See `FittedLaw.separable`: BiMix is."""
        terms = self._terms(self.positions(at, 1), params)
        return SeparableTerms(terms.domain, terms.alpha, terms.scale[0])

    def _terms(self, s: Array, params: float | None) -> SeparableTerms:
        """Terms at each s of shape (q,); their scale has the shape (q, e)."""
        check_question(self, s, params)
        A, B, C, alpha, beta = self._values
        return SeparableTerms(self._trained, alpha, A * (B * s[:, None] ** -beta + C))

    @cached_property
    def _trained(self) -> npt.NDArray[np.intp]:
        """Position of each evaluation domain among the training domains, shape (e,)."""
        position = {domain: j for j, domain in enumerate(self.train_domains)}
        return np.array([position[domain] for domain in self.eval_domains], dtype=np.intp)

    @cached_property
    def _values(self) -> Array:
        """Coefficients, shape (5, e), in the order of `COEFFICIENTS` and `eval_domains`."""
        return np.array(
            [[self.coefficients[domain][name].value for domain in self.eval_domains] for name in COEFFICIENTS]
        )


class BiMix:
    """The law of the BiMix paper, fitted by domain to log losses with Trust Region Reflective; see `Law`."""

    name: ClassVar[str] = FittedBiMix.law
    fitted: ClassVar[type[FittedLaw]] = FittedBiMix

    def fit(self, runs: RunTable, *, x: Axis = "tokens", seed: int = 0, robust: bool = False) -> FittedBiMix:
        """See `Law.fit`.

        With one checkpoint only, B and beta are left out and the law predicts at that checkpoint alone.

        Raises
        ------
        FitError
            If there are several model sizes, one mixture only, two checkpoints only, an evaluation domain that is not
            trained on, or a domain whose proportion never changes or that has fewer rows than coefficients.
        InputError
            If a row lacks `x`.
        """
        sizes = one_size(runs, self.name)
        _check_trained(runs)
        used, notes = usable(runs, x, self.name)
        notes.insert(0, A_IS_FIXED)
        if robust:
            notes.append(ROBUST_NOTE)
        pieces = {domain: _fit_domain(used, domain, x, seed, robust) for domain in used.eval_domains}
        notes += stopped_note(used.eval_domains, [piece.converged for piece in pieces.values()])
        without = [domain for domain, piece in pieces.items() if piece.quality.left_out]
        if without:
            every = np.all(used.proportions[:, [used.train_domains.index(d) for d in used.eval_domains]] > 0.0, axis=1)
            notes.append(
                "Rows without tokens of a domain are left out of its fit, and a prediction for such a mixture is "
                f"infinite: {', '.join(without)}. The Spearman correlation is over the {len(set(used.run[every]))} of "
                f"{len(used.runs)} runs that train on every domain."
            )
        law = FittedBiMix(
            **facts(runs, used, x, sizes),
            coefficients={domain: piece.coefficients for domain, piece in pieces.items()},
            covariance={domain: piece.covariance for domain, piece in pieces.items()},
            quality={domain: piece.quality for domain, piece in pieces.items()},
            spearman=None,
            notes=tuple(notes),
        )
        return replace(law, spearman=spearman_at_the_end(law, used))


class _Solution(NamedTuple):
    """theta of one domain, which of it is free, and why the rest is not."""

    theta: Array
    free: npt.NDArray[np.bool_]
    notes: list[str]
    converged: bool


class _Piece(NamedTuple):
    """The fit of one domain."""

    coefficients: dict[str, Coefficient]
    covariance: Array
    quality: DomainFit
    converged: bool


def _fit_domain(runs: RunTable, domain: str, x: Axis, seed: int, robust: bool) -> _Piece:
    """Fit (alpha, B, beta, C), or (alpha, C) of one checkpoint, to the rows with tokens of one domain."""
    own = runs.proportions[:, runs.train_domains.index(domain)]
    rows = own > 0.0
    r, s, run = own[rows], runs.x(x)[rows], runs.run[rows]
    losses = runs.losses[rows, runs.eval_domains.index(domain)]
    one_checkpoint = is_one_checkpoint(runs.x(x))
    _check_domain(domain, r, s, x, one_checkpoint)
    log_s0, log_r0, log_l0 = np.log(s).mean(), np.log(r).mean(), np.log(losses).mean()
    log_u, log_v, log_l = np.log(s) - log_s0, np.log(r) - log_r0, np.log(losses) - log_l0

    def residuals(theta: Array) -> Array:
        alpha, b, beta, c = theta
        return np.asarray(np.log(b * np.exp(-beta * log_u) + c) - alpha * log_v - log_l)

    def jacobian(theta: Array) -> Array:
        _, b, beta, c = theta
        power = np.exp(-beta * log_u)
        inner = b * power + c
        return np.column_stack([-log_v, power / inner, -b * log_u * power / inner, 1.0 / inner])

    starts = _starts(log_u, log_v, log_l, seed)

    def solve(weights: Array) -> tuple[_Solution, Array]:
        nonlocal starts
        if one_checkpoint:
            solution = _line(log_v, log_l, weights)
        else:
            root = np.sqrt(weights)
            found = minimize(lambda t: root * residuals(t), lambda t: root[:, None] * jacobian(t), starts, *BOUNDS)
            solution = _settled(found)
            # With other weights the minimum is near.
            starts = np.clip(solution.theta, INSIDE, LARGEST_EXPONENT - INSIDE)[None]
        return solution, residuals(solution.theta)

    (theta, free, notes, converged), errors, weights = reweighted(solve, len(r), robust)
    covariance = np.full((4, 4), np.nan)
    root = np.sqrt(weights)
    estimate = jackknife_covariance(root[:, None] * jacobian(theta)[:, free], root * errors, run)
    if isinstance(estimate, str):
        notes = [note or estimate for note in notes]
    else:
        covariance[np.ix_(free, free)] = estimate
    values, covariance = _in_true_units(theta, covariance, log_s0, log_r0, log_l0)
    freedom = len(r) - int(free.sum())
    return _Piece(
        *_named(values, covariance, notes),
        domain_fit(
            losses,
            losses * np.exp(errors),
            run,
            math.sqrt(float(weights @ errors**2) / freedom) if freedom > 0 else None,
            left_out=len(own) - len(r),
        ),
        converged,
    )


def _line(log_v: Array, log_l: Array, weights: Array) -> _Solution:
    """The straight line log(L / L0) = log c - alpha log v, for one checkpoint."""
    mean_v, mean_l = np.average(log_v, weights=weights), np.average(log_l, weights=weights)
    v = log_v - mean_v
    alpha = max(0.0, -float((weights * v) @ (log_l - mean_l)) / float(weights @ v**2))
    theta, free = (
        np.array([alpha, 0.0, 0.0, math.exp(mean_l + alpha * mean_v)]),
        np.array([alpha > 0.0, False, False, True]),
    )
    return _Solution(theta, free, ["" if alpha > 0.0 else AT_ZERO, *["one checkpoint only"] * 2, ""], True)


def _settled(found: Minimum) -> _Solution:
    """What a minimum says of the coefficients at its bounds."""
    theta, free = found.theta.copy(), found.free.copy()
    notes = ["" if loose else AT_LARGEST if value else AT_ZERO for value, loose in zip(theta, free, strict=True)]
    _, b, beta, _ = theta
    if b == 0.0:
        theta[2], free[2], notes[2] = 0.0, False, "not identified, as B is 0"
    elif beta == 0.0:
        theta[1], theta[3], free[1], free[3] = 0.0, b + theta[3], False, True
        notes[1], notes[3] = "part of C, as beta is 0", ""
    return _Solution(theta, free, notes, found.converged)


def _starts(log_u: Array, log_v: Array, log_l: Array, seed: int) -> Array:
    """Starting points, shape (3 + RANDOM_STARTS, 4): exponents, each with the best b and c for them."""
    from scipy.optimize import nnls

    # The same draws for every domain, so that the order of the domains changes nothing.
    draws = np.random.default_rng(seed).uniform(size=(RANDOM_STARTS, 2))
    alphas = [0.05, 0.05, 0.05, *(0.005 * 200.0 ** draws[:, 0])]
    betas = [0.1, 0.5, 5.0, *(0.03 * 250.0 ** draws[:, 1])]
    starts = []
    for alpha, beta in zip(alphas, betas, strict=True):
        power, level = np.exp(-beta * log_u), np.exp(-alpha * log_v - log_l)
        b, c = nnls(np.column_stack([power * level, level]), np.ones(len(level)))[0]
        starts.append([alpha, max(b, INSIDE), beta, max(c, INSIDE)])
    return np.array(starts)


def _in_true_units(theta: Array, covariance: Array, log_s0: float, log_r0: float, log_l0: float) -> tuple[Array, Array]:
    """(alpha, B, beta, C) and their covariance, NaN where there is none, from theta = (alpha, b, beta, c)."""
    alpha, b, beta, c = theta
    level = math.exp(log_l0 + alpha * log_r0)
    unit = level * math.exp(beta * log_s0)
    change = np.array(
        [
            [1.0, 0.0, 0.0, 0.0],
            [b * unit * log_r0, unit, b * unit * log_s0, 0.0],
            [0.0, 0.0, 1.0, 0.0],
            [c * level * log_r0, 0.0, 0.0, level],
        ]
    )
    known = ~np.isnan(np.diag(covariance))
    moved = change @ np.nan_to_num(covariance) @ change.T
    return np.array([alpha, b * unit, beta, c * level]), np.where(np.outer(known, known), moved, np.nan)


def _named(values: Array, covariance: Array, notes: list[str]) -> tuple[dict[str, Coefficient], Array]:
    """From (alpha, B, beta, C) to the five of `COEFFICIENTS`."""
    order = [1, 3, 0, 2]
    errors = np.sqrt(np.diag(covariance))
    coefficients = {"A": Coefficient(1.0, note="fixed")}
    for name, k in zip(COEFFICIENTS[1:], order, strict=True):
        coefficients[name] = Coefficient(float(values[k]), float(errors[k]), notes[k])
    whole = np.full((5, 5), np.nan)
    whole[1:, 1:] = covariance[np.ix_(order, order)]
    return coefficients, whole


def _check_trained(runs: RunTable) -> None:
    untrained = [domain for domain in runs.eval_domains if domain not in runs.train_domains]
    if untrained:
        raise FitError(
            f"bimix needs the proportion of every evaluation domain, and {', '.join(map(repr, untrained))} is not "
            f"trained on{did_you_mean(untrained[0], runs.train_domains)}; to fit the others leave its loss out: "
            "RunTable.read(..., columns={'<its column>': None}), or `mixlaw fit --without <its column>`"
        )


def _check_domain(domain: str, r: Array, s: Array, x: str, one_checkpoint: bool) -> None:
    """Refuse a domain whose rows cannot identify its coefficients."""
    if not len(r):
        raise FitError(f"domain {domain!r}: no run gives it any tokens, so its law cannot be determined")
    if np.ptp(r) <= EXACT:
        raise FitError(
            f"domain {domain!r}: its proportion is {r[0]:.6g} in every run that trains on it, so alpha cannot be "
            "determined: add runs with other proportions of it, or leave its loss out"
        )
    needed = 2 if one_checkpoint else 4
    if len(r) < needed:
        raise FitError(f"domain {domain!r}: {len(r)} rows cannot determine {needed} coefficients: add checkpoints")
    if not one_checkpoint:
        where = f"domain {domain!r}: the runs that train on it have"
        if is_one_checkpoint(s):
            raise FitError(f"{where} one checkpoint only, while others have more: add checkpoints")
        check_checkpoints(where, s, x)
