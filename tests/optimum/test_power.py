"""Laws whose losses are powers of what domains add up to."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import mixlaw
from mixlaw import InputError
from mixlaw.laws.returns import marginal
from mixlaw.optimum.constraints import constraints
from mixlaw.optimum.convex import Convex, minimize_convex
from mixlaw.optimum.lagrange import certificate


def minimum(objective: Convex, gap: float = 1e-10, **given: object):
    """The certified minimum between bounds."""
    m = objective.A.shape[1]
    named = {what: {f"d{j}": value for j, value in enumerate(values)} for what, values in given.items()}
    found = minimize_convex(objective, constraints([f"d{j}" for j in range(m)], **named))
    values, slopes = objective.parts(found.r)
    assert certificate(values, slopes, found.r, found.constraints, found.multipliers, None).gap <= gap * values.sum()
    return found.r


def test_two_domains_have_a_closed_form() -> None:
    # The domains gain the same where c z**-3/2 is the same for both terms.
    matrix, alpha = np.array([[1.0, 0.25], [0.25, 1.0]]), np.full(2, 0.5)
    z = matrix @ minimum(Convex(matrix, np.array([1.0, 2.0]), alpha))
    assert z[1] / z[0] == pytest.approx(2.0 ** (2.0 / 3.0), rel=1e-9)
    # Here z would be as 1 to 4: at the vertex, with a floor that holds nothing.
    np.testing.assert_allclose(minimum(Convex(matrix, np.array([1.0, 8.0]), alpha)), [0.0, 1.0], atol=1e-15)


@pytest.mark.parametrize("rho", [0.3, 0.7, 0.95])
def test_diminishing_returns_spread_a_mixture_until_what_more_is_worth_is_even(rho: float) -> None:
    # One loss: without diminishing returns all would go to the domain that counts most.
    weights = np.array([1.0, 0.8, 0.2])
    objective = Convex(weights[None, :], np.ones(1), np.full(1, 0.3), rho=np.array([rho]))
    r = minimum(objective)
    worth = weights * marginal(r, rho)
    free = r > 0.0
    np.testing.assert_allclose(worth[free], worth[0], rtol=1e-7)
    assert (worth[~free] <= worth[0]).all()
    # Where all have a share, and DELTA hardly counts, shares are as weight**(1 / (1 - rho)).
    if rho < 0.5:
        np.testing.assert_allclose(r, weights ** (1 / (1 - rho)) / (weights ** (1 / (1 - rho))).sum(), atol=1e-3)


def test_equal_domains_get_equal_shares_of_diminishing_returns() -> None:
    r = minimum(Convex(np.ones((2, 4)), np.ones(2), np.array([0.1, 0.3]), rho=np.array([0.5, 0.8])))
    np.testing.assert_allclose(r, 0.25, rtol=1e-9)


@pytest.mark.parametrize("returns", [False, True])
def test_a_thousand_domains_and_a_thousand_losses_are_solved_to_the_same_accuracy(returns: bool) -> None:
    rng = np.random.default_rng(1)
    matrix = rng.dirichlet(np.full(1000, 0.05), 1000) + np.eye(1000)
    c, alpha = rng.uniform(1.0, 4.0, 1000), rng.uniform(0.02, 0.4, 1000)
    objective = Convex(matrix, c, alpha, rho=rng.uniform(0.5, 0.9, 1000) if returns else None)
    r = minimum(objective, floors=np.full(1000, 3e-4), caps=np.full(1000, 2e-3))
    assert ((r == 3e-4).sum() > 100, (r == 2e-3).sum() > 100) == (True, True)


@pytest.mark.parametrize("returns", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_domains_and_terms_in_another_order_are_the_same_problem(seed: int, returns: bool) -> None:
    rng = np.random.default_rng(seed)
    m = int(rng.integers(2, 30))
    matrix, c, alpha = (
        np.eye(m) + rng.uniform(0.0, 1.0 / m, (m, m)),
        rng.uniform(1.0, 4.0, m),
        rng.uniform(0.02, 0.4, m),
    )
    rho = rng.uniform(0.5, 0.9, m)
    floor, cap = rng.uniform(0.0, 0.6, m) / m, np.minimum(1.0, rng.uniform(1.2, 4.0, m) / m)
    domains, terms = rng.permutation(m), rng.permutation(m)
    r = minimum(Convex(matrix, c, alpha, rho=rho if returns else None), floors=floor, caps=cap)
    mixed = Convex(matrix[terms][:, domains], c[terms], alpha[terms], rho=rho[terms] if returns else None)
    np.testing.assert_allclose(minimum(mixed, floors=floor[domains], caps=cap[domains]), r[domains], atol=1e-7)


@pytest.mark.parametrize("shares", [[0.1] * 10, [0.7, 0.2, 0.1], [0.3, 0.3, 0.4]])
@pytest.mark.parametrize("which", ["floors", "caps"])
@pytest.mark.parametrize("rho", [None, 0.6])
def test_bounds_that_sum_to_one_are_the_mixture(shares: list[float], which: str, rho: float | None) -> None:
    matrix = np.random.default_rng(len(shares)).uniform(size=(4, len(shares)))
    objective = Convex(matrix, np.ones(4), np.full(4, 0.1), rho=rho and np.full(4, rho))
    assert minimum(objective, **{which: shares}).tolist() == shares


@pytest.mark.parametrize("scale", [1e-100, 1e100])
def test_scaling_the_objective_does_not_move_the_minimum(scale: float) -> None:
    rng = np.random.default_rng(3)
    matrix, c, alpha = rng.uniform(size=(40, 63)) + np.eye(40, 63), rng.uniform(1, 4, 40), rng.uniform(0.02, 0.4, 40)
    bounds = {"floors": np.full(63, 0.01), "caps": np.full(63, 0.03)}
    rho = rng.uniform(0.5, 0.9, 40)
    r = minimum(Convex(matrix, c, alpha, rho=rho), **bounds)
    np.testing.assert_allclose(minimum(Convex(matrix, scale * c, alpha, rho=rho), **bounds), r, rtol=1e-7)


@pytest.mark.parametrize("short", [1e-4, 1e-6, 1e-8, 1e-10, 1e-11])
@pytest.mark.parametrize("rho", [None, 0.6])
@pytest.mark.parametrize("which", ["one floor", "floors", "caps"])
def test_bounds_that_leave_next_to_nothing_are_kept(short: float, rho: float | None, which: str) -> None:
    matrix = np.array([[1.0, 0.1, 0.01], [0.2, 1.0, 0.1], [0.05, 0.3, 1.0]])
    objective = Convex(matrix, np.array([2.0, 3.0, 1.0]), np.array([0.1, 0.2, 0.3]), rho=rho and np.full(3, rho))
    near = np.array([0.3, 0.3, 0.4])
    bounds = {"one floor": {"floors": [0.0, 0.0, 1.0 - short]}, "floors": {"floors": near * (1.0 - short)}}
    r = minimum(objective, 1e-8, **bounds.get(which, {"caps": near * (1.0 + short)}))
    assert abs(math.fsum(r) - 1.0) <= 1e-9  # as `Mixture` asks


def test_a_loss_that_would_be_infinite_keeps_its_domain() -> None:
    matrix = np.array([[1.0, 0.0], [0.0, 1e-9]])
    r = minimum(Convex(matrix, np.array([1.0, 1e-6]), np.array([0.5, 0.01])))
    assert 0.0 < r[1] < 1e-7


TRAIN = ("web", "code", "books")
TERMS = {"talk": (0.3, (1.0, 0.0, 0.4)), "code": (0.2, (0.1, 1.0, 0.0)), "maths": (0.1, (0.2, 0.6, 0.5))}


def test_a_law_of_power_terms_is_optimised(power_law_of) -> None:
    law = power_law_of(TRAIN, TERMS)
    best = mixlaw.optimize(law, at=25.0, weights={"talk": 1.0, "code": 2.0, "maths": 1.0}, floors={"books": 0.2})
    first, second = np.meshgrid(np.arange(1, 200), np.arange(1, 200))
    grid = np.stack([first, second, 200 - first - second], axis=-1).reshape(-1, 3) / 200.0
    grid = grid[grid[:, 2] >= 0.2]
    objectives = law.predict(grid, at=25.0) @ np.array([0.25, 0.5, 0.25])
    assert best.objective <= objectives.min()
    assert best.mixture.to_array(TRAIN) == pytest.approx(grid[objectives.argmin()], abs=0.006)
    assert (best.law, best.at, [one.constraint for one in best.active]) == ("fake", 25.0, ["floor of 'books' 0.2"])
    assert list(best.losses.values()) == law.predict(best.mixture, at=25.0)[0].tolist()
    assert best.objective == pytest.approx(np.array([0.25, 0.5, 0.25]) @ list(best.losses.values()), rel=1e-15)
    assert best.gap <= 1e-10
    gradient = np.array([0.25, 0.5, 0.25]) @ law.gradient(best.mixture, at=25.0)[0]
    np.testing.assert_allclose(-gradient[:2], best.multiplier, rtol=1e-10)
    assert -gradient[2] < best.multiplier


def test_a_proportion_of_zero_is_a_minimum_like_any_other(power_law_of, tmp_path: Path) -> None:
    best = mixlaw.optimize(power_law_of(TRAIN, TERMS), at=25.0, weights={"maths": 1.0}, caps={"code": 0.7})
    assert dict(best.mixture) == {"web": 0.0, "code": 0.7, "books": pytest.approx(0.3, rel=1e-15)}
    assert [one.constraint for one in best.active] == ["cap of 'code' 0.7"]
    best.write(tmp_path / "optimum.json")
    content = json.loads((tmp_path / "optimum.json").read_text())
    assert content["mixture"] == dict(best.mixture)
    assert content["gap"] == best.gap


def test_a_loss_without_weight_may_be_infinite(power_law_of, tmp_path: Path) -> None:
    law = power_law_of(TRAIN, TERMS | {"web": (0.1, (1.0, 0.0, 0.0))})
    best = mixlaw.optimize(law, at=25.0, weights={"code": 1.0})
    assert dict(best.mixture) == {"web": 0.0, "code": 1.0, "books": 0.0}
    assert best.losses["web"] == math.inf
    assert best.objective == best.losses["code"]
    best.write(tmp_path / "optimum.json")
    assert json.loads((tmp_path / "optimum.json").read_text())["losses"]["web"] is None
    assert "\nweb             0      inf" in best.to_text()


def test_bounds_that_leave_a_loss_infinite_are_refused_by_its_name(power_law_of) -> None:
    law = power_law_of(TRAIN, TERMS)
    with pytest.raises(InputError, match=r"nothing to the domains that lower the loss of 'talk', which fake makes inf"):
        mixlaw.optimize(law, at=25.0, floors={"code": 1.0})
    assert mixlaw.optimize(law, at=25.0, floors={"code": 1.0}, weights={"code": 1.0}).mixture["code"] == 1.0


def test_losses_that_no_mixture_changes_have_the_multiplier_zero(power_law_of) -> None:
    law = power_law_of(TRAIN, {domain: (0.0, row) for domain, (_, row) in TERMS.items()})
    best = mixlaw.optimize(law, at=25.0)
    assert dict(best.mixture) == pytest.approx(dict.fromkeys(TRAIN, 1 / 3))
    assert (best.multiplier, best.gap) == (0.0, 0.0)


def test_a_length_of_training_that_is_none_is_refused(power_law_of) -> None:
    with pytest.raises(InputError, match="at: tokens must be positive and finite"):
        mixlaw.optimize(power_law_of(TRAIN, TERMS), at=-1.0)


def test_a_law_of_both_forms_is_taken_as_separable(law_of, monkeypatch: pytest.MonkeyPatch) -> None:
    law = law_of({"web": (0.1, 4.0, 0.5, 2.0), "code": (0.3, 2.0, 0.7, 1.0)})
    monkeypatch.setattr(type(law), "power_terms", lambda self, **_: pytest.fail("asked for power terms"))
    assert mixlaw.optimize(law, at=25.0).gap <= 1e-10
