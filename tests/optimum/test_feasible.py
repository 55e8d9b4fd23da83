import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from mixlaw import GroupBound, RatioBound
from mixlaw.errors import InfeasibleError
from mixlaw.optimum import feasible
from mixlaw.optimum.constraints import constraints
from mixlaw.optimum.feasible import Room, check_feasible, interior

DOMAINS = ("web", "code", "books")


@st.composite
def limits(draw):
    """Constraints of every kind on 1 to 7 domains, of which some mixture satisfies about a half."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    m = draw(st.integers(1, 7))
    names = tuple(f"d{j}" for j in range(m))
    given: dict[str, object] = {}
    if draw(st.booleans()):
        given["floors"] = dict(zip(names, (rng.uniform(0.0, 0.7, m) / m).round(3).tolist(), strict=True))
    if draw(st.booleans()):
        given["caps"] = dict(zip(names, np.minimum(1.0, rng.uniform(1.1, 4.0, m) / m).round(3).tolist(), strict=True))
    if draw(st.booleans()):
        given["fixed"] = {names[0]: round(float(rng.uniform(0.0, 0.5)), 2)}
    groups = []
    for _ in range(draw(st.integers(0, 3))):
        chosen = rng.choice(names, size=rng.integers(1, m + 1), replace=False).tolist()
        low = round(float(rng.uniform(0.01, 0.5)), 2)
        groups.append(GroupBound(chosen, low, min(1.0, low + float(rng.choice([0.0, 0.05, 0.4])))))
    ratios = []
    for _ in range(draw(st.integers(0, 2)) if m > 1 else 0):
        of, to = rng.choice(names, size=2, replace=False).tolist()
        low = round(float(rng.uniform(0.1, 2.0)), 2)
        ratios.append(RatioBound(of, to, low, low * float(rng.choice([1.0, 1.5, 3.0]))))
    return constraints(names, groups=groups, ratios=ratios, **given)


def has_mixture(limits) -> bool:
    if (limits.floor > limits.cap).any():
        return False
    highs, lows = np.isfinite(limits.high), np.isfinite(limits.low)
    rows = np.vstack([limits.G[highs], -limits.G[lows]])
    found = linprog(
        np.zeros(len(limits.floor)),
        A_ub=rows if len(rows) else None,
        b_ub=np.r_[limits.high[highs], -limits.low[lows]] if len(rows) else None,
        A_eq=np.ones((1, len(limits.floor))),
        b_eq=[1.0],
        bounds=list(zip(limits.floor, limits.cap, strict=True)),
    )
    return found.status == 0


def is_feasible(limits) -> bool:
    try:
        check_feasible(limits)
    except InfeasibleError:
        return False
    return True


@given(limits())
@settings(max_examples=60)
def test_constraints_are_refused_if_and_only_if_no_mixture_satisfies_them(limits) -> None:
    assert is_feasible(limits) == has_mixture(limits)


@given(limits())
@settings(max_examples=60)
def test_the_interior_is_inside_and_away_from_all_that_leaves_room(limits) -> None:
    if not has_mixture(limits):
        return
    inside = interior(limits)
    assert limits.allow(inside.r, tolerance=1e-9)
    assert inside.r.sum() == pytest.approx(1.0, abs=1e-9)
    narrow, sums = inside.constraints, limits.G @ inside.r
    free, loose = narrow.floor < narrow.cap, narrow.low < narrow.high
    assert (inside.r[free] > narrow.floor[free]).all()
    assert (inside.r[free] < narrow.cap[free]).all()
    assert (sums[loose] > narrow.low[loose]).all()
    assert (sums[loose] < narrow.high[loose]).all()
    # What has no room has none: the largest and the least it can be are the same.
    for direction in [*np.eye(len(free))[~free & (limits.floor < limits.cap)], *limits.G[~loose]]:
        assert spread(limits, direction) <= 1e-6


def spread(limits, direction) -> float:
    highs, lows = np.isfinite(limits.high), np.isfinite(limits.low)
    rows = np.vstack([limits.G[highs], -limits.G[lows]])
    ends = [
        linprog(
            sign * direction,
            A_ub=rows if len(rows) else None,
            b_ub=np.r_[limits.high[highs], -limits.low[lows]] if len(rows) else None,
            A_eq=np.ones((1, len(direction))),
            b_eq=[1.0],
            bounds=list(zip(limits.floor, limits.cap, strict=True)),
        ).fun
        for sign in (1.0, -1.0)
    ]
    return -ends[1] - ends[0]


@given(limits(), st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_going_towards_mixtures_stops_where_the_constraints_do(limits, seed: int) -> None:
    if not has_mixture(limits):
        return
    inside = interior(limits)
    wanted = np.random.default_rng(seed).dirichlet(np.full(len(limits.floor), 0.5), 20)
    reached = inside.towards(wanted)
    for r, aim in zip(reached, wanted, strict=True):
        assert limits.allow(r, tolerance=1e-8)
        assert r.sum() == pytest.approx(1.0, abs=1e-8)
        if limits.allow(aim, tolerance=-1e-9) and not (inside.constraints.low == inside.constraints.high).any():
            np.testing.assert_allclose(r, aim, atol=1e-9)


@given(limits())
@settings(max_examples=60)
def test_the_room_has_independent_rows_and_knows_which_they_are(limits) -> None:
    if not has_mixture(limits):
        return
    inside = interior(limits)
    room = Room.of(inside)
    x = inside.r[room.free]
    np.testing.assert_allclose(room.whole(x), inside.r)
    if not len(x):
        return
    np.testing.assert_allclose(room.E @ x, room.d, atol=1e-8)
    assert (room.Q @ x < room.b).all()
    assert np.linalg.matrix_rank(room.E) == len(room.E)
    v, u = np.arange(1.0, len(room.E) + 1.0), np.arange(1.0, len(room.Q) + 1.0)
    rows = room.row_multipliers(len(limits.G), v, u)
    np.testing.assert_allclose(rows @ limits.G[:, room.free], v[1:] @ room.E[1:] + u @ room.Q, atol=1e-12)


@given(limits(), st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_corners_are_allowed_and_as_far_as_one_can_go(limits, seed: int) -> None:
    if not has_mixture(limits):
        return
    inside = interior(limits)
    corners = inside.corners(4, np.random.default_rng(seed))
    directions = np.random.default_rng(seed).normal(size=(4, len(limits.floor)))
    others = inside.towards(np.random.default_rng(seed + 1).dirichlet(np.ones(len(limits.floor)), 20), None)
    for corner, direction in zip(corners, directions, strict=True):
        assert limits.allow(corner, tolerance=1e-7)
        assert direction @ corner <= (others @ direction).min() + 1e-6
    moved = inside.towards(np.broadcast_to(inside.r, corners.shape), corners)
    np.testing.assert_allclose(moved, np.broadcast_to(inside.r, corners.shape), atol=1e-6)


def clash(**given) -> str:
    with pytest.raises(InfeasibleError) as caught:
        check_feasible(constraints(DOMAINS, **given))
    return str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"floors": 0.4}, "floor of 'web' 0.4, floor of 'code' 0.4 and floor of 'books' 0.4; all floors sum to 1.2"),
        (
            {"floors": {"web": 0.6, "code": 0.5, "books": 0.1}},
            "floor of 'web' 0.6 and floor of 'code' 0.5; all floors sum to 1.2",
        ),
        ({"caps": 0.3}, "cap of 'web' 0.3, cap of 'code' 0.3 and cap of 'books' 0.3, which sum to 0.9"),
        ({"floors": {"code": 0.4}, "caps": {"code": 0.3}}, "floor of 'code' 0.4 and cap of 'code' 0.3"),
        ({"floors": 0.2, "fixed": {"code": 0.1}}, "floor of 'code' 0.2 and share of 'code' fixed at 0.1"),
        (
            {"fixed": {"code": 0.5, "web": 0.6}},
            "share of 'web' fixed at 0.6 and share of 'code' fixed at 0.5; all floors sum to 1.1",
        ),
        (
            {"floors": {"web": 0.4}, "budget": 100.0, "available": {"web": 10.0}, "max_epochs": 3},
            "floor of 'web' 0.4 and 3 epochs of 'web', 0.3 of the budget",
        ),
        (
            {"floors": {"books": 0.5}, "caps": {"web": 0.2}, "groups": [GroupBound(("code", "books"), cap=0.7)]},
            "cap of group {code, books} 0.7 and cap of 'web' 0.2",
        ),
        (
            {"floors": {"web": 0.8}, "groups": [GroupBound(("code", "books"), floor=0.3)], "caps": {"code": 0.9}},
            "floor of group {code, books} 0.3 and floor of 'web' 0.8",
        ),
        (
            {"groups": [GroupBound(("code", "books"), 0.4, 0.3)]},
            "cap of group {code, books} 0.3 and floor of group {code, books} 0.4",
        ),
        ({"groups": [GroupBound(DOMAINS, cap=0.5)]}, "cap of group {web, code, books} 0.5"),
        (
            {
                "ratios": [RatioBound("web", "code", floor=2.0), RatioBound("code", "web", floor=2.0)],
                "caps": {"books": 0.9},
            },
            "floor of ratio web / code 2, floor of ratio code / web 2 and cap of 'books' 0.9",
        ),
    ],
)
def test_a_message_names_what_clashes_and_no_more(given, message: str) -> None:
    assert clash(**given) == f"no mixture satisfies {message}"


@given(limits())
@settings(max_examples=60)
def test_what_is_named_clashes_and_nothing_of_it_can_be_left_out(limits) -> None:
    if (limits.floor > limits.cap).any() or limits.floor.sum() > 1.0 or limits.cap.sum() < 1.0 or has_mixture(limits):
        return
    with pytest.raises(InfeasibleError) as caught:
        check_feasible(limits)
    named = [
        words for words in every_side(limits) if re.search(re.escape(words[0]) + r"(, | and |$)", str(caught.value))
    ]
    assert named
    assert not satisfiable([side for _, sides in named for side in sides], len(limits.floor))
    if len(named) < feasible.NAMED:
        for rest in itertools.combinations(named, len(named) - 1):
            assert satisfiable([side for _, sides in rest for side in sides], len(limits.floor))


def every_side(limits) -> list[tuple[str, list[tuple[np.ndarray, float]]]]:
    """Words of each constraint, with what it asks as rows a r <= b."""
    m, found = len(limits.floor), {}
    for j in range(m):
        for kind, row, value in (("floor", -np.eye(m)[j], -limits.floor[j]), ("cap", np.eye(m)[j], limits.cap[j])):
            found.setdefault(limits.words(kind, j), []).append((row, value))
    for k in range(len(limits.G)):
        for kind, row, value in (("low", -limits.G[k], -limits.low[k]), ("high", limits.G[k], limits.high[k])):
            if np.isfinite(value):
                found.setdefault(limits.words(kind, k), []).append((row, value))
    return list(found.items())


def satisfiable(sides, m: int) -> bool:
    if not sides:
        return True
    rows, values = (np.array(part) for part in zip(*sides, strict=True))
    found = linprog(np.zeros(m), A_ub=rows, b_ub=values, A_eq=np.ones((1, m)), b_eq=[1.0], bounds=(0.0, 1.0))
    return found.status == 0


def test_many_names_are_cut_short() -> None:
    names = [f"d{j}" for j in range(40)]
    with pytest.raises(
        InfeasibleError, match=r"^no mixture satisfies floor of 'd0' 0.05, .*'d7' 0.05 and 13 more; all"
    ):
        check_feasible(constraints(names, floors=0.05))


@pytest.mark.parametrize("shares", [[0.1] * 10, [0.7, 0.2, 0.1]])
def test_bounds_that_sum_to_one_but_for_rounding_are_no_clash(shares: list[float]) -> None:
    names = [f"d{j}" for j in range(len(shares))]
    for which in ("floors", "caps"):
        limits = constraints(names, **{which: dict(zip(names, shares, strict=True))})
        check_feasible(limits)
        assert interior(limits).r.tolist() == shares


def test_a_thousand_domains_with_groups_have_an_interior() -> None:
    names = [f"d{j}" for j in range(1000)]
    limits = constraints(
        names, floors=2e-4, caps=3e-3, groups=[GroupBound(names[:300], cap=0.2), GroupBound(names[500:], floor=0.6)],
        ratios=[RatioBound("d0", "d1", 0.5, 2.0)],
    )  # fmt: skip
    check_feasible(limits)
    inside = interior(limits)
    assert limits.allow(inside.r)
    assert (inside.r > 2e-4).all()
    assert not inside.constraints.narrower_than(limits)
