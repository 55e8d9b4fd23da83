"""How much every evaluation domain counts, as users write it.

symbol  meaning                                      shape  unit
e       evaluation domains                           -      -
w       weights in the objective, which sum to 1     (e,)   -

The objective is the weighted mean loss, sum_k w_k L_k.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mixlaw.errors import InputError, did_you_mean

Array = npt.NDArray[np.float64]


def objective_weights(domains: Sequence[str], weights: Mapping[str, float] | None) -> Array:
    """Weights of the evaluation domains in the objective, summing to 1, shape (e,).

    Parameters
    ----------
    domains
        The evaluation domains.
    weights
        Domain -> weight >= 0, in any scale; a domain that is not named has none. None for equal weights.

    Raises
    ------
    InputError
        If a weight is negative or not finite, names no evaluation domain, or all are 0.
    """
    if weights is None:
        return np.full(len(domains), 1.0 / len(domains))
    known = set(domains)
    for domain, weight in weights.items():
        if domain not in known:
            raise InputError(f"weight of {domain!r}: no evaluation domain{did_you_mean(domain, domains)}")
        if finite_number(weight, f"weight of {domain!r}") < 0.0:
            raise InputError(f"weight of {domain!r}: expected a number >= 0, not {weight:g}")
    array = np.array([float(weights.get(domain, 0.0)) for domain in domains])
    if not array.any():
        raise InputError("all weights are 0: there is nothing to minimise")
    array /= array.max()
    return np.asarray(array / math.fsum(array))


def finite_number(value: object, what: str) -> float:
    """Give `value` as a float; `InputError` that begins with `what` if it is no finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise InputError(f"{what}: expected a number, not {value!r}")
    if not math.isfinite(value):
        raise InputError(f"{what}: expected a finite number, not {value!r}")
    return float(value)
