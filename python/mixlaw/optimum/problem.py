"""`optimize`: from a fitted law, an objective and constraints to an `Optimum`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mixlaw.errors import InputError, MixlawError
from mixlaw.fitted import Array, FittedLaw
from mixlaw.hull import distance_to_hull, nearest
from mixlaw.mixture import Mixture
from mixlaw.optimum.constraints import Constraints, GroupBound, PerDomain, RatioBound, constraints
from mixlaw.optimum.feasible import check_feasible, interior
from mixlaw.optimum.local import HOLDS
from mixlaw.optimum.objective import Objective
from mixlaw.optimum.pull import Pull
from mixlaw.optimum.result import Active, Alternative, Optimum, Runs
from mixlaw.optimum.solve import Minimum, find_minimum
from mixlaw.optimum.uncertain import uncertainty
from mixlaw.weights import finite_number, objective_weights

# Laws drawn for the error bars, and for the standard deviation in the objective. They have the same seed: the standard
# deviation is one function of the mixture, the same under every drawn law, so that neither biases the other.
DRAWS = RISK_DRAWS = 50
# Names that baselines have anyway.
TAKEN = ("uniform", "best run", "unconstrained")


def optimize(
    law: FittedLaw,
    *,
    at: float,
    params: float | None = None,
    weights: Mapping[str, float] | None = None,
    worst_case: bool = False,
    risk: float = 0.0,
    prior: Mixture | None = None,
    pull: float = 0.0,
    floors: PerDomain = None,
    caps: PerDomain = None,
    fixed: Mapping[str, float] | None = None,
    groups: Sequence[GroupBound] = (),
    ratios: Sequence[RatioBound] = (),
    budget: float | None = None,
    available: Mapping[str, float] | None = None,
    max_epochs: PerDomain = None,
    repetition: float | None = None,
    baselines: Mapping[str, Mixture] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Optimum:
    """Find the mixture with the lowest predicted loss under a law.

    Parameters
    ----------
    law
        A fitted law, of any form.
    at
        Length of training, in the unit of the law (`FittedLaw.x`).
    params
        Model size in parameters; that of the runs if not given.
    weights
        Evaluation domain -> weight >= 0 in the objective, in any scale; domains that are not named have none, so that
        ``{"code": 1}`` asks for the best mixture for code alone. None for equal weights of all.
    worst_case
        Minimise the largest weighted loss, not their mean. Weights of 1 / (loss of a reference) make that the largest
        loss relative to the reference.
    risk
        Weight of the standard deviation that the objective has under laws drawn from the posterior: minimise the mean
        loss plus so many standard deviations.
    prior, pull
        Add `pull` times the divergence KL(mixture || prior) to the objective, in nats per token.
    floors, caps
        Least and largest proportion: one number for every training domain, or a mapping for some.
    fixed
        Training domain -> its proportion.
    groups
        Bounds of what several domains have together.
    ratios
        Bounds of the ratio of two proportions.
    budget
        Tokens that the run trains on; `at` if not given and the law measures training in tokens.
    available
        Training domain -> unique tokens that there are of it; unlimited for those that are not named.
    max_epochs
        How often the available tokens of a domain may be used: one number for all that have any, or a mapping.
    repetition
        R* of the discount on repeated tokens (15.39 by Muennighoff et al., 2023), at least 0.1: the law is asked about
        effective proportions, see `mixlaw.optimum.epochs`. None to count them in full.
    baselines
        Name -> a mixture to compare with. The uniform one and the best of the runs' are always there.
    draws
        How many laws drawn from the posterior the error bars are from; 0 for no error bars and no intervals.
    seed
        Of everything that is drawn.

    Returns
    -------
    Optimum
        A certified minimum where the law has separable, power or exponential terms (see `FittedLaw`) and `risk` is 0;
        else the best of several local minima; for a law without a gradient, the mean of the best mixtures of a sample.

    Raises
    ------
    InfeasibleError
        If no mixture satisfies the constraints; the message names some that clash.
    InputError
        If an argument is wrong; if `risk` is asked of a fit without standard errors; or if the law has no value at the
        minimum: under BiMix where a domain without a floor gains nothing from any tokens, so that its best proportion
        is 0; under others where constraints leave a loss nothing that lowers it.
    MixlawError
        If a convex minimum cannot be certified, which takes losses that differ by tens of orders of magnitude.

    Examples
    --------
    >>> law = mixlaw.laws.read("law.json")  # doctest: +SKIP
    >>> mixlaw.optimize(law, at=1e10, floors=0.01, caps={"web": 0.5}).mixture  # doctest: +SKIP
    """
    length = float(law.positions(at, 1)[0])
    limits = constraints(
        law.train_domains,
        tokens=length if law.x == "tokens" else None,
        floors=floors,
        caps=caps,
        fixed=fixed,
        groups=groups,
        ratios=ratios,
        budget=budget,
        available=available,
        max_epochs=max_epochs,
        repetition=repetition,
    )
    check_feasible(limits)
    objective = Objective(
        law=law,
        at=length,
        params=params,
        weights=_weights(law, weights, worst_case),
        worst=worst_case,
        risk=_at_least_zero(risk, "risk"),
        drawn=law.draws(RISK_DRAWS, seed=seed) if risk else (),
        pull=_pull(law, prior, _at_least_zero(pull, "pull")),
        supply=limits.supply if limits.supply is not None and limits.supply.discounts else None,
    )
    if worst_case and risk:
        raise InputError("risk: the standard deviation is that of the mean loss, which worst_case does not minimise")
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 0 or draws == 1:
        raise InputError(f"draws: expected 0 or a whole number above 1, not {draws!r}")
    references = _references(objective, baselines or {})
    _check_finite(objective, interior(limits).r)
    found = find_minimum(objective, limits, seed=seed)
    _check_positive(objective, limits, found.r)
    active = _active(limits, found)
    limited = limits.bind if found.method == "sampled" else any(one.price > 0.0 for one in active)
    best = _alternative(objective, limits, found.r)
    sure = uncertainty(objective, limits, found, draws, seed)
    known = law.mixtures
    return Optimum(
        mixture=best.mixture,
        goal=_goal(worst_case, risk, pull),
        objective=best.objective,
        losses=best.losses,
        weights=dict(zip(law.eval_domains, objective.weights.tolist(), strict=True)),
        error_bars=sure.error_bars,
        intervals=sure.intervals,
        draws=sure.draws,
        unsure=sure.unsure,
        active=active,
        unconstrained=_unconstrained(objective, limits, seed) if limited else None,
        baselines={name: _alternative(objective, limits, r) for name, r in references.items()},
        runs=Runs(nearest(known, found.r)[1], distance_to_hull(known, found.r)) if len(known) else None,
        epochs={} if limits.supply is None else limits.supply.epochs(found.r),
        method=found.method,
        multiplier=None if found.certificate is None else found.certificate.multiplier,
        gap=None if found.certificate is None else found.certificate.gap,
        starts=found.starts,
        agreeing=found.agreeing,
        constraints=limits.content(),
        at=length,
        x=law.x,
        params=params,
        law=law.law,
        fingerprint=law.fingerprint,
    )


def _weights(law: FittedLaw, weights: Mapping[str, float] | None, worst_case: bool) -> Array:
    """Weights of all evaluation domains: of sum 1, but as given in the worst case, where they are no mean's."""
    shares = objective_weights(law.eval_domains, weights)
    if not worst_case:
        return shares
    return np.array([1.0 if weights is None else float(weights.get(domain, 0.0)) for domain in law.eval_domains])


