"""Floors and caps as users write them, checked and turned into arrays.

symbol  meaning              shape  unit
m       training domains     -      -
floor   least proportions    (m,)   share of training tokens
cap     largest proportions  (m,)   share of training tokens
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from mixlaw.errors import InfeasibleError, InputError, did_you_mean
from mixlaw.fitted import Array
from mixlaw.optimum.lagrange import TIGHT
from mixlaw.weights import finite_number

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
    number = finite_number(value, what)
    if not 0.0 <= number <= 1.0:
        raise InputError(f"{what}: expected a share between 0 and 1, not {number:g}")
    return number
