import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import mixlaw
from mixlaw import InputError, MixlawError
from mixlaw.optimum import power
from mixlaw.optimum.lagrange import TIGHT, kkt_residual
from mixlaw.optimum.power import minimize_power, power_gain
from mixlaw.optimum.separable import minimize_separable

EPS = np.finfo(float).eps
SIZES = [1, 2, 5, 20, 64]


def objective(matrix, c, alpha, r) -> float:
    return math.fsum(c * (matrix @ r) ** -alpha)


def gains(matrix, c, alpha, r) -> np.ndarray:
    """Gains by definition, in extended precision, term by term."""
    total = np.zeros(len(r), dtype=np.longdouble)
    for row, scale, exponent in zip(matrix.astype(np.longdouble), c, alpha, strict=True):
        if scale * exponent:
            total += row * scale * exponent * np.sum(row * r) ** -(np.longdouble(exponent) + 1)
    return total


def violation(problem, r, multiplier) -> float:
    """Largest violation of the Lagrange conditions relative to the multiplier, domain by domain."""
    *terms, floor, cap = problem
    worst = np.longdouble(0)
    for gain, share, low, high in zip(gains(*terms, r), r, floor, cap, strict=True):
        if low < share < high:
            worst = max(worst, abs(gain - multiplier))
        elif low < high:
            worst = max(worst, gain - multiplier if share <= low else multiplier - gain)
    return float(worst / multiplier if multiplier else worst)


def check(problem, most: float = 1e-10):
    """Solve a problem, check that the answer is one, and return it."""
    *_, floor, cap = problem
    solution = minimize_power(*problem)
    assert (solution.r >= floor).all()
    assert (solution.r <= cap).all()
    assert abs(math.fsum(solution.r) - 1.0) <= TIGHT
    assert violation(problem, *solution) <= most
    return solution


@st.composite
def problems(draw, zeros: bool = True):
    m, e = draw(st.sampled_from(SIZES)), draw(st.sampled_from(SIZES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["dense", "wide", "sparse", "own"]))
    matrix = 10.0 ** rng.uniform(-9, 3, (e, m)) if kind == "wide" else rng.uniform(size=(e, m))
    if kind in ("sparse", "own"):
        matrix[rng.uniform(size=(e, m)) < 0.6] = 0.0
    if kind == "own":
        matrix = 1e-3 * matrix + np.eye(e, m)
    if draw(st.booleans()):
        matrix[:, rng.integers(m)] = matrix[:, 0]
    empty = ~matrix.any(axis=1)
    matrix[empty, rng.integers(m, size=empty.sum())] = 1.0
    c, alpha = 10.0 ** rng.uniform(-3, 3, e), 10.0 ** rng.uniform(-3, 0.5, e)
    if zeros:
        c[rng.uniform(size=e) < draw(st.sampled_from([0.0, 0.3, 1.0]))] = 0.0
        alpha[rng.uniform(size=e) < draw(st.sampled_from([0.0, 0.3, 1.0]))] = 0.0
    floor = rng.dirichlet(np.full(m, 0.5)) * draw(st.sampled_from([0.0, 0.5, 0.99, 1.0 - 1e-11, 1.0]))
    floor[rng.uniform(size=m) < 0.3] = 0.0
    room = draw(st.sampled_from([0.3, 1.0, 1.0 + 1e-11, 2.0, 9.0, 1e9]))
    cap = np.minimum(1.0, floor + room * rng.dirichlet(np.full(m, 0.5)) + 1e-9)
    cap = np.where((rng.uniform(size=m) < draw(st.sampled_from([0.0, 0.3]))) & (floor > 0.0), floor, cap)
    assume(math.fsum(cap) >= 1.0 and math.fsum(floor) <= 1.0)
    return matrix, c, alpha, floor, cap


def feasible(floor, cap, rng) -> np.ndarray:
    """A random mixture between bounds: a mean of vertices, each filled up in a random order."""
    weights = rng.dirichlet(np.full(3, 0.5))
    mixture = np.zeros(len(floor))
    for weight in weights:
        vertex, left = floor.copy(), 1.0 - math.fsum(floor)
        for j in rng.permutation(len(floor)):
            taken = min(left, cap[j] - floor[j])
            vertex[j] += taken
            left -= taken
        mixture += weight * vertex
    return mixture