def _at_least_zero(value: object, what: str) -> float:
    number = finite_number(value, what)
    if number < 0.0:
        raise InputError(f"{what}: expected a number >= 0, not {number:g}")
    return number


def _pull(law: FittedLaw, prior: Mixture | None, weight: float) -> Pull | None:
    if (prior is None) != (weight == 0.0):
        raise InputError("prior and pull: give both, a mixture and how much a divergence from it counts, or neither")
    if prior is None:
        return None
    if not isinstance(prior, Mixture):
        raise InputError(f"prior: expected a Mixture, not {prior!r}")
    shares = prior.to_array(law.train_domains)
    for domain, share in zip(law.train_domains, shares, strict=True):
        if share == 0.0:
            raise InputError(
                f"prior: {domain!r} has no share, so any other than 0 would diverge infinitely; give it one"
            )
    return Pull(weight, shares)


def _goal(worst_case: bool, risk: float, pull: float) -> str:
    loss = "worst weighted loss" if worst_case else "weighted mean loss"
    return loss + (f" + {risk:.6g} sd" if risk else "") + (f" + {pull:.6g} KL to the prior" if pull else "")


def _references(objective: Objective, given: Mapping[str, Mixture]) -> dict[str, Array]:
    """Mixtures to compare with, by name."""
    law = objective.law
    references = {"uniform": np.full(len(law.train_domains), 1.0 / len(law.train_domains))}
    if len(law.mixtures):
        best = law.mixtures[np.argmin(objective.values(law.mixtures))]
        references["best run"] = best / best.sum()
    for name, mixture in given.items():
        if name in TAKEN:
            raise InputError(f"baseline {name!r}: the name is taken, give it another")
        if not isinstance(mixture, Mixture):
            raise InputError(f"baseline {name!r}: expected a Mixture, not {mixture!r}")
        try:
            references[name] = mixture.to_array(law.train_domains)
        except InputError as error:
            raise InputError(f"baseline {name!r}: {error}") from error
    return references


