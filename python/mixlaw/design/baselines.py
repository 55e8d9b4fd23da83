"""Mixtures that need no runs, from the tokens of every domain alone.

symbol  meaning                                       shape  unit
m       domains                                       -      -
n       tokens of every domain                        (m,)   tokens
r       proportions                                   (m,)   share of training tokens
tau     temperature                                   -      -
N       most epochs over a domain                     -      -
B       tokens of the run                             -      tokens

The natural mixture is `Mixture.proportional(n)`; the uniform one has equal amounts.
"""

from collections.abc import Mapping

import numpy as np

from mixlaw.design.between import proportional_between
from mixlaw.errors import InfeasibleError, InputError
from mixlaw.mixture import Mixture
from mixlaw.weights import finite_number


def temperature_mixture(tokens: Mapping[str, float], temperature: float) -> Mixture:
    """Give the mixture r_j proportional to n_j**(1 / tau).

    A temperature of 1 is the natural mixture; the higher it is, the more uniform is the mixture.

    Parameters
    ----------
    tokens
        Tokens of every domain.
    temperature
        tau > 0.

    Raises
    ------
    InputError
        If a number of tokens is negative or not finite, all are 0, or the temperature is not positive.

    Examples
    --------
    >>> temperature_mixture({"web": 16e9, "code": 1e9}, 2.0)
    Mixture({'web': 0.8, 'code': 0.2})
    """
    tau = _positive(temperature, "temperature")
    natural = Mixture.proportional(tokens)
    largest = max(natural.values())
    return Mixture.proportional({domain: (share / largest) ** (1.0 / tau) for domain, share in natural.items()})


def unimax_mixture(tokens: Mapping[str, float], *, budget: float, epochs: float) -> Mixture:
    """Give the most uniform mixture that repeats no domain more than `epochs` times: UniMax.

    r_j = min(c, N n_j / B), with the one c for which they sum to 1 (Chung et al. 2023, arXiv 2304.09151, Algorithm 1,
    with tokens in the place of characters).

    Parameters
    ----------
    tokens
        Tokens of every domain.
    budget
        B, the tokens of the run.
    epochs
        N > 0.

    Raises
    ------
    InfeasibleError
        If the run is longer than that many epochs of all domains together. (The paper then lets it end earlier.)
    InputError
        If a number is wrong.

    Examples
    --------
    >>> unimax_mixture({"web": 100e9, "code": 40e9, "law": 1e9}, budget=20e9, epochs=4)
    Mixture({'web': 0.4, 'code': 0.4, 'law': 0.2})
    """
    B, N = _positive(budget, "budget"), _positive(epochs, "epochs")
    domains = list(Mixture.proportional(tokens))
    cap = np.array([min(1.0, N * float(tokens[domain]) / B) for domain in domains])
    if (most := N * sum(map(float, tokens.values()))) < B:
        raise InfeasibleError(
            f"{N:g} epochs of all domains are {most:.6g} tokens, less than the budget of {B:.6g}: allow more epochs, "
            "or train on fewer tokens"
        )
    return Mixture.from_array(domains, proportional_between(np.ones(len(domains)), np.zeros(len(domains)), cap))


def _positive(value: object, what: str) -> float:
    number = finite_number(value, what)
    if number <= 0.0:
        raise InputError(f"{what}: expected a number above 0, not {number:g}")
    return number
