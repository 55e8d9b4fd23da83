"""`mixlaw.propose`."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlaw import InputError, Mixture, RunTable, laws, optimize, propose
from mixlaw.design.proposal import METHODS
from mixlaw.errors import InfeasibleError
from mixlaw.fitted import FittedLaw

DOMAINS = ("web", "code", "books", "law")
MIXTURES = np.random.default_rng(0).dirichlet(np.ones(4), 10)


@pytest.fixture(scope="module")
def runs() -> RunTable:
    losses = (2.0 + MIXTURES @ np.random.default_rng(1).uniform(0, 0.2, (4, 3)) + 0.02) * (
        MIXTURES[:, :3] + 0.01
    ) ** -0.1
    return RunTable.from_arrays(MIXTURES, losses, train_domains=DOMAINS, eval_domains=DOMAINS[:3], tokens=1e9)


@pytest.fixture(scope="module")
def law(runs: RunTable) -> FittedLaw:
    return laws.get("transfer").fit(runs)


@given(st.sampled_from(METHODS[1:]), st.integers(1, 12), st.floats(0.0, 0.24), st.floats(0.26, 1.0), st.integers(0, 99))
@settings(max_examples=40)
def test_proposals_before_any_run_are_mixtures_between_the_bounds(
    method: Any, n: int, floor: float, cap: float, seed: int
) -> None:
    proposed = propose(n, domains=DOMAINS, method=method, floors=floor, caps=cap, seed=seed)
    assert len(proposed) == n
    for mixture in proposed:
        assert tuple(mixture) == DOMAINS
        assert all(floor <= share <= cap for share in mixture.values())
    assert proposed == propose(n, domains=list(DOMAINS), method=method, floors=floor, caps=cap, seed=seed)
    other = propose(n, domains=DOMAINS, method=method, floors=floor, caps=cap, seed=seed + 1)
    assert proposed != other or cap < 0.5  # under low caps two mixtures may be the same corner


def test_a_space_filling_design_keeps_away_from_what_was_run(runs: RunTable, law: FittedLaw) -> None:
    for known in ({"runs": runs}, {"law": law}):
        rows = np.array([m.to_array(DOMAINS) for m in propose(6, method="space-filling", **known)])
        apart = [np.linalg.norm(a - b) for a, b in combinations(rows, 2)]
        apart += [np.linalg.norm(a - b) for a in rows for b in MIXTURES]
        drawn = np.random.default_rng(0).dirichlet(np.ones(4), 6)
        random = [np.linalg.norm(a - b) for a, b in combinations(drawn, 2)]
        random += [np.linalg.norm(a - b) for a in drawn for b in MIXTURES]
        assert min(apart) > 2 * min(random)


def test_active_proposals_are_between_the_bounds_and_different(law: FittedLaw) -> None:
    proposed = propose(5, law=law, floors={"law": 0.1}, caps=0.5)
    assert len(set(proposed)) == 5
    for mixture in proposed:
        assert mixture["law"] >= 0.1
        assert max(mixture.values()) <= 0.5
    assert proposed == propose(5, law=law, method="active", floors={"law": 0.1}, caps=0.5)
    assert proposed != propose(5, law=law, floors={"law": 0.1}, caps=0.5, weights={"code": 1})


def test_runs_alone_are_fitted_by_the_default_law(runs: RunTable) -> None:
    candidates = np.random.default_rng(5).dirichlet(np.ones(4), 30)
    fitted = laws.default().fit(runs)
    assert propose(3, runs=runs, candidates=candidates) == propose(3, law=fitted, candidates=candidates)


def test_an_active_design_chooses_among_all_mixtures_and_more_near_the_best(
    law: FittedLaw, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def spy(law: FittedLaw, candidates: Any, n: int, **more: Any) -> Any:
        seen.append(candidates)
        return np.arange(n)

    monkeypatch.setattr("mixlaw.design.proposal.most_informative", spy)
    best = optimize(law, at=1e9, floors=0.02).mixture
    first, *_ = propose(2, law=law, floors=0.02)
    assert first == best
    candidates = seen[0]
    assert candidates.min() >= 0.02 - 1e-15
    assert candidates.sum(axis=1) == pytest.approx(np.ones(len(candidates)))
    distance = np.linalg.norm(candidates[1:] - best.to_array(DOMAINS), axis=1)
    near, far = np.split(distance, 2)
    assert near.mean() == pytest.approx(0.5 * far.mean(), rel=0.1)
    assert near.min() < 0.02


def test_a_domain_that_bimix_needs_a_floor_for_is_named() -> None:
    r = np.random.default_rng(0).dirichlet(np.ones(2), 6)
    losses = np.column_stack([r[:, 0] ** -0.1, r[:, 1] ** -0.2]) * (
        1 + 1e-3 * np.random.default_rng(1).normal(size=(6, 2))
    )
    runs = RunTable.from_arrays(r, losses, train_domains=["a", "b"], eval_domains=["a", "b"], tokens=1.0)
    law = laws.get("bimix").fit(runs)
    with pytest.raises(InputError, match="'b'"):
        propose(1, law=law, weights={"a": 1.0})
    assert len(propose(1, law=law, weights={"a": 1.0}, floors=0.01)) == 1


def test_candidates_between_the_bounds_are_chosen_each_once(law: FittedLaw) -> None:
    candidates = [Mixture.from_array(DOMAINS, row) for row in np.random.default_rng(1).dirichlet(np.ones(4), 20)]
    candidates += candidates[:5]
    allowed = [mixture for mixture in candidates[:20] if mixture["web"] <= 0.4]
    for method in ("active", "space-filling"):
        chosen = propose(len(allowed), law=law, method=method, candidates=candidates, caps={"web": 0.4})
        assert set(chosen) == set(allowed)
        arrays = np.array([mixture.to_array(DOMAINS) for mixture in candidates])
        few = propose(3, law=law, method=method, candidates=arrays, caps={"web": 0.4})
        assert few == chosen[:3] or method == "space-filling"
    with pytest.raises(InputError, match=f"{len(allowed)} different mixtures lie between floors and caps, fewer than"):
        propose(len(allowed) + 1, law=law, candidates=candidates, caps={"web": 0.4})


def test_a_prior_is_the_centre_of_the_dirichlet() -> None:
    prior = Mixture({"law": 0.05, "books": 0.15, "code": 0.2, "web": 0.6})
    proposed = propose(3000, domains=DOMAINS, method="dirichlet", prior=prior)
    means = np.mean([mixture.to_array(DOMAINS) for mixture in proposed], axis=0)
    assert means == pytest.approx(prior.to_array(DOMAINS), abs=0.03)


def test_one_domain_has_one_mixture() -> None:
    for method in METHODS[1:]:
        assert propose(2, domains=["web"], method=method) == [Mixture({"web": 1.0})] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "exactly one of domains, runs and law"),
        ({"domains": ["web"], "runs": "runs"}, "exactly one of domains, runs and law"),
        ({"domains": "web"}, "names of at least one domain, not 'web'"),
        ({"domains": []}, "names of at least one domain"),
        ({"domains": ["web", "web"]}, "training domain 'web' stands twice"),
        ({"domains": ["web"], "n": 0}, "n: expected how many mixtures to propose, a whole number above 0, not 0"),
        ({"domains": ["web"], "n": 2.0}, "a whole number above 0, not 2.0"),
        ({"domains": ["web"], "method": "activ"}, "no method 'activ'; did you mean 'active'?"),
        ({"domains": ["web"], "method": "active"}, "needs runs or a law"),
        ({"domains": ["web"], "prior": Mixture({"web": 1.0})}, "prior: no argument of the method 'space-filling'"),
        ({"runs": "runs", "method": "dirichlet", "candidates": [[1.0]]}, "candidates: no argument of the method"),
        ({"runs": "runs", "method": "space-filling", "at": 1e9}, "at: no argument of the method"),
        ({"law": "law", "weights": {"maths": 1}}, "weight of 'maths': no evaluation domain"),
        ({"law": "law", "at": -1.0}, "at: tokens must be positive"),
        ({"law": "law", "floors": {"cod": 0.1}}, "floor of 'cod'"),
        ({"law": "law", "candidates": [[0.5, 0.5]]}, r"candidate 0: 4 domains need proportions of shape \(4,\)"),
        ({"law": "law", "candidates": [[0.7, 0.1, 0.1, 0.0]]}, "candidate 0: .*sum to 0.9"),
        ({"domains": ["web", "code"], "method": "dirichlet", "prior": Mixture({"web": 1.0})}, "no domain 'code'"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str, runs: RunTable, law: FittedLaw) -> None:
    known = {"runs": runs, "law": law}
    arguments = {
        name: known.get(value, value) if isinstance(value, str) else value for name, value in arguments.items()
    }
    with pytest.raises(InputError, match=message):
        propose(arguments.pop("n", 1), **arguments)


def test_bounds_that_no_mixture_meets_are_refused() -> None:
    with pytest.raises(InfeasibleError, match=r"sum to 1\.6"):
        propose(1, domains=DOMAINS, floors=0.4)


def test_active_after_runs_of_several_sizes_takes_the_size_that_is_asked_about() -> None:
    rng = np.random.default_rng(0)
    r, size = rng.dirichlet(np.ones(3), 24), np.tile([1e8, 4e8], 12)
    losses = (2.0 + (size[:, None] / 1e8) ** -0.4) * (0.1 + r) ** -0.1
    names = ["web", "code", "books"]
    runs = RunTable.from_arrays(r, losses, train_domains=names, eval_domains=names, tokens=1e9, params=size)
    for proposed in propose(2, runs=runs, params=4e8, floors=0.05):
        assert min(proposed.values()) >= 0.05
    with pytest.raises(InputError, match="params: the runs have 2 model sizes"):
        propose(2, runs=runs, floors=0.05)
