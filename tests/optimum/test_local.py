import numpy as np
import pytest

from mixlaw import GroupBound, MixlawError, RatioBound
from mixlaw.optimum.constraints import constraints
from mixlaw.optimum.feasible import Room, interior
from mixlaw.optimum.local import minimize_local
from mixlaw.optimum.objective import Objective
from mixlaw.optimum.solve import STARTS, find_minimum

TRAIN = ("web", "code", "books")
DEEP, SHALLOW = (0.1, 0.2, 0.7), (0.6, 0.2, 0.2)


@pytest.fixture
def law(curved_law_of):
    return curved_law_of(TRAIN, {"all": [DEEP, SHALLOW]}, (1.0, 0.8))


def test_each_start_goes_to_the_minimum_near_it_and_the_best_is_taken(law) -> None:
    objective, room = Objective(law, 25.0, None, np.ones(1)), Room.of(interior(constraints(TRAIN)))
    near = np.array([[0.55, 0.25, 0.2], [0.5, 0.2, 0.3], [0.15, 0.2, 0.65]])
    found = minimize_local(objective, room, near, 1e-13)
    np.testing.assert_allclose(found.r, DEEP, atol=1e-5)
    assert found.agreeing == 1
    alone = minimize_local(objective, room, near[:2], 1e-13)
    np.testing.assert_allclose(alone.r, SHALLOW, atol=1e-5)
    assert alone.agreeing == 2


def test_a_search_finds_the_deepest_minimum_and_says_how_many_starts_agree(law) -> None:
    found = find_minimum(Objective(law, 25.0, None, np.ones(1)), constraints(TRAIN))
    np.testing.assert_allclose(found.r, DEEP, atol=1e-5)
    assert (found.method, found.starts) == ("local", STARTS)
    assert 1 <= found.agreeing < STARTS
    assert found.certificate.gap <= 1e-6


LIMITS = {
    "floors": {"floors": {"web": 0.25}},
    "caps": {"caps": {"books": 0.55}},
    "fixed": {"fixed": {"code": 0.3}},
    "group": {"groups": [GroupBound(("web", "code"), floor=0.45)]},
    "ratio": {"ratios": [RatioBound("web", "books", floor=0.3)]},
    "ratio held": {"ratios": [RatioBound("web", "code", 0.5, 0.5)]},
    "epochs": {"budget": 1.0, "available": {"books": 0.2}, "max_epochs": 3},
    "several": {
        "floors": 0.15, "groups": [GroupBound(("web", "code"), floor=0.4)],
        "ratios": [RatioBound("web", "code", cap=1)],
    },
}  # fmt: skip


@pytest.mark.parametrize("which", LIMITS)
def test_constraints_hold_and_no_mixture_of_a_grid_is_better(grid, law, which: str) -> None:
    limits = constraints(TRAIN, **LIMITS[which])
    objective = Objective(law, 25.0, None, np.ones(1))
    found = find_minimum(objective, limits)
    assert limits.allow(found.r, tolerance=1e-12)
    assert found.r.sum() == pytest.approx(1.0, abs=1e-13)
    rows = grid(3, 180)
    rows = rows[[limits.allow(row) for row in rows]]
    assert len(rows) > 10
    assert objective.value(found.r) <= objective.values(rows).min() + 1e-9
    assert found.certificate.gap <= 1e-5


def test_a_worst_case_without_terms_is_where_the_losses_meet(grid, curved_law_of) -> None:
    law = curved_law_of(TRAIN, {"a": [(0.2, 0.4, 0.4)], "b": [(0.4, 0.2, 0.4)]}, (1.0,))
    objective = Objective(law, 25.0, None, np.ones(2), worst=True)
    found = find_minimum(objective, constraints(TRAIN))
    np.testing.assert_allclose(found.r, [0.3, 0.3, 0.4], atol=1e-5)
    losses = objective.losses(found.r[None, :])[0]
    assert losses[0] == pytest.approx(losses[1], abs=1e-9)
    assert objective.value(found.r) <= objective.values(grid(3, 200)).min() + 1e-9
    assert found.certificate.gap <= 1e-6


