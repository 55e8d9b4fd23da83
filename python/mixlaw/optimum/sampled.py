"""The minimum of an objective without gradients, by sampling.

As in RegMix (Liu et al., arXiv 2407.01492): many mixtures are drawn, and the mean of those with the lowest objectives
is taken, which is less at the mercy of a rough law than the best alone. They come from Dirichlet distributions around
the mean mixture of the runs, some close to corners and some narrow, and are moved to where the constraints hold.
"""

import numpy as np

from mixlaw.fitted import Array
from mixlaw.optimum.feasible import Interior
from mixlaw.optimum.objective import Objective

SAMPLES, BEST = 50_000, 100
# Sum of the parameters of a Dirichlet distribution, for each domain: drawn evenly by its logarithm.
CONCENTRATIONS = 0.1, 10.0
CHUNK, CORNERS = 10_000, 20


def dirichlet(centre: Array, count: int, rng: np.random.Generator) -> Array:
    """Draw mixtures around one, each with a concentration of its own, shape (count, m)."""
    low, high = np.log(CONCENTRATIONS)
    concentration = np.exp(rng.uniform(low, high, (count, 1))) * len(centre)
    amounts = rng.standard_gamma(concentration * centre)
    total = amounts.sum(axis=1, keepdims=True)
    return np.where(total > 0.0, amounts / np.where(total > 0.0, total, 1.0), centre)


def minimize_sampled(objective: Objective, inside: Interior, seed: int) -> Array:
    """Mean of the best of many sampled mixtures, shape (m,); constraints hold for it as for each of them."""
    rng = np.random.default_rng(seed)
    centre = centre_of_runs(objective)
    mixtures, values = np.empty((0, len(centre))), np.empty(0)
    # From the middle alone, many would end at the constraint that is next to it.
    starts = np.vstack([inside.r, inside.corners(CORNERS, rng)])
    for _ in range(0, SAMPLES, CHUNK):
        start = starts[rng.integers(len(starts), size=CHUNK)]
        start = start + rng.uniform(size=(CHUNK, 1)) * (inside.r - start)
        drawn = inside.towards(dirichlet(centre, CHUNK, rng), start)
        mixtures, values = np.vstack([mixtures, drawn]), np.r_[values, objective.values(drawn)]
        best = np.argsort(values, kind="stable")[:BEST]
        mixtures, values = mixtures[best], values[best]
    return np.asarray(mixtures.mean(axis=0))


def centre_of_runs(objective: Objective) -> Array:
    """Mean mixture of the runs, a little of every domain added; the uniform one if the law knows no runs."""
    mixtures, m = objective.law.mixtures, len(objective.law.train_domains)
    mean = mixtures.mean(axis=0) if len(mixtures) else np.full(m, 1.0 / m)
    return np.asarray(0.99 * mean + 0.01 / m)
