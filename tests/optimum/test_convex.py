import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from mixlaw import GroupBound, MixlawError, RatioBound
from mixlaw.errors import InfeasibleError
from mixlaw.optimum import convex
from mixlaw.optimum.constraints import Constraints, constraints
from mixlaw.optimum.convex import Convex, minimize_convex
from mixlaw.optimum.feasible import check_feasible, interior
from mixlaw.optimum.lagrange import certificate
from mixlaw.optimum.pull import Pull
from mixlaw.optimum.separable import minimize_separable


def names(m: int) -> list[str]:
    return [f"d{j}" for j in range(m)]


def value(objective: Convex, r) -> float:
    with np.errstate(divide="ignore"):
        values, _ = objective.parts(r)
    return float(values.max()) + (float(objective.pull.value(r)) if objective.pull else 0.0)


def solved(objective: Convex, limits: Constraints, gap: float = 1e-9):
    """Solve, check that the answer is a minimum by its own certificate, and return it."""
    found = minimize_convex(objective, limits)
    assert limits.allow(found.r, tolerance=1e-12)
    assert abs(math.fsum(found.r) - 1.0) <= 1e-14
    assert found.multipliers[0].sum() == pytest.approx(1.0)
    values, slopes = objective.parts(found.r)
    assert certificate(values, slopes, found.r, found.constraints, found.multipliers, objective.pull).gap <= gap
    return found


