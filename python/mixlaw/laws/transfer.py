"""The transfer law: a domain's loss from what all domains contribute to it, fitted as a posterior mode.

    L_i(r, s) = (B_i / s**beta_i + C_i) / (sum_j T_ij r_j)**alpha_i,    T >= 0, T_ii = 1

symbol    meaning                                                             shape    unit
n         checkpoints                                                         -        -
m, e      training and evaluation domains                                     -        -
r         proportions                                                         (n, m)   share of training tokens
s         length of training                                                  (n,)     tokens or steps
L         validation losses of a domain                                       (n,)     nats per token
T_ij      how much a token of domain j counts for the loss of domain i        (e, m)   tokens of i
z         sum_j T_ij r_j, the share of training tokens in tokens of i         (n,)     -
alpha     how fast more of them lower the loss                                (e,)     -
B, beta   the part of the loss that training removes                          (e,)     nats per token * s**beta, -
C         the part that it does not                                           (e,)     nats per token
mu, tau   mean and spread of log T over all pairs of domains                  -        -

BiMix is T_ij = 0. With T > 0 the law has a value at r_i = 0, and for a domain that is not trained on, whose T_ii does
not exist: the scale of its row is then shared with B and C, and settled by the prior.

A few runs cannot determine m coefficients a domain, so all are fitted under priors (`PRIOR`), whose mean and spread are
themselves estimated from all domains together: empirical Bayes, by EM with Laplace's approximation. Where runs say
nothing of a pair of domains, T_ij stays what it is between other pairs. In u = s / s0 and L / L0, where s0 and L0 are
geometric means, the parameters of a domain are theta = (log b, log beta, log c, log alpha, log T_ij ...):

    log(L / L0) = log(b u**-beta + c) - alpha log z,    b = B s0**-beta / L0,    c = C / L0

Checkpoints of a run share a part of their deviation from the law. The variance of that part and of the rest are
estimated too, and residuals are whitened accordingly (the random effects of panel data).
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from mixlaw.errors import InputError
from mixlaw.fitted import Array, Axis, Coefficient, DomainFit, FittedLaw, PowerTerms, Proportions
from mixlaw.laws.checks import check_question, is_one_checkpoint, one_size, spearman_at_the_end, usable
from mixlaw.laws.goodness import goodness
from mixlaw.laws.posterior import Mode, maximize_posterior
from mixlaw.runs import RunTable

CURVE = ("B", "beta", "C", "alpha")
ONE_CHECKPOINT = "one checkpoint only"
# Rounds of EM: the priors change little after the first few.
ROUNDS = 12


class Prior(NamedTuple):
    """What is believed before any run: means and standard deviations of logarithms.

    Counts say how many domains, or pairs of domains, a belief about a mean and one about a spread count for.

    Attributes
    ----------
    b, beta, c
        Of the curve of training, where s and L are divided by their geometric means; these are not estimated.
    alpha, T
        Of log alpha over domains, and log T over pairs of domains.
    alpha_counts, T_counts
        Weight of their mean and of their spread.
    noise
        Standard deviation of the log loss between runs, and between checkpoints of a run.
    noise_counts
        Weight of these.
    """

    b: tuple[float, float] = (math.log(0.3), 2.0)
    beta: tuple[float, float] = (math.log(0.3), 1.0)
    c: tuple[float, float] = (math.log(0.7), 1.5)
    alpha: tuple[float, float] = (math.log(0.08), 0.5)
    T: tuple[float, float] = (-5.0, 1.5)
    alpha_counts: tuple[float, float] = (2.0, 6.0)
    T_counts: tuple[float, float] = (50.0, 50.0)
    noise: float = 0.005
    noise_counts: float = 4.0


PRIOR = Prior()


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class FittedTransfer(FittedLaw):
    """The transfer law with its coefficients; made by `Transfer.fit` or read by `mixlaw.laws.read`."""

    law: ClassVar[str] = "transfer"
    formula: ClassVar[str] = "L_i(r, s) = (B_i / s^beta_i + C_i) / (sum_j T_ij r_j)^alpha_i"

    def __post_init__(self) -> None:
        expected = (*CURVE, *map(_transfer, self.train_domains))
        for domain in self.eval_domains:
            if tuple(self.coefficients[domain]) != expected:
                raise InputError(
                    f"domain {domain!r}: transfer has the coefficients {', '.join(expected)}, "
                    f"not {', '.join(self.coefficients[domain])}"
                )

    def predict(self, proportions: Proportions, *, at: npt.ArrayLike, params: float | None = None) -> Array:
        """See `FittedLaw.predict`."""
        shares = self.to_array(proportions)
        scale, z = self._parts(shares, at, params)
        return np.asarray(scale * z**-self._alpha)

    def gradient(self, proportions: Proportions, *, at: npt.ArrayLike, params: float | None = None) -> Array:
        """See `FittedLaw.gradient`."""
        shares = self.to_array(proportions)
        scale, z = self._parts(shares, at, params)
        slope = -self._alpha * scale * z ** (-self._alpha - 1.0)
        return np.asarray(slope[:, :, None] * self._matrix)

    def power_terms(self, *, at: float, params: float | None = None) -> PowerTerms:
        """See `FittedLaw.power_terms`: the transfer law has such terms."""
        scale, _ = self._parts(np.full((1, len(self.train_domains)), 1.0 / len(self.train_domains)), at, params)
        return PowerTerms(self._matrix, self._alpha, scale[0])

    def _parts(self, shares: Array, at: npt.ArrayLike, params: float | None) -> tuple[Array, Array]:
        """B / s**beta + C and z, each of shape (q, e)."""
        s = self.positions(at, len(shares))
        check_question(self, s, params)
        B, beta, C, _ = self._curve
        return B * s[:, None] ** -beta + C, shares @ self._matrix.T

    @cached_property
    def _curve(self) -> Array:
        """Coefficients, shape (4, e), in the order of `CURVE` and `eval_domains`."""
        return np.array([[self.coefficients[domain][name].value for domain in self.eval_domains] for name in CURVE])

    @property
    def _alpha(self) -> Array:
        return np.asarray(self._curve[3])

    @cached_property
    def _matrix(self) -> Array:
        """T, shape (e, m)."""
        names = list(map(_transfer, self.train_domains))
        return np.array([[self.coefficients[domain][name].value for name in names] for domain in self.eval_domains])


def _transfer(domain: str) -> str:
    return f"T/{domain}"


class Transfer:
    """The transfer law, fitted to log losses under estimated priors; see `Law`."""

    name: ClassVar[str] = FittedTransfer.law
    fitted: ClassVar[type[FittedLaw]] = FittedTransfer

    def fit(self, runs: RunTable, *, x: Axis = "tokens", seed: int = 0) -> FittedTransfer:
        """See `Law.fit`; nothing is drawn, so `seed` changes nothing.

        With one checkpoint only, B and beta are left out and the law predicts at that checkpoint alone. Standard errors
        are those of the posterior (Laplace), given the estimated priors.

        Raises
        ------
        FitError
            If there are several model sizes, one mixture only, or two checkpoints only.
        InputError
            If a row lacks `x`.
        """
        params = one_size(runs, self.name)
        used, notes = usable(runs, x, self.name)
        problem = _Problem(used, x)
        modes, beliefs = _estimate(problem)
        stopped = [domain for domain, mode in zip(runs.eval_domains, modes, strict=True) if not mode.converged]
        if stopped:
            notes.append(f"The optimiser stopped before it converged: {', '.join(stopped)}.")
        notes += _notes(problem, beliefs)
        pieces = [_piece(problem, i, mode) for i, mode in enumerate(modes)]
        s = used.x(x)
        law = FittedTransfer(
            train_domains=runs.train_domains,
            eval_domains=runs.eval_domains,
            x=x,
            x_range=(float(s.min()), float(s.max())),
            params=params,
            fingerprint=runs.fingerprint(),
            coefficients={domain: piece[0] for domain, piece in zip(runs.eval_domains, pieces, strict=True)},
            covariance={domain: piece[1] for domain, piece in zip(runs.eval_domains, pieces, strict=True)},
            quality={domain: piece[2] for domain, piece in zip(runs.eval_domains, pieces, strict=True)},
            spearman=None,
            notes=tuple(notes),
        )
        return replace(law, spearman=spearman_at_the_end(law, used))


class _Problem:
    """The runs in the units of the fit.

    Parameters of a domain stand in the order log b, log beta, log c, log alpha, log T of the other domains; with one
    checkpoint the first two are absent.
    """

    def __init__(self, runs: RunTable, x: Axis) -> None:
        s = runs.x(x)
        self.runs, self.r = runs, runs.proportions
        self.one_checkpoint = is_one_checkpoint(s)
        self.log_s0 = float(np.log(s).mean())
        self.log_u = np.log(s) - self.log_s0
        logs = np.log(runs.losses)
        self.log_l0 = logs.mean(axis=0)
        self.y = logs - self.log_l0
        _, self.group, self.size = np.unique(runs.run, return_inverse=True, return_counts=True)
        self.curve = 0 if self.one_checkpoint else 2  # how many parameters stand before log c
        m = len(runs.train_domains)
        own = [runs.train_domains.index(d) if d in runs.train_domains else -1 for d in runs.eval_domains]
        self.others = [np.flatnonzero(np.arange(m) != j) for j in own]

    def model(self, i: int, theta: Array) -> tuple[Array, Array]:
        """log(L / L0) of evaluation domain i, and its derivatives."""
        others, k = self.others[i], self.curve
        T = np.ones(self.r.shape[1])
        T[others] = np.exp(theta[k + 2 :])
        parts = self.r * T
        z = parts.sum(axis=1)
        alpha, log_z = math.exp(theta[k + 1]), np.log(z)
        J = np.empty((len(z), len(theta)))
        if self.one_checkpoint:
            f = np.full(len(z), theta[0])
            J[:, 0] = 1.0
        else:
            beta = math.exp(theta[1])
            log_falling = theta[0] - beta * self.log_u
            f = np.logaddexp(log_falling, theta[2])
            falling = np.exp(log_falling - f)
            J[:, 0], J[:, 1], J[:, 2] = falling, -falling * beta * self.log_u, 1.0 - falling
        J[:, k + 1] = -alpha * log_z
        J[:, k + 2 :] = -alpha * parts[:, others] / z[:, None]
        return f - alpha * log_z, J

    def run_means(self, values: Array) -> Array:
        """Means over the checkpoints of every run, of an array of shape (n,) or (n, p)."""
        sums = np.zeros((len(self.size), *values.shape[1:]))
        np.add.at(sums, self.group, values)
        return np.asarray((sums.T / self.size).T)


class _Beliefs(NamedTuple):
    """The estimated part of the prior: of log alpha and log T, and variances of runs and checkpoints, shape (e,)."""

    alpha: tuple[float, float]
    T: tuple[float, float]
    run: Array
    row: Array


def _estimate(problem: _Problem) -> tuple[list[Mode], _Beliefs]:
    """Alternate between the modes of all domains under beliefs, and beliefs under the modes."""
    e = len(problem.others)
    beliefs = _Beliefs(PRIOR.alpha, PRIOR.T, np.full(e, PRIOR.noise**2), np.full(e, PRIOR.noise**2))
    starts = [_prior(problem, i, beliefs)[0] for i in range(e)]
    for _ in range(ROUNDS):
        modes = [_mode(problem, i, beliefs, start) for i, start in enumerate(starts)]
        starts = [mode.theta for mode in modes]
        beliefs = _update(problem, modes)
    return modes, beliefs


def _prior(problem: _Problem, i: int, beliefs: _Beliefs) -> tuple[Array, Array]:
    """Means and precisions of the parameters of evaluation domain i."""
    curve = [PRIOR.c] if problem.one_checkpoint else [PRIOR.b, PRIOR.beta, PRIOR.c]
    pairs = np.array([*curve, beliefs.alpha, *[beliefs.T] * len(problem.others[i])])
    return pairs[:, 0], pairs[:, 1] ** -2.0


def _mode(problem: _Problem, i: int, beliefs: _Beliefs, start: Array) -> Mode:
    run, row = beliefs.run[i], beliefs.row[i]
    # A run of one checkpoint has one deviation, of both variances; of k, what is left of its mean has variance 1.
    shrink = 1.0 - np.sqrt(row / (row + problem.size * run))

    def whiten(values: Array) -> Array:
        means = (problem.run_means(values).T * shrink).T
        return np.asarray((values - means[problem.group]) / math.sqrt(row))

    mean, precision = _prior(problem, i, beliefs)
    return maximize_posterior(lambda theta: problem.model(i, theta), problem.y[:, i], whiten, mean, precision, start)


def _update(problem: _Problem, modes: list[Mode]) -> _Beliefs:
    """Expected means and spreads under the posteriors, each drawn towards `PRIOR` by its counts."""
    at = problem.curve + 1
    alphas = np.array([(mode.theta[at], mode.covariance[at, at]) for mode in modes])
    transfers = np.concatenate(
        [np.column_stack([mode.theta, np.diag(mode.covariance)])[at + 1 :] for mode in modes], axis=0
    )
    squares = np.array([_squares(problem, mode) for mode in modes])  # within and between runs, (e, 2)
    n, groups = len(problem.y), len(problem.size)
    counts = np.array([n - groups, groups], dtype=np.float64)
    prior, weight = PRIOR.noise**2, PRIOR.noise_counts
    pooled = (weight * prior + squares.sum(axis=0)) / (weight + len(modes) * counts)
    within, between = ((weight * pooled + squares) / (weight + counts)).T
    if n == groups:
        within = 0.5 * between  # what one checkpoint a run cannot tell apart
    run = np.maximum(between - within * float((1.0 / problem.size).mean()), 1e-4 * within)
    return _Beliefs(
        _drawn(alphas, PRIOR.alpha, PRIOR.alpha_counts), _drawn(transfers, PRIOR.T, PRIOR.T_counts), run, within
    )


def _squares(problem: _Problem, mode: Mode) -> tuple[float, float]:
    """Expected sums of squares of residuals within runs, and of their means over runs."""
    spread = np.linalg.cholesky(mode.covariance)
    # Columns whose squares add up to the variance of a residual under the posterior.
    errors = np.column_stack([mode.residuals, mode.jacobian @ spread])
    means = problem.run_means(errors)
    within = errors - means[problem.group]
    return float(np.sum(within**2)), float(np.sum(means**2))


def _drawn(values: Array, prior: tuple[float, float], counts: tuple[float, float]) -> tuple[float, float]:
    """Mean and spread of parameters of which the modes and variances are known, shape (k, 2)."""
    modes, variances = values.T
    mean = (counts[0] * prior[0] + modes.sum()) / (counts[0] + len(modes))
    square = counts[1] * prior[1] ** 2 + np.sum((modes - mean) ** 2 + variances)
    return float(mean), math.sqrt(square / (counts[1] + len(modes)))


def _notes(problem: _Problem, beliefs: _Beliefs) -> list[str]:
    (alpha, alpha_sd), (T, T_sd) = beliefs.alpha, beliefs.T
    runs = problem.runs
    notes = [
        "Fitted under priors; standard errors are those of the posterior. Estimated from all domains: "
        f"log alpha {alpha:.2f} ± {alpha_sd:.2f}, log T {T:.2f} ± {T_sd:.2f}; deviation of a run "
        f"{math.sqrt(np.median(beliefs.run)):.2g} and of a checkpoint {math.sqrt(np.median(beliefs.row)):.2g} "
        "of the loss (medians)."
    ]
    untrained = [domain for domain in runs.eval_domains if domain not in runs.train_domains]
    if untrained:
        notes.append(
            f"Not trained on: {', '.join(untrained)}. The scale of their T is settled by the prior alone: compare T "
            "within a row, not between rows."
        )
    constant = np.ptp(problem.r, axis=0) <= 1e-9
    if constant.any():
        names = ", ".join(domain for domain, fixed in zip(runs.train_domains, constant, strict=True) if fixed)
        notes.append(f"No run varies the proportion of {names}: what is said of it is the prior's.")
    return notes


def _piece(problem: _Problem, i: int, mode: Mode) -> tuple[dict[str, Coefficient], Array, DomainFit]:
    """Coefficients of evaluation domain i in true units, their covariance, and the quality of the fit."""
    runs, others, k = problem.runs, problem.others[i], problem.curve
    names = [*CURVE, *map(_transfer, runs.train_domains)]
    # theta -> logarithms of the coefficients is linear but for B, which takes s0**beta with it.
    place = [*([0, 1] if k else []), 2, 3, *(len(CURVE) + others)]
    logs = np.zeros(len(names))
    logs[place] = mode.theta
    logs[2] += problem.log_l0[i]
    change = np.zeros((len(names), len(mode.theta)))
    change[place, range(len(place))] = 1.0
    values = np.exp(logs)
    notes = [""] * len(names)
    if k:
        values[0] *= math.exp(values[1] * problem.log_s0 + problem.log_l0[i])
        change[0, 1] = values[1] * problem.log_s0
    else:
        values[:2], notes[:2] = 0.0, [ONE_CHECKPOINT] * 2
    fixed = sorted(set(range(len(names))) - set(place))
    covariance = (change * values[:, None]) @ mode.covariance @ (change * values[:, None]).T
    covariance[fixed], covariance[:, fixed] = np.nan, np.nan
    for j in fixed:
        notes[j] = notes[j] or "fixed"
    errors = np.sqrt(np.diag(covariance))
    losses = runs.losses[:, i]
    freedom = len(losses) - mode.settled
    quality = DomainFit(
        rows=len(losses),
        runs=len(problem.size),
        left_out=0,
        residual_sd=math.sqrt(float(np.sum(mode.residuals**2)) / freedom) if freedom > 0.0 else None,
        **goodness(losses, losses * np.exp(-mode.residuals))._asdict(),
    )
    named = zip(names, values.tolist(), errors.tolist(), notes, strict=True)
    return {name: Coefficient(value, error, note) for name, value, error, note in named}, covariance, quality
