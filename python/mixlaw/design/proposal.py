"""`propose`: which mixtures to train proxies on next."""

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from mixlaw import laws
from mixlaw.design.active import most_informative
from mixlaw.design.between import uniform_between
from mixlaw.design.dirichlet import around_prior
from mixlaw.design.filling import fill_space
from mixlaw.errors import InputError, did_you_mean
from mixlaw.fitted import Array, FittedLaw
from mixlaw.mixture import EXACT, Mixture, check_domains
from mixlaw.optimum import optimize
from mixlaw.optimum.constraints import PerDomain, bounds
from mixlaw.runs import RunTable

Method = Literal["active", "space-filling", "dirichlet"]
METHODS: tuple[Method, ...] = get_args(Method)

# Uniformly distributed mixtures among which is chosen, or this many for each that is asked for. For an active design
# half of them are moved towards the best mixture of the law, each by a part of the way.
POOL, POOL_EACH = 512, 20
# Draws from the posterior of a law.
DRAWS = 64


def propose(
    n: int,
    *,
    domains: Sequence[str] | None = None,
    runs: RunTable | None = None,
    law: FittedLaw | None = None,
    method: Method | None = None,
    prior: Mixture | None = None,
    candidates: npt.ArrayLike | Sequence[Mixture] | None = None,
    floors: PerDomain = None,
    caps: PerDomain = None,
    at: float | None = None,
    params: float | None = None,
    weights: Mapping[str, float] | None = None,
    seed: int = 0,
) -> list[Mixture]:
    """Propose mixtures to train proxies on.

    Parameters
    ----------
    n
        How many.
    domains, runs, law
        What is known, exactly one of them: the names of the training domains; runs of some mixtures; or a law fitted to
        runs.
    method
        ``"active"``: runs that most reduce the uncertainty of the best mixture and its loss under the law (the default
        law, fitted to the runs, where only these are given). ``"space-filling"``: mixtures far from each other and from
        those that were run. ``"dirichlet"``: RegMix's recipe, drawn around a prior. If not given, active where there
        are runs or a law, else space-filling.
    prior
        Centre of the mixtures of ``"dirichlet"``, which is uniform if not given. RegMix takes
        ``temperature_mixture(tokens, 2)``.
    candidates
        Mixtures to choose from, shape (c, m) or a sequence of `Mixture`, for ``"active"`` and ``"space-filling"``.
        Any mixture between floors and caps if not given.
    floors, caps
        Least and largest proportion: one number for every training domain, or a mapping for some.
    at, params, weights
        Of the objective that ``"active"`` is about, as for `mixlaw.optimize`; `at` is the length of the longest run if
        not given.
    seed
        Equal seeds give equal mixtures.

    Returns
    -------
    list of Mixture
        Between the bounds; the first of them are the most useful, but for ``"dirichlet"``, where any are.

    Raises
    ------
    InfeasibleError
        If no mixture lies between floors and caps.
    InputError
        If an argument is wrong or not one of the method; if there are fewer candidates than mixtures asked for; or if
        the law has no standard errors.
    FitError
        If the runs cannot identify the default law.

    Examples
    --------
    >>> [dict(mixture) for mixture in propose(1, domains=["web", "code"], floors=0.5)]
    [{'web': 0.5, 'code': 0.5}]
    """
    names, at_hand = _known(domains, runs, law)
    method = _method(method, n, runs is not None or law is not None)
    _check_arguments(method, prior=prior, candidates=candidates, at=at, params=params, weights=weights)
    floor, cap = bounds(names, floors, caps)
    rng = np.random.default_rng(seed)
    if method == "dirichlet":
        center = np.full(len(names), 1.0 / len(names)) if prior is None else prior.to_array(names)
        return _mixtures(names, around_prior(n, center, floor, cap, rng))
    pool = (
        uniform_between(max(POOL, POOL_EACH * n), floor, cap, rng)
        if candidates is None
        else _between(_given(names, candidates), floor, cap, n)
    )
    if method == "space-filling":
        return _mixtures(names, pool[fill_space(pool, at_hand, n)])
    if law is None:
        if runs is None:
            raise InputError("method='active' needs runs or a law; method='space-filling' needs domains alone")
        law = laws.default().fit(runs)
    at = law.x_range[1] if at is None else at
    if candidates is None:
        best = law.to_array(optimize(law, at=at, params=params, weights=weights, floors=floors, caps=caps).mixture)
        half = len(pool) // 2
        pool[:half] += rng.uniform(size=(half, 1)) * (best - pool[:half])
        pool = np.concatenate([best, pool])
    draws = law.draws(DRAWS, seed=seed)
    rows = most_informative(law, pool, n, at=at, params=params, weights=weights, draws=draws)
    return _mixtures(names, pool[rows])


def _known(
    domains: Sequence[str] | None, runs: RunTable | None, law: FittedLaw | None
) -> tuple[tuple[str, ...], Array]:
    """Training domains, and the mixtures that were run, shape (k, m)."""
    if sum(given is not None for given in (domains, runs, law)) != 1:
        raise InputError("propose: give exactly one of domains, runs and law")
    if law is not None:
        return law.train_domains, law.mixtures
    if runs is not None:
        return runs.train_domains, np.unique(runs.proportions, axis=0)
    assert domains is not None
    if isinstance(domains, str) or not domains:
        raise InputError(f"domains: expected the names of at least one domain, not {domains!r}")
    check_domains(domains, "training domain")
    return tuple(domains), np.empty((0, len(domains)))


def _method(method: str | None, n: int, after_runs: bool) -> Method:
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise InputError(f"n: expected how many mixtures to propose, a whole number above 0, not {n!r}")
    if method is None:
        return "active" if after_runs else "space-filling"
    for known in METHODS:
        if method == known:
            return known
    raise InputError(f"there is no method {method!r}{did_you_mean(method, METHODS)}")


def _check_arguments(method: Method, **given: object) -> None:
    takes = {
        "active": ("candidates", "at", "params", "weights"),
        "space-filling": ("candidates",),
        "dirichlet": ("prior",),
    }[method]
    for name, value in given.items():
        if value is not None and name not in takes:
            raise InputError(f"{name}: no argument of the method {method!r}")


def _given(names: Sequence[str], candidates: npt.ArrayLike | Sequence[Mixture]) -> Array:
    """Candidates as shape (c, m)."""
    rows = list(candidates) if isinstance(candidates, Sequence) else list(np.asarray(candidates))
    arrays = []
    for number, row in enumerate(rows):
        try:
            mixture = row if isinstance(row, Mixture) else Mixture.from_array(names, row)
            arrays.append(mixture.to_array(names))
        except InputError as error:
            raise InputError(f"candidate {number}: {error}") from error
    return np.array(arrays).reshape(len(arrays), len(names))


def _between(candidates: Array, floor: Array, cap: Array, n: int) -> Array:
    """The different candidates between the bounds; `InputError` if they are fewer than n."""
    inside = np.all((candidates >= floor - EXACT) & (candidates <= cap + EXACT), axis=1)
    different = list(dict.fromkeys(map(tuple, candidates[inside].tolist())))
    if len(different) < n:
        raise InputError(
            f"candidates: {len(different)} different mixtures lie between floors and caps, fewer than the {n} asked for"
        )
    return np.array(different)


def _mixtures(names: Sequence[str], rows: Array) -> list[Mixture]:
    return [Mixture.from_array(names, row) for row in rows]