@given(problems())
@settings(max_examples=300)
def test_the_lagrange_conditions_hold_with_floors_and_caps_and_the_sum_is_one(problem) -> None:
    matrix, c, alpha, floor, cap = problem
    r, multiplier = minimize_power(*problem)
    assume(math.isfinite(multiplier))  # infinite only where bounds that sum to 1 leave a term nothing
    assert (r >= floor).all()
    assert (r <= cap).all()
    pulls = (matrix[c * alpha > 0.0] > 0.0).any(axis=0)
    sums = math.fsum(floor), math.fsum(cap), math.fsum(np.where(pulls, cap, floor))
    assert abs(math.fsum(r) - 1.0) <= (TIGHT if min(abs(total - 1.0) for total in sums) <= TIGHT else 4 * EPS)
    assert violation(problem, r, multiplier) <= 1e-10
    assert kkt_residual(power_gain(matrix, c, alpha, r), floor, cap, power.Solution(r, multiplier)) <= 1e-10


@given(problems(zeros=False), st.integers(0, 2**32 - 1))
@settings(max_examples=100)
def test_no_other_mixture_is_better(problem, seed: int) -> None:
    *terms, floor, cap = problem
    r, multiplier = minimize_power(*problem)
    assume(math.isfinite(multiplier))
    here, rng = objective(*terms, r), np.random.default_rng(seed)
    for _ in range(200):
        there = feasible(floor, cap, rng)
        with np.errstate(divide="ignore"):
            assert here <= objective(*terms, there) * (1.0 + 1e-13) + multiplier * abs(math.fsum(there) - math.fsum(r))


@pytest.mark.parametrize("seed", range(20))
def test_the_minimum_is_no_worse_than_that_of_slsqp(seed: int) -> None:
    rng = np.random.default_rng(seed)
    m, e = int(rng.integers(2, 12)), int(rng.integers(1, 12))
    matrix, c, alpha = rng.uniform(size=(e, m)), rng.uniform(1.0, 4.0, e) / e, rng.uniform(0.02, 0.4, e)
    floor, cap = rng.uniform(0.0, 0.6, m) / m, rng.uniform(1.2, 4.0, m) / m
    r, multiplier = check((matrix, c, alpha, floor, cap))
    peer = minimize(
        lambda x: np.sum(c * (matrix @ x) ** -alpha),
        floor + (1.0 - floor.sum()) * (cap - floor) / (cap - floor).sum(),
        jac=lambda x: -matrix.T @ (alpha * c * (matrix @ x) ** (-alpha - 1.0)),
        bounds=list(zip(floor, cap, strict=True)),
        constraints={"type": "eq", "fun": lambda x: x.sum() - 1.0, "jac": lambda x: np.ones((1, m))},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    assert peer.success
    assert objective(matrix, c, alpha, r) <= peer.fun + multiplier * abs(peer.x.sum() - 1.0) + 1e-9
    assert objective(matrix, c, alpha, r) == pytest.approx(peer.fun, abs=1e-6)


@given(st.integers(1, 40), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3]))
def test_with_a_term_to_every_domain_it_is_the_separable_minimum(m: int, seed: int, without: float) -> None:
    rng = np.random.default_rng(seed)
    c, alpha = 10.0 ** rng.uniform(-2, 2, m), 10.0 ** rng.uniform(-2, 0.5, m)
    c[rng.uniform(size=m) < without] = 0.0
    floor, cap = rng.uniform(0.0, 0.6, m) / m, np.minimum(1.0, rng.uniform(1.2, 4.0, m) / m)
    assume(cap.sum() >= 1.0)
    exact = minimize_separable(c, alpha, floor, cap)
    found = check((np.eye(m), c, alpha, floor, cap))
    np.testing.assert_allclose(found.r, exact.r, rtol=0, atol=1e-9)
    assert found.multiplier == pytest.approx(exact.multiplier, rel=1e-9)