def test_a_convex_law_without_terms_has_the_certified_minimum(power_law_of, monkeypatch: pytest.MonkeyPatch) -> None:
    law = power_law_of(TRAIN, {"talk": (0.3, (1.0, 0.1, 0.4)), "code": (0.2, (0.1, 1.0, 0.2))})
    limits = constraints(TRAIN, floors={"books": 0.1}, groups=[GroupBound(("web", "books"), cap=0.5)])
    exact = {}
    for worst, weights in ((False, np.array([0.5, 0.5])), (True, np.array([1.0, 1.2]))):
        exact[worst] = find_minimum(Objective(law, 25.0, None, weights, worst=worst), limits)
    predict = type(law).predict
    monkeypatch.setattr(type(law), "predict", lambda self, p, *, at, params=None: original(self, p, at=at))
    monkeypatch.setattr(type(law), "power_terms", terms := type(law).power_terms)

    def original(self, p, *, at):
        with monkeypatch.context() as patch:
            patch.setattr(type(law), "power_terms", terms)
            return predict(self, p, at=at)

    monkeypatch.setattr(Objective, "convex", None)
    for worst, weights in ((False, np.array([0.5, 0.5])), (True, np.array([1.0, 1.2]))):
        found = find_minimum(Objective(law, 25.0, None, weights, worst=worst), limits)
        assert found.method == "local"
        assert found.agreeing == STARTS
        np.testing.assert_allclose(found.r, exact[worst].r, atol=1e-4)
        np.testing.assert_allclose(found.certificate.rows, exact[worst].certificate.rows, atol=1e-3)
        assert found.certificate.multiplier == pytest.approx(exact[worst].certificate.multiplier, abs=1e-3)


def test_a_share_may_end_at_zero_where_the_law_is_finite_there_and_not_where_it_is_not(curved_law_of, law_of) -> None:
    law = curved_law_of(TRAIN, {"all": [(0.6, 0.4, 0.0)]}, (1.0,))
    found = find_minimum(Objective(law, 25.0, None, np.ones(1)), constraints(TRAIN, floors={"web": 0.7}))
    assert found.r.tolist() == [0.7, pytest.approx(0.3), 0.0]
    bimix = law_of({"web": (0.1, 4.0, 0.5, 2.0), "code": (0.3, 2.0, 0.7, 1.0)})
    risky = Objective(bimix, 25.0, None, np.array([1.0, 1.0]), risk=1.0, drawn=(bimix, bimix))
    found = find_minimum(risky, constraints(("web", "code")))
    assert (found.r > 0.01).all()


def test_a_start_that_is_given_is_the_only_one(law) -> None:
    found = find_minimum(Objective(law, 25.0, None, np.ones(1)), constraints(TRAIN), start=np.array([0.55, 0.25, 0.2]))
    np.testing.assert_allclose(found.r, SHALLOW, atol=1e-5)
    assert (found.starts, found.agreeing) == (1, 1)


def test_the_best_run_is_a_start(curved_law_of) -> None:
    needle = (0.02, 0.03, 0.95)
    runs = np.array([[0.05, 0.05, 0.9], [0.4, 0.3, 0.3]])
    law = curved_law_of(TRAIN, {"all": [needle]}, (1.0,), mixtures=runs)
    found = find_minimum(Objective(law, 25.0, None, np.ones(1)), constraints(TRAIN))
    np.testing.assert_allclose(found.r, needle, atol=1e-5)


def test_equal_seeds_have_equal_starts(law) -> None:
    objective = Objective(law, 25.0, None, np.ones(1))
    first, second = (find_minimum(objective, constraints(TRAIN), seed=7) for _ in range(2))
    assert first.r.tolist() == second.r.tolist()


def test_constraints_that_leave_no_choice_are_the_answer(law) -> None:
    limits = constraints(TRAIN, fixed={"web": 0.5, "code": 0.3})
    found = find_minimum(Objective(law, 25.0, None, np.ones(1)), limits)
    np.testing.assert_allclose(found.r, [0.5, 0.3, 0.2])
    assert found.certificate.gap == 0.0


def test_an_objective_that_is_nowhere_finite_is_an_error(law, monkeypatch: pytest.MonkeyPatch) -> None:
    objective, room = Objective(law, 25.0, None, np.ones(1)), Room.of(interior(constraints(TRAIN)))
    monkeypatch.setattr(Objective, "values", lambda self, mixtures: np.full(len(mixtures), np.inf))
    with pytest.raises(MixlawError, match="none of 1 starts led to a mixture with a finite objective"):
        minimize_local(objective, room, np.full((1, 3), 1 / 3), 1e-13)