def _alternative(objective: Objective, limits: Constraints, r: Array) -> Alternative:
    losses = objective.losses(r[None, :])[0]
    return Alternative(
        mixture=Mixture.from_array(objective.law.train_domains, r),
        objective=objective.value(r),
        losses=dict(zip(objective.law.eval_domains, losses.tolist(), strict=True)),
        allowed=limits.allow(r),
    )


def _unconstrained(objective: Objective, limits: Constraints, seed: int) -> Alternative | None:
    """The optimum of the same objective over all mixtures; None where the law has no value there."""
    without = limits.without_bounds()
    try:
        found = _alternative(objective, without, find_minimum(objective, without, seed=seed).r)
    except MixlawError:
        return None
    return (
        replace(found, allowed=limits.allow(found.mixture.to_array(limits.domains)))
        if np.isfinite(found.objective)
        else None
    )


def _active(limits: Constraints, found: Minimum) -> tuple[Active, ...]:
    """Constraints that hold a minimum, with their prices."""
    if found.certificate is None:
        return ()
    r, reduced, rows = found.r, found.certificate.reduced, found.certificate.rows
    floor, cap, held = limits.floor, limits.cap, limits.floor == limits.cap
    active = []
    for j in range(len(r)):
        at_floor = r[j] <= floor[j] and floor[j] > 0.0 and (not held[j] or reduced[j] > 0.0)
        at_cap = r[j] >= cap[j] and cap[j] < 1.0 and not (held[j] and at_floor)
        if at_floor:
            active.append(Active(limits.words("floor", j), max(0.0, float(reduced[j]))))
        if at_cap:
            active.append(Active(limits.words("cap", j), max(0.0, -float(reduced[j]))))
    sums = limits.G @ r
    for k in range(len(sums)):
        if sums[k] >= limits.high[k] - HOLDS and (limits.low[k] < limits.high[k] or rows[k] >= 0.0):
            active.append(Active(limits.words("high", k), max(0.0, float(rows[k]))))
        elif sums[k] <= limits.low[k] + HOLDS:
            active.append(Active(limits.words("low", k), max(0.0, -float(rows[k]))))
    return tuple(active)


def _check_finite(objective: Objective, inside: Array) -> None:
    """Refuse constraints under which a loss that counts is infinite for every mixture, if it is for one inside."""
    law = objective.law
    infinite = (objective.weights > 0.0) & ~np.isfinite(objective.losses(inside[None, :])[0])
    if infinite.any():
        names = ", ".join(repr(domain) for domain, is_one in zip(law.eval_domains, infinite, strict=True) if is_one)
        raise InputError(
            f"the constraints leave nothing to the domains that lower the loss of {names}, which {law.law} makes "
            "infinite there: make room for them"
        )


def _check_positive(objective: Objective, limits: Constraints, r: Array) -> None:
    """Refuse a minimum of a separable law at which a proportion is 0 though more is allowed."""
    if objective.separable is None:
        return
    law, scale, why = objective.law, objective.separable[0], []
    for j in np.flatnonzero((r == 0.0) & (limits.cap > 0.0)):
        domain = law.train_domains[j]
        reason = "its alpha is 0" if scale[j] else "its weight is 0" if domain in law.eval_domains else "no loss of it"
        why.append(f"{domain!r} ({reason})")
    if why:
        raise InputError(
            f"nothing speaks for any tokens of {', '.join(why)}, so the best proportion is 0, where {law.law} has "
            "no value: give these domains a floor"
        )
