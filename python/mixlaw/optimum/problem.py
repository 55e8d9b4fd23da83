"""`optimize`: from a fitted law, an objective and constraints to an `Optimum`.

symbol  meaning                               shape   unit
m       training domains                      -       -
e       evaluation domains                    -       -
r       proportions                           (m,)    share of training tokens
w       weights of the evaluation domains     (e,)    -
L       predicted losses                      (e,)    nats per token

    minimise sum_k w_k L_k(r) over mixtures r between floors and caps

Separable laws and powers of linear functions have their own methods, which find the minimum and certify it; any other
law has local minima, of which the lowest that several starting points lead to is given.
"""

from collections.abc import Mapping

import numpy as np

from mixlaw.errors import InputError
from mixlaw.fitted import Array, FittedLaw, SeparableTerms
from mixlaw.mixture import Mixture
from mixlaw.optimum.constraints import PerDomain, bounds
from mixlaw.optimum.lagrange import Mask, Solution, kkt_residual, multiplier
from mixlaw.optimum.local import minimize_local
from mixlaw.optimum.power import minimize_power, power_gain
from mixlaw.optimum.result import Optimum
from mixlaw.optimum.separable import minimize_separable, separable_gain
from mixlaw.weights import objective_weights

# How many of the runs' mixtures, the best by prediction, a local search starts from.
BEST_RUNS = 3


def optimize(
    law: FittedLaw,
    *,
    at: float,
    params: float | None = None,
    weights: Mapping[str, float] | None = None,
    floors: PerDomain = None,
    caps: PerDomain = None,
) -> Optimum:
    """Find the mixture with the lowest weighted mean loss under a law.

    Parameters
    ----------
    law
        A fitted law with gradients.
    at
        Length of training, in the unit of the law (`FittedLaw.x`).
    params
        Model size, for a law of several sizes.
    weights
        Evaluation domain -> weight >= 0 in the objective, in any scale; domains that are not named have none. None
        for equal weights of all.
    floors, caps
        Least and largest proportion: one number for every training domain, or a mapping for some.

    Returns
    -------
    Optimum
        The exact minimum of a law that is separable (every loss depends on the proportion of one domain) or a power of
        linear functions of the proportions; a local minimum of another, which `Optimum.starts` says. Under a separable
        law every proportion is positive.

    Raises
    ------
    InfeasibleError
        If no mixture lies between floors and caps.
    InputError
        If a weight, floor, cap, `at` or `params` is wrong; if the law has no gradient (trees); or if it has no value at
        the minimum:
        a separable law where a domain without a floor gains nothing from any tokens, so that its best proportion is
        0; another where floors or caps fill the mixture and leave a loss nothing that lowers it.
    MixlawError
        If no mixture could be certified as the minimum, which takes losses that differ by tens of orders of magnitude.

    Examples
    --------
    >>> law = mixlaw.laws.read("law.json")  # doctest: +SKIP
    >>> mixlaw.optimize(law, at=1e10, floors=0.01, caps={"web": 0.5}).mixture  # doctest: +SKIP
    """
    floor, cap = bounds(law.train_domains, floors, caps)
    w = objective_weights(law.eval_domains, weights)
    solution, gain, starts = _minimum(law, at, params, w, floor, cap)
    mixture = Mixture.from_array(law.train_domains, solution.r)
    losses = law.predict(mixture, at=at, params=params)[0]
    return Optimum(
        mixture=mixture,
        objective=float(w[w > 0.0] @ losses[w > 0.0]),
        losses=dict(zip(law.eval_domains, losses.tolist(), strict=True)),
        weights=dict(zip(law.eval_domains, w.tolist(), strict=True)),
        floors=dict(zip(law.train_domains, floor.tolist(), strict=True)),
        caps=dict(zip(law.train_domains, cap.tolist(), strict=True)),
        at_floor=_names(law, (solution.r <= floor) & (floor > 0.0)),
        at_cap=_names(law, (solution.r >= cap) & (cap < 1.0)),
        multiplier=solution.multiplier,
        kkt_residual=kkt_residual(gain, floor, cap, solution),
        starts=starts,
        at=float(at),
        x=law.x,
        law=law.law,
        fingerprint=law.fingerprint,
    )


def _minimum(
    law: FittedLaw, at: float, params: float | None, w: Array, floor: Array, cap: Array
) -> tuple[Solution, Array, tuple[int, int] | None]:
    """Find the minimum by the method for the form of the law, with the gain of every domain there, shape (m,)."""
    separable = law.separable(at=at, params=params)
    if separable is not None:
        c, alpha = _per_train_domain(separable, w, len(law.train_domains))
        solution = minimize_separable(c, alpha, floor, cap)
        _check_positive(law, solution.r, c)
        return solution, separable_gain(c, alpha, solution.r), None
    terms = law.power_terms(at=at, params=params)
    if terms is not None:
        c = w * terms.scale
        solution = minimize_power(terms.matrix, c, terms.alpha, floor, cap)
        _check_reached(law, (c * terms.alpha > 0.0) & ~(terms.matrix @ solution.r > 0.0))
        return solution, power_gain(terms.matrix, c, terms.alpha, solution.r), None

    counts = w > 0.0

    def value(r: Array) -> float:
        losses = law.predict(r[None] / r.sum(), at=at, params=params)[0]  # the search misses the sum by rounding
        return float(w[counts] @ losses[counts])

    def gradient(r: Array) -> Array:
        slopes = law.gradient(r[None] / r.sum(), at=at, params=params)[0]
        return np.asarray(w[counts] @ slopes[counts])

    order = np.argsort(law.predict(law.mixtures, at=at, params=params)[:, counts] @ w[counts])
    found = minimize_local(value, gradient, law.mixtures[order[:BEST_RUNS]], floor, cap)
    gain = -gradient(found.r)
    solution = Solution(found.r, multiplier(gain, found.r, floor, cap))
    return solution, gain, (found.starts, found.agreeing)


def _names(law: FittedLaw, held: Mask) -> tuple[str, ...]:
    return tuple(domain for domain, is_held in zip(law.train_domains, held, strict=True) if is_held)


def _per_train_domain(terms: SeparableTerms, w: Array, m: int) -> tuple[Array, Array]:
    """Scale and exponent of each training domain's term in the objective, shape (m,); 0 where nothing measures it."""
    c, alpha = np.zeros(m), np.zeros(m)
    c[terms.domain] = w * terms.scale
    alpha[terms.domain] = terms.alpha
    return c, alpha


def _check_positive(law: FittedLaw, r: Array, c: Array) -> None:
    """Refuse a minimum at which a proportion is 0: nothing pulls at that domain, and no floor holds it."""
    why = []
    for domain, share, scale in zip(law.train_domains, r, c, strict=True):
        if share == 0.0:
            reason = "its alpha is 0" if scale else "its weight is 0" if domain in law.eval_domains else "no loss of it"
            why.append(f"{domain!r} ({reason})")
    if why:
        raise InputError(
            f"nothing speaks for any tokens of {', '.join(why)}, so the best proportion is 0, where {law.law} has "
            "no value: give these domains a floor"
        )


def _check_reached(law: FittedLaw, infinite: Mask) -> None:
    """Refuse a minimum at which a loss with a weight is infinite: the bounds leave no other mixture."""
    if infinite.any():
        names = ", ".join(repr(domain) for domain, is_one in zip(law.eval_domains, infinite, strict=True) if is_one)
        raise InputError(
            f"floors or caps sum to 1 and leave nothing to the domains that lower the loss of {names}, which "
            f"{law.law} makes infinite there: make room for them"
        )
