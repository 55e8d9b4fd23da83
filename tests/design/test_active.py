"""Active designs, against a linear Gaussian model in which the posterior is known."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from mixlaw import InputError, RunTable, laws
from mixlaw.design.active import _greedy, most_informative
from mixlaw.fitted import Array, FittedLaw

DOMAINS = ("web", "code", "books")


def planted(mixtures: Array, seed: int = 0, noise: float = 0.004) -> RunTable:
    """Runs of a law in which books help web."""
    T = np.array([[1.0, 0.02, 0.3], [0.05, 1.0, 0.01], [0.2, 0.01, 1.0]])
    z = (mixtures**0.7 @ T.T**0.7) ** (1.0 / 0.7)
    losses = np.array([3.0, 1.5, 3.2]) * z ** -np.array([0.06, 0.15, 0.08])
    losses *= np.exp(noise * np.random.default_rng(seed).normal(size=losses.shape))
    return RunTable.from_arrays(mixtures, losses, train_domains=DOMAINS, eval_domains=DOMAINS, tokens=1e9)


@pytest.fixture(scope="module")
def mixtures() -> Array:
    return np.random.default_rng(3).dirichlet(np.ones(3), 40)


@pytest.fixture(scope="module")
def law(mixtures: Array) -> FittedLaw:
    return laws.get("transfer").fit(planted(mixtures[:6]))


def choose(law: FittedLaw, candidates: Array, n: int, weights: dict[str, float] | None = None) -> list[int]:
    draws = law.draws(16, seed=0)
    return most_informative(law, candidates, n, at=1e9, params=None, weights=weights, draws=draws).tolist()


def left(X: Array, rows: tuple[int, ...], noise: Array, weight: Array) -> float:
    """Sum of weighted posterior variances of X theta after observing some rows of it, theta ~ N(0, 1)."""
    total = 0.0
    for x, variance, w in zip(X, noise, weight, strict=True):
        seen = x[list(rows)]
        posterior = np.linalg.inv(np.eye(x.shape[1]) + seen.T @ seen / variance)
        total += float(w @ np.einsum("qi,ij,qj->q", x, posterior, x))
    return total


def test_each_run_is_the_one_that_leaves_the_least_variance() -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        X, noise, weight = rng.normal(size=(2, 9, 4)), rng.uniform(0.1, 2.0, 2), rng.uniform(size=(2, 9))
        C = X @ np.swapaxes(X, 1, 2)
        chosen = _greedy(C.copy(), weight, noise, 7, 4).tolist()
        assert max(chosen) < 7
        for k in range(4):
            others = [row for row in range(7) if row not in chosen[:k]]
            best = min(others, key=lambda row: left(X, (*chosen[:k], row), noise, weight))
            assert chosen[k] == best
        # Taking them one after the other loses little against the best set.
        sets = [left(X, rows, noise, weight) for rows in permutations(range(7), 4)]
        before = left(X, (), noise, weight)
        assert before - left(X, tuple(chosen), noise, weight) > 0.8 * (before - min(sets))


def test_the_order_of_candidates_changes_nothing(law: FittedLaw, mixtures: Array) -> None:
    candidates = mixtures[6:]
    order = np.random.default_rng(0).permutation(len(candidates))
    chosen = candidates[choose(law, candidates, 4)]
    assert chosen == pytest.approx(candidates[order][choose(law, candidates[order], 4)])


def test_what_is_far_from_all_runs_is_run_first_where_nothing_else_differs() -> None:
    # All runs are alike but for web and books: nothing is known of what code does.
    share = np.linspace(0.1, 0.8, 6)
    known = np.column_stack([share, np.full(6, 0.05), 0.95 - share])
    law = laws.get("transfer").fit(planted(known))
    candidates = np.array([[0.4, 0.05, 0.55], [0.3, 0.5, 0.2], [0.6, 0.05, 0.35]])
    assert choose(law, candidates, 1) == [1]


def test_a_law_fitted_with_the_runs_chosen_is_surer_of_the_optimum_than_with_others(mixtures: Array) -> None:
    ratios = []
    for seed in range(20):
        runs = planted(mixtures, seed)
        law = laws.get("transfer").fit(runs.select(np.arange(6)))
        chosen = 6 + np.array(choose(law, mixtures[6:], 4))
        others = np.random.default_rng(seed).choice(np.arange(6, 40), 4, replace=False)
        spread = []
        for more in (chosen, others):
            fitted = laws.get("transfer").fit(runs.select(np.r_[np.arange(6), more]))
            best = mixtures[fitted.predict(mixtures, at=1e9).mean(axis=1).argmin()][None]
            spread.append(float(fitted.log_variance(best, at=1e9).mean()))
        ratios.append(spread[0] / spread[1])
    assert np.exp(np.mean(np.log(ratios))) < 0.9


def test_domains_without_a_weight_do_not_count(law: FittedLaw, mixtures: Array) -> None:
    blurred = replace(law, covariance={**law.covariance, "code": 25.0 * law.covariance["code"]})
    only = {"web": 1.0, "books": 2.0}
    assert choose(law, mixtures[6:], 3, only) == choose(blurred, mixtures[6:], 3, only)
    assert choose(law, mixtures[6:], 3) != choose(blurred, mixtures[6:], 3)


def test_a_noisy_domain_teaches_less(law: FittedLaw, mixtures: Array) -> None:
    deaf = {d: replace(fit, residual_sd=1e3) if d != "code" else fit for d, fit in law.quality.items()}
    few = choose(replace(law, quality=deaf), mixtures[6:], 1)
    gain = np.linalg.norm(law.log_covariance(mixtures[6:], at=1e9)[1], axis=0)
    assert gain[few[0]] > np.median(gain)


def test_bimix_takes_part_but_not_where_it_has_no_value(mixtures: Array) -> None:
    law = laws.get("bimix").fit(planted(mixtures[:8]))
    assert len(set(choose(law, mixtures[8:], 3))) == 3
    with pytest.raises(InputError, match="candidate 1: bimix has no finite prediction there; set floors"):
        choose(law, np.array([[0.3, 0.3, 0.4], [0.5, 0.5, 0.0]]), 1)


def test_a_law_without_standard_errors_is_refused(law: FittedLaw, mixtures: Array) -> None:
    unsure = replace(law, covariance={domain: np.full_like(C, np.nan) for domain, C in law.covariance.items()})
    with pytest.raises(InputError, match="domain 'web': the fit gives no standard errors"):
        choose(unsure, mixtures, 1)
    saturated = replace(law, quality={**law.quality, "code": replace(law.quality["code"], residual_sd=None)})
    with pytest.raises(InputError, match="domain 'code': as many coefficients as rows"):
        choose(saturated, mixtures, 1)
