"""Standard errors of entropies by a bootstrap of documents.

symbol  meaning                                                       shape   unit
G       groups of documents, drawn like documents                     -       -
B       replicates                                                    -       -
w       how often a replicate holds each group: multinomial, sum G    (B, G)  -

A document is the unit that was sampled; its tokens are not independent. Documents are dealt to G groups at random, so
groups are as good as documents as long as there are many. A replicate counts w times what each group holds.

The entropy of a replicate is *not* spread about the entropy of the sample, but below it: what stands in groups that
were not drawn is missing, so a replicate has fewer types. Its bias is as that of a smaller sample, and is of no use.
Only the spread of the replicates about their own mean is taken. B. Efron (1979), Bootstrap methods, Ann. Stat. 7(1).
"""

import numpy as np
import numpy.typing as npt

from mixlaw.errors import InputError

Floats = npt.NDArray[np.float64]


def replicate_weights(groups: int, replicates: int, seed: int) -> npt.NDArray[np.int64]:
    """Draw how often each replicate holds each group, shape (replicates, groups); rows sum to `groups`.

    Parameters
    ----------
    groups
        Groups that hold documents; at least 2, for one says nothing of how documents differ.
    replicates
        At least 2.
    seed
        The same seed gives the same weights.

    Raises
    ------
    InputError
        If there are too few groups or replicates.
    """
    for name, value in (("groups", groups), ("replicates", replicates)):
        if value < 2:
            raise InputError(f"a bootstrap needs at least 2 {name}, not {value}")
    return np.random.default_rng(seed).multinomial(groups, np.full(groups, 1.0 / groups), size=replicates)


def standard_error(replicates: npt.ArrayLike, groups: int) -> Floats:
    """Standard deviation of replicates about their mean, made unbiased for the number of groups.

    Parameters
    ----------
    replicates
        Entropies of the replicates, shape (B,) or (B, ...); NaN makes the error NaN.
    groups
        G of `replicate_weights`. Replicates vary by the sample's own variance, which is too small by (G - 1) / G.

    Returns
    -------
    array
        In the unit of the replicates, shape () or (...).
    """
    spread = np.asarray(replicates, dtype=np.float64).std(axis=0, ddof=1)
    return np.asarray(spread * np.sqrt(groups / (groups - 1.0)))
