"""How the transfer law is fitted: the mode of a posterior whose priors are estimated from all domains together.

symbol         meaning                                                              shape   unit
n, k           checkpoints and runs                                                 -       -
m, e           training and evaluation domains                                      -       -
mu             mean of log T over all pairs of domains                              -       -
sigma          spread of what T_ij and T_ji have in common                          -       -
tau            spread of log T_ij about that                                        -       -
v              variance of the log loss of a run about the law, by domain           (e,)    -

In u = s / s0, w = N / N0 and L / L0, where s0, N0 and L0 are geometric means, the parameters of a domain are
theta = (log b, log beta, log a, log nu, log c, log alpha, logit rho, gamma, log T_ij ...):

    log(L / L0) = log(b u**-beta + a w**-nu + c) - alpha u**gamma log z,
    b = B s0**-beta / L0,    a = A N0**-nu / L0,    c = C / L0

Priors are normal. Those of the curve are broad and fixed (`PRIOR`); the mean and spread of log alpha and of logit rho,
mu, sigma and tau, and the variance of runs and checkpoints, are estimated: empirical Bayes, by EM with Laplace's
approximation.

A pair of domains is alike or not: log T_ij = mu + sigma q_ij + tau e_ij with q_ij = q_ji. What domain j's losses say of
T_ji reaches T_ij as a change of its prior: the mean and variance of sigma q_ij given the likelihood of T_ji alone,
which is the posterior of T_ji with its prior divided out (a message of belief propagation).

A large alpha lets small deviations of T explain the runs, so that the joint mode of alpha and T lies far above the mode
of alpha alone. The volume that T then leaves to the posterior is put back: the logarithm of its determinant changes
with log alpha by the number of T that the runs have settled, which moves the prior mean of log alpha down (`volume`).

`mixlaw.laws.smooth` describes how runs deviate; its share and length are those with the most evidence, or the share is
0 where left-out runs do not speak for it.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mixlaw.fitted import Array, Axis
from mixlaw.laws.checks import is_one_checkpoint
from mixlaw.laws.posterior import Mode, maximize_posterior
from mixlaw.laws.returns import by_rho, returns
from mixlaw.laws.robust import huber_weights
from mixlaw.laws.smooth import Runs, Sites, Smoothness, Weights, correlation
from mixlaw.runs import RunTable

# Rounds of EM after the first: the priors change little after the first few.
ROUNDS = 11
# Where the evidence is looked at: shares of the variance that are smooth, and lengths over which it is.
SHARES = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
LENGTHS = (0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2, 1.6, 2.4, 3.2)
# Longest change of `Beliefs.volume` in a round, for it depends on alpha as alpha on it.
LONGEST_SHIFT = 0.3
# Precisions of a likelihood below this say nothing; and the least that a precision is taken to be.
VAGUE, TINY = 1e-9, 1e-300
# How far the mean of log alpha is lowered at once, and how often.
WEAKER, WEAKER_STEPS = 0.5, 6
# Standard errors by which another start or round or a smooth deviation has to predict better, and a weaker influence.
SURE, LIKELY = 2.0, 1.0


class Prior(NamedTuple):
    """What is believed before any run: means and standard deviations of logarithms.

    Counts say how many domains, or pairs of domains, a belief about a mean and one about a spread count for.

    Attributes
    ----------
    falling, exponent
        Of b or a, and of beta or nu, where s, N and L are divided by their geometric means; these are not estimated.
    c, gamma
        Of the part of the loss that nothing removes, and of gamma itself; not estimated.
    alpha, rho, T
        Of log alpha and logit rho over domains, and log T over pairs of domains (mu and tau).
    alike
        sigma.
    domain_counts, T_counts, alike_count
        Weight of their mean and of their spread, the first for alpha and rho.
    noise
        Standard deviation of the log loss between runs.
    noise_count
        Weight of it, and of checkpoints that deviate from their run as much as runs from the law.
    """

    falling: tuple[float, float] = (math.log(0.3), 2.0)
    exponent: tuple[float, float] = (math.log(0.3), 1.0)
    c: tuple[float, float] = (math.log(0.7), 1.5)
    gamma: tuple[float, float] = (0.0, 0.1)
    alpha: tuple[float, float] = (math.log(0.08), 0.5)
    rho: tuple[float, float] = (math.log(0.7 / 0.3), 0.4)
    T: tuple[float, float] = (-5.0, 1.2)
    alike: float = 0.7
    domain_counts: tuple[float, float] = (4.0, 20.0)
    T_counts: tuple[float, float] = (50.0, 50.0)
    alike_count: float = 20.0
    noise: float = 0.005
    noise_count: float = 4.0


PRIOR = Prior()


class Problem:
    """The runs in the units of the fit.

    `variables` holds what a part of the loss falls with: log u unless there is one checkpoint only, log w if there are
    several sizes. A domain has two parameters for each, then log c, log alpha, logit rho, gamma (not with one
    checkpoint), and log T of the other domains, from position `first_T` on.
    """

    def __init__(self, runs: RunTable, x: Axis) -> None:
        s = runs.x(x)
        self.table, self.r, self.x = runs, runs.proportions, x
        self.one_checkpoint = is_one_checkpoint(s)
        self.several_sizes = len(np.unique(runs.params)) > 1
        log_n = np.log(runs.params) if self.several_sizes else np.zeros(len(s))
        self.log_s0, self.log_n0 = float(np.log(s).mean()), float(log_n.mean())
        columns = [] if self.one_checkpoint else [np.log(s) - self.log_s0]
        columns += [log_n - self.log_n0] if self.several_sizes else []
        self.variables = np.array(columns).reshape(len(columns), len(s))
        logs = np.log(runs.losses)
        self.log_l0 = logs.mean(axis=0)
        self.y = logs - self.log_l0
        _, first, group = np.unique(runs.run, return_index=True, return_inverse=True)
        self.runs = Runs(group, Sites(runs.proportions[first], log_n[first]))
        self.curve = 2 * len(columns)
        self.first_T = self.curve + (3 if self.one_checkpoint else 4)
        m = len(runs.train_domains)
        own = [runs.train_domains.index(d) if d in runs.train_domains else -1 for d in runs.eval_domains]
        self.others = [np.flatnonzero(np.arange(m) != j) for j in own]
        self.mate = _mates(own, m)

    def model(self, i: int, theta: Array) -> tuple[Array, Array]:
        """log(L / L0) of evaluation domain i, and its derivatives."""
        others, k, first_T = self.others[i], self.curve, self.first_T
        log_T = np.zeros(self.r.shape[1])
        log_T[others] = theta[first_T:]
        rho = 0.5 + 0.5 * math.tanh(0.5 * theta[k + 2])
        weights = np.exp(rho * log_T)
        parts = weights * returns(self.r, rho)
        total = parts.sum(axis=1)
        log_z, log_u = np.log(total) / rho, np.zeros(len(total)) if self.one_checkpoint else self.variables[0]
        alpha = np.exp(theta[k + 1] + (0.0 if self.one_checkpoint else theta[k + 3]) * log_u)
        exponents = np.exp(theta[1:k:2])
        terms = np.vstack(
            [theta[0:k:2, None] - exponents[:, None] * self.variables, np.full((1, len(total)), theta[k])]
        )
        f = np.logaddexp.reduce(terms, axis=0)
        shares = np.exp(terms - f)
        z_by_rho = ((parts * log_T + weights * by_rho(self.r, rho)).sum(axis=1) / total - log_z) / rho
        J = np.empty((len(total), len(theta)))
        J[:, 0:k:2] = shares[:-1].T
        J[:, 1:k:2] = -(shares[:-1] * exponents[:, None] * self.variables).T
        J[:, k] = shares[-1]
        J[:, k + 1] = -alpha * log_z
        J[:, k + 2] = -alpha * z_by_rho * rho * (1.0 - rho)
        if not self.one_checkpoint:
            J[:, k + 3] = -alpha * log_z * log_u
        J[:, first_T:] = -(alpha / total)[:, None] * parts[:, others]
        return f - alpha * log_z, J


def _mates(own: list[int], m: int) -> npt.NDArray[np.intp]:
    """Flat position of T_ji for every T_ij, shape (e, m); -1 where domain j is not evaluated or i not trained on."""
    evaluated = {j: i for i, j in enumerate(own) if j >= 0}
    mate = np.full((len(own), m), -1, dtype=np.intp)
    for i, j in enumerate(own):
        for other, k in evaluated.items():
            if 0 <= j != other:
                mate[i, other] = k * m + j
    return mate


class Beliefs(NamedTuple):
    """The estimated part of the prior.

    Attributes
    ----------
    alpha, rho
        Mean and spread of log alpha and of logit rho.
    volume
        How far the prior mean of log alpha is moved down, shape (e,).
    T
        mu, sigma and tau.
    T_mean, T_variance
        Prior of every log T, with what is known of its mate, shape (e, m).
    variance
        v, shape (e,).
    smoothness
        How runs deviate.
    weights
        How much runs and checkpoints count.
    """

    alpha: tuple[float, float]
    rho: tuple[float, float]
    volume: Array
    T: tuple[float, float, float]
    T_mean: Array
    T_variance: Array
    variance: Array
    smoothness: Smoothness
    weights: Weights


def estimate(problem: Problem, *, smooth: bool, robust: bool) -> tuple[list[Mode], Beliefs]:
    """Alternate between the modes of all domains under beliefs, and beliefs under the modes.

    EM ends where it began when runs are few: what it takes for deviations of runs at first, other domains never
    explain, and the reverse. So it starts twice, with deviations as small as runs usually have and with all
    differences between runs as such, and has no need to converge. Another round than the last, the other start, a
    smooth deviation and a weaker influence of the mixture are preferred where each run is predicted better by the
    others under them.

    Parameters
    ----------
    problem
        The runs.
    smooth
        Whether runs may deviate smoothly with their mixture.
    robust
        Whether runs and checkpoints that deviate much count less.
    """
    usual = np.full(len(problem.mate), PRIOR.noise**2)
    everything = np.maximum(problem.runs.means(problem.y).var(axis=0), usual)
    best, other = (_best_round(problem, _first_round(problem, v), robust=robust) for v in (usual, everything))
    if _is_better(other, best, SURE):
        best = other
    if smooth:
        smoother = _best_round(problem, best, smooth=True, robust=robust)
        if _is_better(smoother, best, SURE):
            best = smoother
    best = _weaker(problem, best)
    problem.runs.weights = best.beliefs.weights
    return best.modes, best.beliefs


class _Round(NamedTuple):
    """Beliefs, the modes of all domains under them, and log densities of runs given the others, shape (k,)."""

    beliefs: Beliefs
    modes: list[Mode]
    scores: Array


def _round(problem: Problem, beliefs: Beliefs, starts: list[Array]) -> _Round:
    problem.runs.weights = beliefs.weights
    whitening = problem.runs.whitening(beliefs.smoothness)
    modes = [_mode(problem, i, beliefs, whitening, start) for i, start in enumerate(starts)]
    return _Round(beliefs, modes, _left_out(problem, modes, beliefs, whitening))


def _first_round(problem: Problem, variance: Array) -> _Round:
    """The modes under `PRIOR` and these variances of runs, none of them smooth."""
    e, m = problem.mate.shape
    mu, tau = PRIOR.T
    runs = problem.runs
    beliefs = Beliefs(
        PRIOR.alpha,
        PRIOR.rho,
        np.zeros(e),
        (mu, PRIOR.alike, tau),
        np.full((e, m), mu),
        np.full((e, m), PRIOR.alike**2 + tau**2),
        variance,
        Smoothness(0.0, 1.0, 1.0 if runs.several_checkpoints else 0.0),
        Weights(np.ones(len(problem.y)), np.ones(runs.k)),
    )
    return _round(problem, beliefs, [prior(problem, i, beliefs)[0] for i in range(e)])


def _best_round(problem: Problem, latest: _Round, *, smooth: bool = False, robust: bool) -> _Round:
    """EM from a round on: its last round, or the best if that is better."""
    best = latest
    for turn in range(ROUNDS):
        beliefs = _update(problem, latest)
        if robust:
            beliefs = _reweighted(problem, latest.modes, beliefs)
        if smooth:
            beliefs = _smoother(problem, latest.modes, beliefs, wide=turn == 0)
        latest = _round(problem, beliefs, [mode.theta for mode in latest.modes])
        best = max(best, latest, key=_total)
    return best if _is_better(best, latest, SURE) else latest


def _weaker(problem: Problem, found: _Round) -> _Round:
    """Lower alpha of all domains, down to hardly any influence of the mixture: the best of these if it is better."""
    mean, spread = found.beliefs.alpha
    tried = [found]
    for step in range(1, WEAKER_STEPS + 1):
        variance = _update(problem, tried[-1]).variance
        beliefs = found.beliefs._replace(alpha=(mean - step * WEAKER, spread), variance=variance)
        tried.append(_round(problem, beliefs, [mode.theta for mode in tried[-1].modes]))
    best = max(tried, key=_total)
    return best if _is_better(best, found, LIKELY) else found


def _total(found: _Round) -> float:
    return float(found.scores.sum())


def _is_better(tried: _Round, found: _Round, errors: float) -> bool:
    """Whether runs are predicted better by more than so many standard errors of that."""
    gain = tried.scores - found.scores
    return bool(gain.mean() > errors * gain.std(ddof=1) / math.sqrt(len(gain)))


def _left_out(problem: Problem, modes: list[Mode], beliefs: Beliefs, whitening: Array) -> Array:
    """Log density of the mean residual of every run given the other runs, summed over domains, shape (k,).

    Up to a constant, and with the law linear near its mode. A run's own residuals within it count as known.
    """
    runs = problem.runs
    scores = np.zeros(runs.k)
    inverse = whitening.T @ whitening
    for mode, v in zip(modes, beliefs.variance, strict=True):
        spread = inverse @ (runs.means(mode.jacobian) @ np.linalg.cholesky(mode.covariance))
        # Precision of each run given the others, and its mean times that.
        precision = np.maximum((np.diag(inverse) - (spread**2).sum(axis=1) / v) / v, TINY)
        pull = inverse @ runs.means(mode.residuals) / v
        scores += 0.5 * (np.log(precision) - pull**2 / precision)
    return scores


def prior(problem: Problem, i: int, beliefs: Beliefs) -> tuple[Array, Array]:
    """Means and precisions of the parameters of evaluation domain i."""
    drift = [] if problem.one_checkpoint else [PRIOR.gamma]
    pairs = np.array(
        [*[PRIOR.falling, PRIOR.exponent] * (problem.curve // 2), PRIOR.c, beliefs.alpha, beliefs.rho, *drift]
    )
    others = problem.others[i]
    pairs[problem.curve + 1, 0] -= beliefs.volume[i]
    mean = np.concatenate([pairs[:, 0], beliefs.T_mean[i, others]])
    return mean, np.concatenate([pairs[:, 1] ** -2.0, 1.0 / beliefs.T_variance[i, others]])


def smooth_part(problem: Problem, mode: Mode, beliefs: Beliefs) -> Array:
    """Expected smooth deviation of every run, shape (k,)."""
    smoothness, runs = beliefs.smoothness, problem.runs
    if smoothness.share == 0.0:
        return np.zeros(runs.k)
    pull = np.linalg.solve(runs.covariance(smoothness), runs.means(mode.residuals))
    return np.asarray(smoothness.share * correlation(runs.sites, runs.sites, smoothness.length) @ pull)


def _mode(problem: Problem, i: int, beliefs: Beliefs, whitening: Array, start: Array) -> Mode:
    runs, noise = problem.runs, beliefs.smoothness.noise
    sd = math.sqrt(beliefs.variance[i])

    def whiten(values: Array) -> Array:
        means = runs.means(values)
        between = whitening @ means / sd
        if not runs.several_checkpoints:
            return np.asarray(between)
        return np.concatenate([between, runs.within(values, means) / (sd * math.sqrt(noise))])

    mean, precision = prior(problem, i, beliefs)
    return maximize_posterior(lambda theta: problem.model(i, theta), problem.y[:, i], whiten, mean, precision, start)


def _update(problem: Problem, latest: _Round) -> Beliefs:
    """Expected means and spreads under the posteriors, each drawn towards `PRIOR` by its counts."""
    beliefs, modes, at = latest.beliefs, latest.modes, problem.curve + 1
    problem.runs.weights = beliefs.weights
    whitening = problem.runs.whitening(beliefs.smoothness)
    alphas, rhos = (np.array([(mode.theta[p], mode.covariance[p, p]) for mode in modes]) for p in (at, at + 1))
    squares = np.array([_squares(problem, mode, whitening) for mode in modes])  # between and within runs, (e, 2)
    k, n = problem.runs.k, len(problem.y)
    variance = _variances(squares[:, 0], k, beliefs.smoothness)
    noise, count = beliefs.smoothness.noise, PRIOR.noise_count
    if n > k:
        noise = (count + float(np.sum(squares[:, 1] / variance))) / (count + len(modes) * (n - k))
    settled = np.array([_settled_pairs(problem, i, mode, beliefs) for i, mode in enumerate(modes)])
    change = beliefs.alpha[1] ** 2 * settled - beliefs.volume
    return _pairs(problem, modes, beliefs)._replace(
        volume=beliefs.volume + np.clip(0.5 * change, -LONGEST_SHIFT, LONGEST_SHIFT),
        alpha=_drawn(alphas, PRIOR.alpha, PRIOR.domain_counts),
        rho=_drawn(rhos, PRIOR.rho, PRIOR.domain_counts),
        variance=variance,
        smoothness=beliefs.smoothness._replace(noise=noise),
    )


def _settled_pairs(problem: Problem, i: int, mode: Mode, beliefs: Beliefs) -> float:
    """How many T of evaluation domain i the runs, rather than the prior, have settled."""
    precision = 1.0 / beliefs.T_variance[i, problem.others[i]]
    return float(np.sum(1.0 - precision * np.diag(mode.covariance)[problem.first_T :]))


def _squares(problem: Problem, mode: Mode, whitening: Array) -> tuple[float, float]:
    """Expected sums of squares of whitened mean residuals of runs, and of residuals within runs."""
    spread = np.linalg.cholesky(mode.covariance)
    # Columns whose squares add up to the variance of a residual under the posterior.
    errors = np.column_stack([mode.residuals, mode.jacobian @ spread])
    means = problem.runs.means(errors)
    return float(np.sum((whitening @ means) ** 2)), float(np.sum(problem.runs.within(errors, means) ** 2))


def _drawn(values: Array, believed: tuple[float, float], counts: tuple[float, float]) -> tuple[float, float]:
    """Mean and spread of parameters of which the modes and variances are known, shape (k, 2)."""
    modes, variances = values.T
    mean = (counts[0] * believed[0] + modes.sum()) / (counts[0] + len(modes))
    square = counts[1] * believed[1] ** 2 + np.sum((modes - mean) ** 2 + variances)
    return float(mean), math.sqrt(square / (counts[1] + len(modes)))


def _pairs(problem: Problem, modes: list[Mode], beliefs: Beliefs) -> Beliefs:
    """Beliefs about T: mu, sigma, tau, and what the two of a pair tell each other."""
    mu, sigma, tau = beliefs.T
    e, m = problem.mate.shape
    t, v = np.full((e, m), np.nan), np.full((e, m), np.nan)
    for i, (mode, others) in enumerate(zip(modes, problem.others, strict=True)):
        t[i, others], v[i, others] = (part[problem.first_T :] for part in (mode.theta, np.diag(mode.covariance)))
    is_pair = np.isfinite(t)
    # The likelihood alone, as a normal of mean `told` and variance `vague`.
    precision = np.maximum(1.0 / v - 1.0 / beliefs.T_variance, VAGUE)
    told, vague = (t / v - beliefs.T_mean / beliefs.T_variance) / precision, 1.0 / precision
    # What T_ij alone says of what the pair has in common, and what its mate says: precision, and mean times precision.
    own = 1.0 / (vague + tau**2)
    own_pull = own * (told - mu)
    has_mate = problem.mate >= 0
    other, other_pull = (np.where(has_mate, part.ravel()[problem.mate], 0.0) for part in (own, own_pull))
    given_mate = 1.0 / (sigma**-2 + other)
    T_mean, T_variance = mu + given_mate * other_pull, tau**2 + given_mate
    given_both = 1.0 / (sigma**-2 + own + other)
    common = given_both * (own_pull + other_pull)
    rest = told - T_mean
    gain = tau**2 / (T_variance + vague)
    alone = (gain * rest) ** 2 + tau**2 * (1.0 - gain)
    counts, N = PRIOR.T_counts, np.count_nonzero(is_pair)
    new_mu = (counts[0] * PRIOR.T[0] + float((t - common)[is_pair].sum())) / (counts[0] + N)
    new_tau = math.sqrt((counts[1] * PRIOR.T[1] ** 2 + float(alone[is_pair].sum())) / (counts[1] + N))
    mated = is_pair & has_mate
    shared = float((common**2 + given_both)[mated].sum()) / 2.0
    count = PRIOR.alike_count
    new_sigma = math.sqrt((count * PRIOR.alike**2 + shared) / (count + np.count_nonzero(mated) / 2.0))
    return beliefs._replace(T=(new_mu, new_sigma, new_tau), T_mean=T_mean, T_variance=T_variance)


def _reweighted(problem: Problem, modes: list[Mode], beliefs: Beliefs) -> Beliefs:
    """Huber weights of runs and of checkpoints, from their mean squares over domains."""
    runs = problem.runs
    sd = np.sqrt(beliefs.variance)
    residuals = np.column_stack([mode.residuals for mode in modes]) / sd
    means = runs.means(residuals)
    of_rows = beliefs.weights.rows
    if runs.several_checkpoints:
        within = residuals - means[runs.group]
        of_rows = huber_weights(np.sqrt((within**2).mean(axis=1)))
    inverse = np.linalg.inv(runs.covariance(beliefs.smoothness))
    left_out = inverse @ means / np.diag(inverse)[:, None]
    return beliefs._replace(weights=Weights(of_rows, huber_weights(np.sqrt((left_out**2).mean(axis=1)))))


def _smoother(problem: Problem, modes: list[Mode], beliefs: Beliefs, *, wide: bool) -> Beliefs:
    """Share and length with the most evidence: anywhere if `wide`, else among the neighbours of the present ones."""
    problem.runs.weights = beliefs.weights
    pieces = [_linear(problem, i, mode, beliefs) for i, mode in enumerate(modes)]
    known: dict[tuple[int, int], tuple[float, Beliefs]] = {}

    def evidence(at: tuple[int, int]) -> float:
        if at not in known:
            known[at] = _evidence(problem, pieces, beliefs, SHARES[at[0]], LENGTHS[at[1]])
        return known[at][0]

    if wide:
        best = max(((a, b) for a in range(0, len(SHARES), 2) for b in range(0, len(LENGTHS), 2)), key=evidence)
    else:
        best = SHARES.index(beliefs.smoothness.share), LENGTHS.index(beliefs.smoothness.length)
    while True:
        a, b = best
        steps = [(a - 1, b), (a + 1, b), (a, b - 1), (a, b + 1)]
        near = [(i, j) for i, j in steps if 0 <= i < len(SHARES) and 0 <= j < len(LENGTHS)]
        step = max(near, key=evidence)
        if evidence(step) <= evidence(best):
            break
        best = step
    evidence(best)
    return known[best][1]


class _Linear(NamedTuple):
    """A domain's problem, linearised at its mode, with o = y - f + J (theta - prior mean).

    Means over runs of o and J, the precision of the prior, and J'J and J'o within runs over the variance there.
    """

    offset: Array
    jacobian: Array
    precision: Array
    within: Array
    within_pull: Array


def _linear(problem: Problem, i: int, mode: Mode, beliefs: Beliefs) -> _Linear:
    mean, precision = prior(problem, i, beliefs)
    offset = mode.residuals + mode.jacobian @ (mode.theta - mean)
    means, J = problem.runs.means(offset), problem.runs.means(mode.jacobian)
    rest, J_rest = problem.runs.within(offset, means), problem.runs.within(mode.jacobian, J)
    variance = beliefs.variance[i] * beliefs.smoothness.noise or 1.0
    return _Linear(means, J, precision, J_rest.T @ J_rest / variance, J_rest.T @ rest / variance)


class _Normal(NamedTuple):
    """Normal equations of a domain's run means, whitened: o, J, J'J and J'o."""

    offset: Array
    jacobian: Array
    square: Array
    pull: Array


