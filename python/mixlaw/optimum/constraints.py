"""Floors, caps and weights as users write them, checked and turned into arrays.

symbol  meaning              shape  unit
m       training domains     -      -
e       evaluation domains   -      -
floor   least proportions    (m,)   share of training tokens
cap     largest proportions  (m,)   share of training tokens
w       weights, sum 1       (e,)   -
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from mixlaw.errors import InfeasibleError, InputError, did_you_mean
from mixlaw.fitted import Array
from mixlaw.optimum.lagrange import TIGHT

PerDomain = float | Mapping[str, float] | None


def bounds(domains: Sequence[str], floors: PerDomain, caps: PerDomain) -> tuple[Array, Array]:
    """Least and largest proportions, each of shape (m,); 0 and 1 for domains without a floor or a cap.

    Parameters
    ----------
    domains
        The training domains.
    floors, caps
        One number for every domain, or some domains' own; None for none.

    Raises
    ------
    InputError
        If a bound is no share or names no domain.
    InfeasibleError
        If no mixture lies between the bounds; the message names the domain, or the sum.
    """
    floor, cap = _per_domain(domains, floors, "floor", 0.0), _per_domain(domains, caps, "cap", 1.0)
    for domain, low, high in zip(domains, floor, cap, strict=True):
        if high == 0.0:
            raise InputError(f"domain {domain!r}: the cap is 0; drop the domain from the runs to train without it")
        if low > high:
            raise InfeasibleError(f"domain {domain!r}: the floor {low:.6g} is above the cap {high:.6g}")
    if (total := math.fsum(floor)) > 1.0 + TIGHT:
        raise InfeasibleError(f"the floors of {np.count_nonzero(floor)} domains sum to {total:.6g}, more than 1")
    if (total := math.fsum(cap)) < 1.0 - TIGHT:
        raise InfeasibleError(f"the caps of all {len(domains)} domains sum to {total:.6g}, less than 1")
    return floor, cap


def _per_domain(domains: Sequence[str], values: PerDomain, what: str, default: float) -> Array:
    if values is None:
        return np.full(len(domains), default)
    if not isinstance(values, Mapping):
        return np.full(len(domains), _share(values, what))
    known = set(domains)
    for domain in values:
        if domain not in known:
            raise InputError(f"{what} of {domain!r}: no training domain{did_you_mean(domain, domains)}")
    return np.array(
        [_share(values[domain], f"{what} of {domain!r}") if domain in values else default for domain in domains]
    )


def _share(value: object, what: str) -> float:
    number = _number(value, what)
    if not 0.0 <= number <= 1.0:
        raise InputError(f"{what}: expected a share between 0 and 1, not {number:g}")
    return number


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
        if _number(weight, f"weight of {domain!r}") < 0.0:
            raise InputError(f"weight of {domain!r}: expected a number >= 0, not {weight:g}")
    array = np.array([float(weights.get(domain, 0.0)) for domain in domains])
    if not array.any():
        raise InputError("all weights are 0: there is nothing to minimise")
    array /= array.max()
    return np.asarray(array / math.fsum(array))


def _number(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise InputError(f"{what}: expected a number, not {value!r}")
    if not math.isfinite(value):
        raise InputError(f"{what}: expected a finite number, not {value!r}")
    return float(value)
