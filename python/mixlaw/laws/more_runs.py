"""`more_runs`: how narrow the intervals of a fitted law become with further runs.

symbol  meaning                                                                   shape   unit
c       further runs                                                              -       -
q       mixtures asked about                                                      -       -
S       covariance of the predicted log losses of a domain (`log_covariance`),    -       -
        of asked (a) and further (f) mixtures: S_aa, S_af, S_ff
sigma   standard deviation of single runs from the law (`DomainFit.residual_sd`)  -       -

What a further run at the length asked about tells is one log loss with the deviation sigma. So c of them leave a new
run at a mixture the variances

    diag(S_aa - S_af (S_ff + sigma**2)**-1 S_af') + sigma**2

whatever they will measure: to first order it depends on their mixtures alone. What does not shrink is sigma: a law that
does not describe the runs is not mended by more of them, and where few runs have let a law follow their deviations,
sigma is itself too small.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixlaw.errors import InputError
from mixlaw.fitted import Array, Axis, FittedLaw
from mixlaw.layout import aligned

# Mixtures whose intervals are measured, and sets of further runs over which is averaged.
ASKED, SETS = 128, 4
# Deviations below this are rounding.
LEAST_DEVIATION = 1e-8
# Least concentration of the Dirichlet distribution, for runs that each train on one domain alone.
LEAST_CONCENTRATION = 0.1


@dataclass(frozen=True, kw_only=True)
class MoreRuns:
    """Width of the intervals of unseen mixtures against the number of further runs.

    Attributes
    ----------
    law
        Name of the law.
    runs
        How many it was fitted to.
    at, x
        Length of training, and its unit.
    params
        Model size; None if that of the runs.
    level
        Probability of the intervals.
    counts
        Numbers of further runs.
    widths
        Median width of the intervals over mixtures and domains, relative to the loss, for each of `counts`.
    """

    law: str
    runs: int
    at: float
    x: Axis
    params: float | None
    level: float
    counts: tuple[int, ...]
    widths: tuple[float, ...]

    def to_text(self) -> str:
        """Lay the widths out as text for people."""
        rows = [
            ("further runs", *(f"{count}" for count in self.counts)),
            ("width, % of the loss", *(f"{100.0 * width:.2f}" for width in self.widths)),
        ]
        return (
            f"Median width of the {self.level:.0%} intervals of unseen mixtures at {self.at:.6g} {self.x} under "
            f"{self.law}, of {self.runs} runs now\n{aligned(rows)}"
        )


def more_runs(
    law: FittedLaw,
    *,
    counts: Sequence[int] | None = None,
    at: float | None = None,
    params: float | None = None,
    level: float = 0.9,
    seed: int = 0,
) -> MoreRuns:
    """Predict how far further runs would narrow the intervals of unseen mixtures.

    Unseen mixtures, and those of the further runs, are drawn from the Dirichlet distribution with the mean and the
    total variance of the mixtures that the law was fitted to.

    Parameters
    ----------
    law
        A fitted law with standard errors.
    counts
        Numbers of further runs; if not given none, a quarter of those there are, half, as many, and twice as many.
    at, params
        Length of training and model size, as for `FittedLaw.predict`; the longest of the runs if `at` is not given.
    level
        Probability of the intervals.
    seed
        Of the mixtures.

    Raises
    ------
    InputError
        If a count is negative, or the law has no intervals; see `FittedLaw.interval`.
    """
    from scipy.stats import t

    at = law.x_range[1] if at is None else at
    runs = max(fit.runs for fit in law.quality.values())
    counts = [-(-runs * factor // 4) for factor in (0, 1, 2, 4, 8)] if counts is None else counts
    if not counts or min(counts) < 0:
        raise InputError(f"counts: numbers of further runs are 0 or more, not {list(counts)}")
    law.interval(law.mixtures[:1], at=at, params=params, level=level)  # refuses what has none
    noises = np.maximum(law.deviations(), LEAST_DEVIATION) ** 2
    rng = np.random.default_rng(seed)
    widths: dict[int, list[Array]] = {count: [] for count in counts}
    for _ in range(SETS):
        mixtures = _alike(law.mixtures, ASKED + max(counts), rng)
        covariances = law.log_covariance(mixtures, at=at, params=params)
        for freedom, covariance, noise in zip(law.degrees_of_freedom(), covariances, noises, strict=True):
            for count in counts:
                quantile = t.ppf(0.5 + 0.5 * level, freedom + count)
                half = quantile * np.sqrt(_left(covariance, count, noise) + noise)
                widths[count].append(2.0 * np.sinh(half))
    return MoreRuns(
        law=law.law,
        runs=runs,
        at=float(at),
        x=law.x,
        params=params,
        level=level,
        counts=tuple(counts),
        widths=tuple(float(np.median(widths[count])) for count in counts),
    )


def _left(covariance: Array, count: int, noise: float) -> Array:
    """Variance of the first `ASKED` that is left when the next `count` are measured with some noise."""
    measured = slice(ASKED, ASKED + count)
    known = np.linalg.solve(covariance[measured, measured] + noise * np.eye(count), covariance[measured, :ASKED])
    told = np.sum(covariance[measured, :ASKED] * known, axis=0)
    return np.asarray(np.maximum(np.diag(covariance)[:ASKED] - told, 0.0))


def _alike(mixtures: Array, count: int, rng: np.random.Generator) -> Array:
    """Draw from the Dirichlet distribution with the mean and the total variance of some mixtures, shape (count, m)."""
    mean, variance = mixtures.mean(axis=0), float(mixtures.var(axis=0, ddof=1).sum())
    concentration = max(float(np.sum(mean * (1.0 - mean))) / variance - 1.0, LEAST_CONCENTRATION)
    used = mean > 0.0
    drawn = np.zeros((count, len(mean)))
    drawn[:, used] = rng.dirichlet(concentration * mean[used], count)
    return drawn
