"""How often a mixture repeats its data, and what repeated tokens are worth.

    r'_j = r_j                                        up to one epoch, r_j <= u_j
    r'_j = u_j + u_j R* (1 - exp(-R_j / R*))          beyond,          R_j = r_j / u_j - 1

symbol  meaning                                                        shape  unit
m       training domains                                               -      -
budget  tokens that the run trains on                                  -      tokens
u       unique tokens of each domain / budget, infinite if unlimited   (m,)   share of training tokens
r       proportions                                                    (m,)   share of training tokens
R       repetitions: epochs - 1                                        (m,)   -
R*      repetitions after which more of them hardly count              -      -
r'      effective proportions: in tokens that are worth new ones       (m,)   share of training tokens

Muennighoff et al. (2023), Scaling Data-Constrained Language Models, arXiv 2305.16264, fit R* = 15.39. r' is a concave,
rising function of r, so that a loss that is convex and falls with every proportion stays convex.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mixlaw.errors import InputError, did_you_mean
from mixlaw.fitted import Array
from mixlaw.weights import finite_number

# Below this, repeated tokens are worth next to nothing, and the bend at one epoch is too sharp to find a minimum by.
LEAST_REPETITION = 0.1


@dataclass(frozen=True)
class Supply:
    """What data there are for how long a run; made by `supply`.

    Attributes
    ----------
    domains
        The training domains.
    budget
        Tokens of the run.
    available
        Unique tokens of the domains for which they are known.
    max_epochs
        How often each of these may be used at most, where that is limited.
    repetition
        R*, or None where repeated tokens count in full.
    """

    domains: tuple[str, ...]
    budget: float
    available: Mapping[str, float]
    max_epochs: Mapping[str, float]
    repetition: float | None

    @cached_property
    def unique(self) -> Array:
        """Give u, shape (m,)."""
        return np.array([self.available.get(domain, math.inf) / self.budget for domain in self.domains])

    def caps(self) -> Array:
        """Largest proportions that `max_epochs` allows, shape (m,); infinite where it allows any."""
        return np.array([self.max_epochs.get(domain, math.inf) for domain in self.domains]) * self.unique

    def epochs(self, r: Array) -> dict[str, float]:
        """How often a mixture uses the tokens of each domain of which the number is known."""
        used = dict(zip(self.domains, (r / self.unique).tolist(), strict=True))
        return {domain: used[domain] for domain in self.domains if domain in self.available}

    @property
    def discounts(self) -> bool:
        """Whether any mixture repeats tokens that then count for less."""
        return self.repetition is not None and bool((self.unique < 1.0).any())

    def effective(self, r: Array) -> Array:
        """Give r', shape (..., m), of proportions of that shape."""
        u, again, decay = self._repeats(r)
        return np.where(again > 0.0, u + u * decay * -np.expm1(-again / decay), r)

    def slope(self, r: Array) -> Array:
        """Derivative of r' by r, shape (m,)."""
        _, again, decay = self._repeats(r)
        return np.asarray(np.exp(-again / decay))

    def curvature(self, r: Array) -> Array:
        """Second derivative of r' by r, shape (m,): 0 or below."""
        u, again, decay = self._repeats(r)
        return np.where(again > 0.0, -np.exp(-again / decay) / (u * decay), 0.0)

    def _repeats(self, r: Array) -> tuple[Array, Array, float]:
        """Give u, 1 where it is infinite, R >= 0 and R*."""
        assert self.repetition is not None
        again = np.maximum(0.0, r / self.unique - 1.0)
        return np.where(np.isinf(self.unique), 1.0, self.unique), again, self.repetition

    def content(self) -> dict[str, Any]:
        """Give the arguments, ready for JSON."""
        return {
            "budget": self.budget,
            "available": dict(self.available),
            "max_epochs": dict(self.max_epochs),
            "repetition": self.repetition,
        }


def supply(
    domains: Sequence[str],
    tokens: float | None,
    budget: float | None,
    available: Mapping[str, float] | None,
    max_epochs: float | Mapping[str, float] | None,
    repetition: float | None,
) -> Supply | None:
    """Check the arguments of `mixlaw.optimize` that are about the amount of data; None where there are none.

    `tokens` is the budget where none is given, if it is known.

    Raises
    ------
    InputError
        If one is no positive number, names no training domain, or needs another that is not given.
    """
    if available is not None and not isinstance(available, Mapping):
        raise InputError(f"available: expected domain -> tokens, not {available!r}")
    if available is None:
        for what, value in (("budget", budget), ("max_epochs", max_epochs), ("repetition", repetition)):
            if value is not None:
                raise InputError(f"{what}: give the tokens of the domains as well (available)")
        return None
    budget = tokens if budget is None else budget
    if budget is None:
        raise InputError(
            "available: give the tokens of the run as well (budget), as the law measures training in steps"
        )
    amounts = _amounts(domains, available, "tokens available of")
    if isinstance(max_epochs, Mapping):
        limits = _amounts(domains, max_epochs, "max_epochs of")
        for domain in limits:
            if domain not in amounts:
                raise InputError(f"max_epochs of {domain!r}: give the tokens of the domain as well (available)")
    else:
        limits = {} if max_epochs is None else dict.fromkeys(amounts, _positive(max_epochs, "max_epochs"))
    decay = None if repetition is None else finite_number(repetition, "repetition")
    if decay is not None and decay < LEAST_REPETITION:
        raise InputError(
            f"repetition: expected a number of at least {LEAST_REPETITION}, not {decay:g}; where repeated tokens are "
            "worth nothing, give max_epochs=1 instead"
        )
    return Supply(tuple(domains), _positive(budget, "budget"), amounts, limits, decay)


def _amounts(domains: Sequence[str], values: Mapping[str, float], what: str) -> dict[str, float]:
    known = set(domains)
    for domain in values:
        if domain not in known:
            raise InputError(f"{what} {domain!r}: no training domain{did_you_mean(domain, domains)}")
    return {domain: _positive(values[domain], f"{what} {domain!r}") for domain in domains if domain in values}


def _positive(value: object, what: str) -> float:
    number = finite_number(value, what)
    if number <= 0.0:
        raise InputError(f"{what}: expected a number above 0, not {number:g}")
    return number