@st.composite
def problems(draw):
    """An objective and constraints, of every kind."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    m, e = draw(st.integers(2, 8)), draw(st.integers(1, 8))
    given: dict[str, object] = {}
    if draw(st.booleans()):
        given["floors"] = dict(zip(names(m), (rng.uniform(0.0, 0.6, m) / m).round(3).tolist(), strict=True))
    if draw(st.booleans()):
        given["caps"] = dict(
            zip(names(m), np.minimum(1.0, rng.uniform(1.2, 4.0, m) / m).round(3).tolist(), strict=True)
        )
    groups, ratios = [], []
    for _ in range(draw(st.integers(0, 2))):
        low = round(float(rng.uniform(0.01, 0.4)), 2)
        chosen = rng.choice(names(m), size=rng.integers(1, m), replace=False).tolist()
        groups.append(GroupBound(chosen, low, low + float(rng.choice([0.0, 0.1, 0.5]))))
    for _ in range(draw(st.integers(0, 2))):
        of, to = rng.choice(names(m), size=2, replace=False).tolist()
        low = round(float(rng.uniform(0.1, 2.0)), 2)
        ratios.append(RatioBound(of, to, low, low * float(rng.choice([1.0, 1.5, 3.0]))))
    repeats = draw(st.booleans())
    if repeats:
        given |= {"budget": 100.0, "available": dict(zip(names(m), rng.uniform(5.0, 50.0, m).tolist(), strict=True))}
        given |= {"max_epochs": float(rng.uniform(2.0, 8.0)), "repetition": float(rng.uniform(1.0, 20.0))}
    limits = constraints(names(m), groups=groups, ratios=ratios, **given)
    matrix = rng.uniform(size=(e, m)) * (rng.uniform(size=(e, m)) < 0.7) + 0.01
    pull = Pull(float(rng.uniform(0.01, 1.0)), rng.dirichlet(np.full(m, 5.0))) if draw(st.booleans()) else None
    c, worst = rng.uniform(0.5, 4.0, e), draw(st.booleans())
    if draw(st.booleans()):
        rho = rng.uniform(0.3, 1.0, e) if draw(st.booleans()) else None
        return Convex(matrix, c, rng.uniform(0.02, 0.6, e), worst, pull, limits.supply, rho=rho), limits
    return Convex(
        matrix - matrix.min(axis=1)[:, None], c, None, worst, pull, limits.supply, rng.uniform(size=e)
    ), limits


def possible(limits: Constraints) -> bool:
    try:
        check_feasible(limits)
    except InfeasibleError:
        return False
    return True


@given(problems())
@settings(max_examples=80)
def test_every_kind_of_minimum_is_certified_and_no_worse_than_that_of_slsqp(problem) -> None:
    objective, limits = problem
    if not possible(limits):
        return
    found = solved(objective, limits)
    m, start = len(limits.floor), interior(limits).r
    highs, lows = np.isfinite(limits.high), np.isfinite(limits.low)
    rows = np.vstack([limits.G[highs], -limits.G[lows]])
    sides = np.r_[limits.high[highs], -limits.low[lows]]

    def parts(u):
        r = np.maximum(u[:m], 1e-12)
        return objective.parts(r)[0] + (objective.pull.value(r) if objective.pull else 0.0)

    peer = minimize(
        lambda u: u[m],
        np.append(start, parts(start).max()),
        bounds=[*zip(limits.floor, limits.cap, strict=True), (None, None)],
        constraints=[
            {"type": "eq", "fun": lambda u: u[:m].sum() - 1.0},
            {"type": "ineq", "fun": lambda u: np.r_[u[m] - parts(u), sides - rows @ u[:m]]},
        ],
        method="SLSQP",
        options={"ftol": 1e-10, "maxiter": 300},
    )
    r = np.clip(peer.x[:m], limits.floor, limits.cap)
    if peer.success and limits.allow(r, tolerance=1e-10):
        assert value(objective, found.r) <= value(objective, np.maximum(r, 1e-12)) + 1e-7


@given(problems(), st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_no_other_mixture_that_is_allowed_is_better(problem, seed: int) -> None:
    objective, limits = problem
    if not possible(limits):
        return
    found = solved(objective, limits)
    others = interior(limits).towards(np.random.default_rng(seed).dirichlet(np.full(len(limits.floor), 0.5), 50))
    here = value(objective, found.r)
    for there in others:
        assert here <= value(objective, 0.999 * there + 0.001 * found.r) + 1e-7


@given(problems())
@settings(max_examples=30)
def test_prices_bound_what_wider_constraints_save_and_tighter_ones_cost(problem) -> None:
    # The least objective is convex in the bounds, so that its slope, the price, holds on either side.
    objective, limits = problem
    if not possible(limits):
        return
    r, step = solved(objective, limits).r, 1e-4
    here, found = value(objective, r), certificate(*objective.parts(r), r, limits, None, objective.pull)
    sides = [
        ("floor", -1, found.reduced, (r <= limits.floor) & (limits.floor >= step)),
        ("cap", 1, -found.reduced, (r >= limits.cap) & (limits.cap <= 1.0 - step)),
        ("high", 1, found.rows, found.rows > 0.0),
        ("low", -1, -found.rows, found.rows < 0.0),
    ]
    for side, outwards, prices, holds in sides:
        for k in np.flatnonzero(holds & (limits.floor < limits.cap if side in ("floor", "cap") else True)):
            price = max(0.0, float(prices[k]))
            for by in (step, -step):  # wider, and tighter
                bounds = getattr(limits, side).copy()
                bounds[k] += outwards * by
                moved = replace(limits, **{side: bounds})
                if (moved.low <= moved.high).all() and possible(moved):
                    there = value(objective, minimize_convex(objective, moved).r)
                    assert there >= here - price * by - 1e-9 * (1.0 + price)


@pytest.mark.parametrize(("e", "m"), [(1, 1), (1, 2), (2, 1), (5, 5), (7, 63), (63, 64), (200, 20), (7, 1000)])
@pytest.mark.parametrize("worst", [False, True])
@pytest.mark.parametrize("returns", [False, True])
def test_problems_of_every_shape_are_solved(e: int, m: int, worst: bool, returns: bool) -> None:
    rng = np.random.default_rng(e + m)
    matrix, c, alpha = rng.uniform(size=(e, m)), rng.uniform(1.0, 4.0, e), rng.uniform(0.02, 0.4, e)
    floor, cap = rng.uniform(0.2, 0.6, m) / m, rng.uniform(1.2, 4.0, m) / m
    limits = constraints(
        names(m),
        floors=dict(zip(names(m), floor.tolist(), strict=True)),
        caps=dict(zip(names(m), np.minimum(1.0, cap).tolist(), strict=True)),
    )
    solved(Convex(matrix, c, alpha, worst, rho=rng.uniform(0.3, 1.0, e) if returns else None), limits, gap=1e-11)


def test_a_worst_case_evens_the_losses_out() -> None:
    # z_k = r_k: c_k / r_k**alpha is the same for all k, so r is proportional to c**(1 / alpha).
    c = np.array([1.0, 1.2, 0.9])
    found = solved(Convex(np.eye(3), c, np.full(3, 0.5), worst=True), constraints(names(3)))
    np.testing.assert_allclose(found.r, c**2 / (c**2).sum(), rtol=1e-12)
    # At the minimum the weights balance the slopes: y_k alpha phi_k / r_k is the same.
    np.testing.assert_allclose(found.multipliers[0], found.r, rtol=1e-9)


def test_the_worst_case_has_a_minimum_where_other_shares_do_not_matter() -> None:
    # The last two lower losses that are far below the worst, so that a group gives them more than they need.
    alpha = np.array([0.41, 0.42, 0.42, 0.19, 0.58, 0.08, 0.49])
    c = np.array([2.02, 0.98, 0.89, 2.61, 4.49, 2.45, 2.46])
    limits = constraints(names(7), groups=[GroupBound(("d5", "d6"), floor=0.33, cap=0.33)])
    low, high = 4.5, 20.0
    while low < (worst := 0.5 * (low + high)) < high:
        low, high = (low, worst) if ((c / worst) ** (1.0 / alpha))[:5].sum() <= 0.67 else (worst, high)
    found = solved(Convex(np.eye(7), c, alpha, worst=True), limits)
    assert value(Convex(np.eye(7), c, alpha, worst=True), found.r) == pytest.approx(worst, rel=1e-12)


@pytest.mark.parametrize("seed", range(40))
def test_the_worst_of_losses_that_are_far_apart_is_where_their_shares_sum_to_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    m = int(rng.integers(2, 13))
    alpha, c = rng.uniform(0.02, 0.4, m), rng.uniform(1.0, 4.0, m)
    low, high = c.max(), 1e9
    while low < (worst := 0.5 * (low + high)) < high:
        low, high = (low, worst) if ((c / worst) ** (1.0 / alpha)).sum() <= 1.0 else (worst, high)
    objective = Convex(np.eye(m), c, alpha, worst=True)
    assert value(objective, solved(objective, constraints(names(m))).r) == pytest.approx(worst, rel=1e-10)


def test_a_share_without_which_a_loss_is_infinite_may_be_less_than_rounding_and_is_not_zero() -> None:
    # The first loss is below the other from a share of d0 on that is about 1e-58.
    objective = Convex(np.eye(2), np.array([0.6, 9.0]), np.array([0.02, 0.5]), worst=True)
    found = solved(objective, constraints(names(2)))
    assert 0.0 < found.r[0] < 1e-16
    assert value(objective, found.r) == pytest.approx(9.0, rel=1e-15)


def test_a_start_where_the_objective_is_huge_does_not_cost_the_minimum_its_digits() -> None:
    # Where all constraints leave the same room, the third share is near 1, and the objective a billion times larger.
    alpha = np.array([1.6, 1.8, 2.0, 2.0, 2.7, 2.1, 1.1, 1.7])
    matrix = np.array([
        [1.0, 0.94, 0.0, 0.0, 0.0, 0.0], [36.0, 1.0, 0.0, 0.0, 7.2, 15.0], [0.0, 0.52, 1.0, 0.0, 0.0, 0.0069],
        [0.0, 0.0, 0.0, 1.0, 0.17, 2.2], [0.0, 0.071, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.87, 1.2, 13.0, 0.0],
        [5.6, 0.67, 0.0, 37.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0, 0.0, 0.025],
    ])  # fmt: skip
    ratios = [RatioBound("d1", "d4", 0.12), RatioBound("d2", "d4", 180.0), RatioBound("d3", "d0", 0.84, 1.4)]
    objective = Convex(matrix, np.full(8, 0.3), alpha)
    found = solved(objective, constraints(names(6), ratios=ratios))
    assert value(objective, found.r) > 500.0


def test_a_pull_alone_gives_the_prior_and_a_weak_one_the_minimum() -> None:
    prior, limits = np.array([0.5, 0.3, 0.2]), constraints(names(3))
    c, alpha = np.array([1.0, 2.0, 3.0]), np.full(3, 0.3)
    strong = solved(Convex(np.eye(3), c, alpha, pull=Pull(1e6, prior)), limits, gap=1e-6)
    np.testing.assert_allclose(strong.r, prior, rtol=1e-4)
    weak = solved(Convex(np.eye(3), c, alpha, pull=Pull(1e-9, prior)), limits)
    np.testing.assert_allclose(weak.r, minimize_separable(c, alpha, np.zeros(3), np.ones(3)).r, rtol=1e-6)


def test_a_share_that_a_pull_keeps_above_zero_may_be_less_than_rounding() -> None:
    matrix = np.array([[1.0, 0.01, 0.01]])
    found = solved(Convex(matrix, np.ones(1), np.ones(1), pull=Pull(0.02, np.full(3, 1 / 3))), constraints(names(3)))
    assert found.r[1] < 1e-15  # the best is about exp(-50)


def test_at_one_epoch_the_slope_bends_and_the_minimum_may_stand_there() -> None:
    # Beyond one epoch of d0 its tokens hardly count, so the best is to take little more than one epoch of it.
    limits = constraints(names(2), budget=1.0, available={"d0": 0.3}, repetition=0.1)
    objective = Convex(np.array([[1.0, 0.5]]), np.ones(1), np.full(1, 0.3), supply=limits.supply)
    found = solved(objective, limits)
    effective = limits.supply.effective(np.column_stack([np.linspace(0, 1, 10001), np.linspace(1, 0, 10001)]))
    assert value(objective, found.r) <= ((effective @ [1.0, 0.5]) ** -0.3).min() + 1e-15
    assert found.r[0] == pytest.approx(0.3 * (1.0 + 0.1 * math.log(2.0)), rel=1e-9)  # where the slope is 1 / 2


def test_bounds_that_hold_are_met_to_the_bit_and_rows_to_rounding() -> None:
    rng = np.random.default_rng(4)
    m = 40
    groups, ratios = [GroupBound(names(m)[:10], cap=0.15)], [RatioBound("d20", "d21", 2, 2)]
    limits = constraints(names(m), floors=0.01, caps=0.05, groups=groups, ratios=ratios)
    matrix = np.eye(m) + rng.uniform(0.0, 0.05, (m, m))
    found = solved(Convex(matrix, rng.uniform(1.0, 9.0, m), rng.uniform(0.1, 0.4, m)), limits)
    near = np.abs(found.r[:, None] - [0.01, 0.05]).min(axis=1) < 1e-6
    assert near.sum() > 5
    assert set(found.r[near].tolist()) <= {0.01, 0.05}
    assert found.r[:10].sum() == pytest.approx(0.15, abs=1e-15)
    assert found.r[20] == pytest.approx(2.0 * found.r[21], abs=1e-15)


@pytest.mark.parametrize("worst", [False, True])
def test_constraints_that_leave_no_choice_are_the_answer(worst: bool) -> None:
    objective = Convex(np.eye(3), np.array([1.0, 2.0, 3.0]), np.full(3, 0.3), worst, Pull(0.1, np.full(3, 1 / 3)))
    for limited in (
        {"fixed": {"d0": 0.5, "d1": 0.3}},
        {"floors": {"d0": 0.2, "d1": 0.3, "d2": 0.5}},
        {"groups": [GroupBound(("d0", "d1"), cap=0.5)], "floors": {"d0": 0.2, "d1": 0.3}, "caps": {"d2": 0.5}},
        {"ratios": [RatioBound("d0", "d1", 2, 2), RatioBound("d1", "d2", 0.5, 0.5)]},
    ):
        limits = constraints(names(3), **limited)
        found = solved(objective, limits)
        assert interior(limits).r == pytest.approx(found.r, abs=1e-9)


def test_a_group_that_leaves_some_domains_no_room_leaves_it_to_the_others() -> None:
    limits = constraints(names(4), floors={"d0": 0.1, "d1": 0.2}, groups=[GroupBound(("d0", "d1"), cap=0.3)])
    c = np.array([9.0, 9.0, 1.0, 2.0])
    found = solved(Convex(np.eye(4), c, np.full(4, 0.5)), limits)
    assert found.r[:2].tolist() == [0.1, 0.2]
    assert found.r[3] / found.r[2] == pytest.approx(2.0 ** (1.0 / 1.5))
    assert found.constraints.narrower_than(limits)


def test_an_objective_that_no_mixture_changes_has_any_mixture() -> None:
    for worst in (False, True):
        found = solved(
            Convex(np.ones((2, 3)), np.array([1.0, 2.0]), np.zeros(2), worst), constraints(names(3), floors=0.1)
        )
        assert found.r.sum() == pytest.approx(1.0)


def test_scaling_the_objective_does_not_move_the_minimum() -> None:
    rng = np.random.default_rng(3)
    matrix, c, alpha = rng.uniform(size=(6, 9)), rng.uniform(1.0, 4.0, 6), rng.uniform(0.02, 0.4, 6)
    limits = constraints(names(9), floors=0.02, groups=[GroupBound(names(4), cap=0.3)])
    r = solved(Convex(matrix, c, alpha, worst=True), limits).r
    for scale in (1e-9, 1e9):
        np.testing.assert_allclose(
            minimize_convex(Convex(matrix, scale * c, alpha, worst=True), limits).r, r, atol=1e-9
        )


def test_numbers_that_overflow_are_an_error() -> None:
    objective = Convex(np.array([[1e-200, 1e-100]]), np.array([1e300]), np.array([9.0]))
    with pytest.raises(MixlawError, match="the search for the minimum broke down: numbers overflow"):
        minimize_convex(objective, constraints(names(2)))


def test_a_search_that_is_cut_short_is_not_certified(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = Convex(np.eye(3), np.array([1.0, 2.0, 3.0]), np.full(3, 0.3), worst=True)
    monkeypatch.setattr(convex, "MAX_STEPS", 2)
    found = minimize_convex(objective, constraints(names(3), floors=0.01))
    values, slopes = objective.parts(found.r)
    assert certificate(values, slopes, found.r, found.constraints, found.multipliers).gap > 1e-3