def _evidence(
    problem: Problem, pieces: list[_Linear], beliefs: Beliefs, share: float, length: float
) -> tuple[float, Beliefs]:
    """Log evidence of a share and a length, up to a constant, and beliefs with them and the variances that suit them.

    The variance of checkpoints about their run stays what it is, which `noise` states in variances of a run.
    """
    k = problem.runs.k
    v, smoothness = beliefs.variance, beliefs.smoothness._replace(share=share, length=length)
    whitening, normals = _normals(problem, pieces, smoothness)
    for _ in range(3):
        squares = np.empty(len(pieces))
        for i, (piece, normal) in enumerate(zip(pieces, normals, strict=True)):
            inverse = np.linalg.inv(normal.square / v[i] + piece.within + np.diag(piece.precision))
            theta = inverse @ (normal.pull / v[i] + piece.within_pull)
            squares[i] = np.sum((normal.offset - normal.jacobian @ theta) ** 2)
            squares[i] += np.sum((normal.jacobian @ inverse) * normal.jacobian)
        before, v = v, _variances(squares, k, smoothness)
        if smoothness.noise:
            change = math.exp(np.log(before / v).mean())
            smoothness = smoothness._replace(noise=smoothness.noise * change)
            whitening, normals = _normals(problem, pieces, smoothness)
    total = 2.0 * len(pieces) * float(np.log(np.diag(whitening)).sum()) - k * float(np.log(v).sum())
    for i, (piece, normal) in enumerate(zip(pieces, normals, strict=True)):
        hessian = normal.square / v[i] + piece.within + np.diag(piece.precision)
        pull = normal.pull / v[i] + piece.within_pull
        total += float(np.log(piece.precision).sum() - np.linalg.slogdet(hessian)[1])
        total += float(pull @ np.linalg.solve(hessian, pull) - normal.offset @ normal.offset / v[i])
    return 0.5 * total, beliefs._replace(variance=v, smoothness=smoothness)


def _normals(problem: Problem, pieces: list[_Linear], smoothness: Smoothness) -> tuple[Array, list[_Normal]]:
    whitening = problem.runs.whitening(smoothness)
    whitened = [(whitening @ piece.offset, whitening @ piece.jacobian) for piece in pieces]
    return whitening, [_Normal(offset, J, J.T @ J, J.T @ offset) for offset, J in whitened]


def _variances(squares: Array, k: int, smoothness: Smoothness) -> Array:
    """Expected v given the sums of squares of k whitened residuals by domain; drawn towards all domains together."""
    count, start = PRIOR.noise_count, PRIOR.noise**2 / (1.0 - smoothness.share)
    together = (count * start + squares.sum()) / (count + len(squares) * k)
    return np.asarray((count * together + squares) / (count + k))
