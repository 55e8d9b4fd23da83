"""Space-filling designs: mixtures as far as can be from each other and from those at hand (maximin).

symbol  meaning                                                              shape   unit
m       domains                                                              -       -
c       candidates                                                           -       -
k       mixtures at hand                                                     -       -
n       mixtures to choose                                                   -       -

Distances are Euclidean, between proportions.
"""

import numpy as np
import numpy.typing as npt

from mixlaw.fitted import Array

# Exchanges after which the search ends, for each mixture to choose.
EXCHANGES = 20


def fill_space(candidates: Array, at_hand: Array, n: int) -> npt.NDArray[np.intp]:
    """Choose n of the candidates such that the least distance between chosen ones, and to those at hand, is large.

    Each in turn is the one farthest from all others. Then, as long as the least distance grows by it, a mixture that
    is at that distance from another gives way to the best candidate.

    Parameters
    ----------
    candidates
        Shape (c, m), n <= c.
    at_hand
        Shape (k, m).
    n
        How many to choose.

    Returns
    -------
    ndarray
        Rows of `candidates`, shape (n,), each once.
    """
    to_hand = np.full(len(candidates), np.inf)
    for mixture in at_hand:
        to_hand = np.minimum(to_hand, _distances(candidates, mixture))
    # Where nothing was run, the first is the one in the middle.
    first = np.argmax(to_hand) if len(at_hand) else np.argmin(_distances(candidates, candidates.mean(axis=0)))
    chosen = [int(first)]
    between = [_distances(candidates, candidates[first])]
    while len(chosen) < n:
        nearest = np.minimum(to_hand, np.min(between, axis=0))
        nearest[chosen] = -1.0
        chosen.append(int(np.argmax(nearest)))
        between.append(_distances(candidates, candidates[chosen[-1]]))
    for _ in range(EXCHANGES * n):
        if not _exchange(candidates, to_hand, chosen, between):
            break
    return np.array(chosen, dtype=np.intp)


def _exchange(candidates: Array, to_hand: Array, chosen: list[int], between: list[Array]) -> bool:
    """Replace one of the two mixtures at the least distance, if that makes the distance larger."""
    apart = np.array([distances[chosen] for distances in between])
    np.fill_diagonal(apart, to_hand[chosen])
    out, other = np.unravel_index(np.argmin(apart), apart.shape)
    for row in dict.fromkeys((int(out), int(other))):
        nearest = to_hand.copy()
        for k, distances in enumerate(between):
            if k != row:
                np.minimum(nearest, distances, out=nearest)
        nearest[chosen] = -1.0
        best = int(np.argmax(nearest))
        if nearest[best] > apart.min():
            chosen[row], between[row] = best, _distances(candidates, candidates[best])
            return True
    return False


def _distances(candidates: Array, mixture: Array) -> Array:
    return np.asarray(np.sqrt(np.sum((candidates - mixture) ** 2, axis=1)))