@given(st.integers(2, 30), st.integers(0, 2**32 - 1))
def test_domains_and_terms_in_another_order_are_the_same_problem(m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = np.eye(m) + rng.uniform(0.0, 1.0 / m, (m, m))
    c, alpha = rng.uniform(1.0, 4.0, m), rng.uniform(0.02, 0.4, m)
    floor, cap = rng.uniform(0.0, 0.6, m) / m, rng.uniform(1.2, 4.0, m) / m
    r, multiplier = check((matrix, c, alpha, floor, cap))
    domains, terms = rng.permutation(m), rng.permutation(m)
    other = check((matrix[terms][:, domains], c[terms], alpha[terms], floor[domains], cap[domains]))
    np.testing.assert_allclose(other.r, r[domains], rtol=0, atol=1e-9)
    assert other.multiplier == pytest.approx(multiplier, rel=1e-9)


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_equal_domains_share_what_one_would_get(m: int, e: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix, c, alpha = rng.uniform(0.1, 1.0, (e, m)), rng.uniform(1.0, 4.0, e), rng.uniform(0.02, 0.4, e)
    cap = np.append(rng.uniform(1.2, 4.0, m) / m, 0.1)
    assume(cap.sum() >= 1.0)
    doubled = check((np.column_stack([matrix, matrix[:, 0]]), c, alpha, np.zeros(m + 1), cap))
    cap[0] += cap[m]
    single = check((matrix, c, alpha, np.zeros(m), cap[:m]))
    together = np.append(doubled.r[0] + doubled.r[m], doubled.r[1:m])
    terms = matrix, c, alpha
    assert objective(*terms, together) == pytest.approx(objective(*terms, single.r), rel=1e-13)
    # What more of each domain is worth is the same at every minimum.
    np.testing.assert_allclose(power_gain(*terms, together), power_gain(*terms, single.r), rtol=1e-8)


@given(st.sampled_from([2, 5, 20]), st.sampled_from([1, 3, 20, 40]), st.integers(0, 2**32 - 1))
def test_bounds_that_touch_the_minimum_leave_it_where_it_is(m: int, e: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.uniform(size=(e, m)) * (rng.uniform(size=(e, m)) < 0.6) + 0.1 * np.eye(1, m)
    c, alpha = rng.uniform(1.0, 4.0, e), rng.uniform(0.02, 0.4, e)
    r, _ = check((matrix, c, alpha, np.zeros(m), np.ones(m)))
    floor = np.where(rng.uniform(size=m) < 0.5, r, 0.0)
    cap = np.where(rng.uniform(size=m) < 0.5, np.maximum(r, 1e-3), 1.0)
    touched = check((matrix, c, alpha, floor, cap))
    assert objective(matrix, c, alpha, touched.r) == pytest.approx(objective(matrix, c, alpha, r), rel=1e-13)


@pytest.mark.parametrize(
    ("e", "m"), [(1, 1), (1, 2), (2, 1), (1, 1000), (1000, 1), (7, 200), (5, 5), (63, 64), (1000, 64), (200, 1000)]
)
@pytest.mark.parametrize("bounded", [True, False])
def test_problems_of_every_shape_are_solved(e: int, m: int, bounded: bool) -> None:
    rng = np.random.default_rng(e + m)
    matrix, c, alpha = rng.uniform(size=(e, m)), rng.uniform(1.0, 4.0, e) / e, rng.uniform(0.02, 0.4, e)
    floor, cap = np.zeros(m), np.ones(m)
    if bounded:
        floor, cap = rng.uniform(0.2, 0.6, m) / m, rng.uniform(1.2, 4.0, m) / m
    check((matrix, c, alpha, floor, cap), most=1e-12)


def test_a_thousand_domains_and_a_thousand_losses_are_solved_to_the_same_accuracy() -> None:
    rng = np.random.default_rng(1)
    matrix = rng.dirichlet(np.full(1000, 0.05), 1000) + np.eye(1000)
    c, alpha = rng.uniform(1.0, 4.0, 1000), rng.uniform(0.02, 0.4, 1000)
    r, _ = check((matrix, c, alpha, np.full(1000, 3e-4), np.full(1000, 2e-3)), most=1e-12)
    assert ((r == 3e-4).sum() > 100, (r == 2e-3).sum() > 100) == (True, True)


def test_one_loss_wants_the_domain_that_lowers_it_most_up_to_its_cap() -> None:
    problem = np.array([[1.0, 3.0, 2.0]]), np.ones(1), np.full(1, 0.3), np.zeros(3), np.array([1.0, 0.6, 1.0])
    r, multiplier = check(problem)
    assert r[:2].tolist() == [0.0, 0.6]
    assert r[2] == pytest.approx(0.4, rel=1e-15)
    assert multiplier == pytest.approx(2.0 * 0.3 * 2.6**-1.3)


def test_at_a_vertex_the_multiplier_is_what_the_best_at_its_floor_would_gain() -> None:
    r, multiplier = check((np.array([[1.0, 3.0, 2.0]]), np.ones(1), np.full(1, 0.3), np.zeros(3), np.ones(3)))
    assert r.tolist() == [0.0, 1.0, 0.0]
    assert multiplier == pytest.approx(2.0 * 0.3 * 3.0**-1.3)


def test_two_domains_have_a_closed_form() -> None:
    # The domains gain the same where c z**-3/2 is the same for both terms.
    matrix, alpha = np.array([[1.0, 0.25], [0.25, 1.0]]), np.full(2, 0.5)
    r, _ = check((matrix, np.array([1.0, 2.0]), alpha, np.zeros(2), np.ones(2)))
    z = matrix @ r
    assert z[1] / z[0] == pytest.approx(2.0 ** (2.0 / 3.0), rel=1e-12)
    # Here z would be as 1 to 4: at the vertex, with a floor that holds nothing.
    r, _ = check((matrix, np.array([1.0, 8.0]), alpha, np.zeros(2), np.ones(2)))
    np.testing.assert_allclose(r, [0.0, 1.0], atol=1e-15)


def test_a_loss_that_would_be_infinite_keeps_its_domain() -> None:
    matrix = np.array([[1.0, 0.0], [0.0, 1e-9]])
    r, _ = check((matrix, np.array([1.0, 1e-6]), np.array([0.5, 0.01]), np.zeros(2), np.ones(2)))
    assert 0.0 < r[1] < 1e-7


def test_scaling_objective_or_matrix_does_not_move_the_minimum() -> None:
    rng = np.random.default_rng(3)
    matrix, c, alpha = rng.uniform(size=(40, 63)) + np.eye(40, 63), rng.uniform(1, 4, 40), rng.uniform(0.02, 0.4, 40)
    floor, cap = np.full(63, 0.01), np.full(63, 0.03)
    r, multiplier = check((matrix, c, alpha, floor, cap))
    for scale in (1e-200, 1e200):
        scaled, other = minimize_power(matrix, scale * c, alpha, floor, cap)
        np.testing.assert_allclose(scaled, r, rtol=1e-9)
        assert other == pytest.approx(scale * multiplier)
    scaled, _ = check((1e9 * matrix, 1e9**alpha * c, alpha, floor, cap))
    np.testing.assert_allclose(scaled, r, rtol=1e-9)


@pytest.mark.parametrize("nothing", ["c", "alpha"])
def test_an_objective_that_no_mixture_changes_spreads_by_room(nothing: str) -> None:
    c, alpha = (np.zeros(2), np.ones(2)) if nothing == "c" else (np.ones(2), np.zeros(2))
    cap = np.array([0.1, 1.0, 1.0, 1.0])
    r, multiplier = minimize_power(np.ones((2, 4)), c, alpha, np.full(4, 0.1), cap)
    np.testing.assert_allclose(r, [0.1, 0.3, 0.3, 0.3])
    assert multiplier == 0.0


def test_a_domain_that_no_term_counts_goes_to_its_floor_or_takes_what_is_left() -> None:
    matrix, c, alpha = (
        np.array([[1.0, 0.0, 2.0], [0.5, 0.0, 0.1], [1.0, 1.0, 1.0]]),
        np.ones(3),
        np.array([0.1, 0.2, 0]),
    )
    r, _ = check((matrix, c, alpha, np.array([0.0, 0.05, 0.0]), np.ones(3)))
    assert r[1] == 0.05
    r, multiplier = check((matrix, c, alpha, np.zeros(3), np.array([0.3, 1.0, 0.3])))
    np.testing.assert_allclose(r, [0.3, 0.4, 0.3])
    assert multiplier == 0.0


@pytest.mark.parametrize("shares", [[0.1] * 10, [0.7, 0.2, 0.1], [0.3, 0.3, 0.4]])
@pytest.mark.parametrize("which", ["floors", "caps"])
def test_bounds_that_sum_to_one_are_the_mixture(shares: list[float], which: str) -> None:
    m = len(shares)
    matrix = np.random.default_rng(m).uniform(size=(4, m))
    bounds = (np.array(shares), np.ones(m)) if which == "floors" else (np.zeros(m), np.array(shares))
    assert check((matrix, np.ones(4), np.full(4, 0.1), *bounds)).r.tolist() == shares


@pytest.mark.parametrize("short", [1e-9, 1e-11, 2e-12])
@pytest.mark.parametrize("which", ["floors", "caps"])
def test_bounds_that_leave_next_to_nothing_are_kept(short: float, which: str) -> None:
    rng = np.random.default_rng(5)
    matrix, c, alpha = rng.uniform(size=(7, 20)), rng.uniform(1, 4, 7), rng.uniform(0.02, 0.4, 7)
    near = rng.dirichlet(np.ones(20))
    bounds = (near * (1.0 - short), np.ones(20)) if which == "floors" else (np.zeros(20), near * (1.0 + short))
    r, _ = check((matrix, c, alpha, *bounds))
    assert abs(math.fsum(r) - 1.0) <= 4 * EPS


def test_bounds_that_leave_a_term_nothing_have_an_infinite_multiplier() -> None:
    r, multiplier = minimize_power(np.eye(2), np.ones(2), np.full(2, 0.1), np.array([1.0, 0.0]), np.ones(2))
    assert (r.tolist(), multiplier) == ([1.0, 0.0], math.inf)


def test_what_is_not_certified_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = np.eye(3), np.array([1.0, 2.0, 3.0]), np.full(3, 0.1), np.zeros(3), np.ones(3)
    monkeypatch.setattr(power, "interior_point", lambda problem: np.full(3, 1.0 / 3.0))
    check(problem)  # polishing alone gets there, from here
    monkeypatch.setattr(power, "MAX_POLISH", 1)
    with pytest.raises(MixlawError, match=r"no optimum was found that could be certified: the KKT residual .* is 5"):
        minimize_power(*problem)


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
