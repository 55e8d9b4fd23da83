"""RegMix's recipe for proxy runs: Dirichlet distributions around a prior mixture, some narrow and some wide.

symbol  meaning                                                 shape   unit
m       domains                                                 -       -
p       prior mixture                                           (m,)    share of training tokens
s       strength: sum of the parameters of the distribution     -       -
r       proportions, r ~ Dirichlet(s p)                         (n, m)  share of training tokens

Liu et al. 2024, RegMix, arXiv 2407.01492, and its code. The strength is log-uniform over a range, shares that are too
small to be trained on become 0, and mixtures above the caps are rejected. Floors, which RegMix has not, are given
beforehand, and r divides the rest.
"""

import numpy as np

from mixlaw.design.between import proportional_between
from mixlaw.fitted import Array

# The range of s, and the least share: 100 sequences of a run of half a million.
STRENGTH = (0.1, 5.0)
LEAST = 2e-4
# After so many rejections the mixture between the bounds is taken that is nearest to the last, in divergence.
TRIES = 200


def around_prior(n: int, prior: Array, floor: Array, cap: Array, rng: np.random.Generator) -> Array:
    """Draw n mixtures between the bounds, shape (n, m).

    Parameters
    ----------
    n
        How many.
    prior
        p, shape (m,); a domain without a share gets none but its floor, unless caps hold all others.
    floor, cap
        Bounds that some mixture meets, shape (m,).
    rng
        Source of randomness.
    """
    mixtures = np.empty((n, len(prior)))
    for row in mixtures:
        for _ in range(TRIES):
            row[:] = floor + (1.0 - floor.sum()) * _draw(prior, rng)
            if (row <= cap).all():
                break
        else:
            row[:] = proportional_between(row, floor, cap)
    return mixtures


def _draw(prior: Array, rng: np.random.Generator) -> Array:
    r, has = np.zeros(len(prior)), prior > 0.0
    r[has] = rng.dirichlet(STRENGTH[0] * (STRENGTH[1] / STRENGTH[0]) ** rng.uniform() * prior[has])
    r[r < LEAST] = 0.0
    return np.asarray(r / r.sum())
