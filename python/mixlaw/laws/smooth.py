"""How runs deviate from a law: smoothly with their mixture, each by itself, and from checkpoint to checkpoint.

    residual of checkpoint t of run g = h(r_g) + run_g + checkpoint_gt,    h a Gaussian process with mean 0

symbol  meaning                                                              shape   unit
n, k    checkpoints and runs                                                 -       -
r       proportions of the runs                                              (k, m)  share of training tokens
N       model sizes of the runs                                              (k,)    parameters
K       correlation of h between runs                                        (k, k)  -
share   of the variance of a run that is smooth                              -       -
length  distance of mixtures over which h changes                            -       -
noise   variance of a checkpoint over that of a run                          -       -
U       covariance of the mean residuals of runs over the variance of a run  (k, k)  -

    K = exp(-|sqrt(r + DELTA) - sqrt(r' + DELTA)|**2 / (2 length**2) - log(N / N')**2 / (2 SIZE_LENGTH**2))
    U = (1 - share) / weight + share K + noise / checkpoints on the diagonal

Distances are Hellinger's, as a domain that goes from 0 to 1 percent changes more than one from 30 to 31; DELTA keeps
derivatives finite at 0. Means of runs and deviations from them are independent, so they are whitened apart.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mixlaw.fitted import Array

DELTA = 1e-3
# Of log N: models of e**2 times the size deviate alike by 0.6.
SIZE_LENGTH = 2.0


class Smoothness(NamedTuple):
    """What is shared by all domains: `share`, `length` and `noise` of the module's table."""

    share: float
    length: float
    noise: float


class Weights(NamedTuple):
    """How much checkpoints and runs count, shapes (n,) and (k,); 1 for those that do not deviate much."""

    rows: Array
    runs: Array


class Sites(NamedTuple):
    """Where the runs are.

    Attributes
    ----------
    mixtures
        r, shape (k, m).
    log_size
        log N, shape (k,); 0 where sizes are unknown.
    """

    mixtures: Array
    log_size: Array


def correlation(first: Sites, second: Sites, length: float) -> Array:
    """K between two sets of sites, shape (k1, k2)."""
    a, b = np.sqrt(first.mixtures + DELTA), np.sqrt(second.mixtures + DELTA)
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2.0 * a @ b.T
    sizes = (first.log_size[:, None] - second.log_size) / SIZE_LENGTH
    return np.asarray(np.exp(-0.5 * (np.maximum(squares, 0.0) / length**2 + sizes**2)))


def correlation_gradient(first: Sites, second: Sites, length: float) -> Array:
    """Derivatives of `correlation` by the proportions of the first sites, shape (k1, k2, m)."""
    a, b = np.sqrt(first.mixtures + DELTA), np.sqrt(second.mixtures + DELTA)
    slope = (b[None] / a[:, None] - 1.0) / (2.0 * length**2)
    return np.asarray(correlation(first, second, length)[:, :, None] * slope)


class Runs:
    """Which checkpoints belong to which run, and how residuals are whitened.

    Parameters
    ----------
    group
        Run of every checkpoint, 0 to k - 1, shape (n,).
    sites
        Of the runs.
    """

    def __init__(self, group: npt.NDArray[np.intp], sites: Sites) -> None:
        self.group, self.sites = group, sites
        self.k = len(sites.mixtures)
        self.weights = Weights(np.ones(len(group)), np.ones(self.k))

    @property
    def several_checkpoints(self) -> bool:
        """Whether any run has more than one."""
        return len(self.group) > self.k

    @property
    def checkpoints(self) -> Array:
        """Weight of the checkpoints of every run, shape (k,); their number where all weights are 1."""
        return np.asarray(np.bincount(self.group, self.weights.rows, minlength=self.k), dtype=np.float64)

    def means(self, values: Array) -> Array:
        """Means over the checkpoints of every run, of an array of shape (n,) or (n, p)."""
        sums = np.zeros((self.k, *values.shape[1:]))
        np.add.at(sums, self.group, (values.T * self.weights.rows).T)
        return np.asarray((sums.T / self.checkpoints).T)

    def within(self, values: Array, means: Array) -> Array:
        """What is left of the means, weighted so that its entries have equal variances."""
        return np.asarray(((values - means[self.group]).T * np.sqrt(self.weights.rows)).T)

    def own(self, smoothness: Smoothness) -> Array:
        """What runs do not share with others: the part of U on its diagonal that is not smooth, shape (k,)."""
        return np.asarray((1.0 - smoothness.share) / self.weights.runs + smoothness.noise / self.checkpoints)

    def covariance(self, smoothness: Smoothness) -> Array:
        """U, shape (k, k)."""
        own = np.diag(self.own(smoothness))
        if smoothness.share == 0.0:
            return own
        return np.asarray(smoothness.share * correlation(self.sites, self.sites, smoothness.length) + own)

    def whitening(self, smoothness: Smoothness) -> Array:
        """W with W U W' = 1, shape (k, k)."""
        return np.linalg.inv(np.linalg.cholesky(self.covariance(smoothness)))
