import numpy as np
import pytest

from mixlaw import GroupBound, RatioBound
from mixlaw.optimum.constraints import constraints
from mixlaw.optimum.feasible import interior
from mixlaw.optimum.objective import Objective
from mixlaw.optimum.sampled import BEST, SAMPLES, centre_of_runs, dirichlet, minimize_sampled
from mixlaw.optimum.solve import find_minimum

TRAIN = ("web", "code", "books")


@pytest.fixture
def law(curved_law_of):
    return curved_law_of(TRAIN, {"all": [(0.1, 0.2, 0.7), (0.6, 0.2, 0.2)]}, (1.0, 0.8), smooth=False)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"floors": {"web": 0.25}, "caps": {"books": 0.5}},
        {"fixed": {"code": 0.3}},
        {"groups": [GroupBound(("web", "code"), floor=0.4)], "ratios": [RatioBound("web", "code", 0.5, 0.5)]},
        {"budget": 1.0, "available": {"books": 0.2}, "max_epochs": 3},
    ],
)
def test_a_law_without_a_gradient_gives_a_mixture_that_is_allowed_and_near_the_best_of_a_grid(grid, law, given) -> None:
    limits, objective = constraints(TRAIN, **given), Objective(law, 25.0, None, np.ones(1))
    found = find_minimum(objective, limits)
    assert (found.method, found.certificate, found.starts) == ("sampled", None, 0)
    assert limits.allow(found.r, tolerance=1e-12)
    assert found.r.sum() == pytest.approx(1.0, abs=1e-12)
    rows = grid(3, 180)
    rows = rows[[limits.allow(row) for row in rows]]
    assert objective.value(found.r) <= objective.values(rows).min() + 5e-3


def test_it_is_the_mean_of_the_best_of_those_that_were_asked_about(law) -> None:
    r = minimize_sampled(objective := Objective(law, 25.0, None, np.ones(1)), interior(constraints(TRAIN)), 0)
    asked = np.vstack(law.asked)
    assert len(asked) == SAMPLES
    best = asked[np.argsort(objective.values(asked), kind="stable")[:BEST]]
    np.testing.assert_allclose(r, best.mean(axis=0), rtol=1e-12)


def test_equal_seeds_give_equal_mixtures(law) -> None:
    objective, inside = Objective(law, 25.0, None, np.ones(1)), interior(constraints(TRAIN))
    assert minimize_sampled(objective, inside, 1).tolist() == minimize_sampled(objective, inside, 1).tolist()
    assert minimize_sampled(objective, inside, 1).tolist() != minimize_sampled(objective, inside, 2).tolist()


def test_mixtures_are_drawn_around_the_mean_of_the_runs(curved_law_of) -> None:
    runs = np.array([[0.8, 0.2, 0.0], [0.6, 0.4, 0.0]])
    law = curved_law_of(TRAIN, {"all": [(0.1, 0.2, 0.7)]}, (1.0,), mixtures=runs)
    centre = centre_of_runs(Objective(law, 25.0, None, np.ones(1)))
    np.testing.assert_allclose(centre, 0.99 * np.array([0.7, 0.3, 0.0]) + 0.01 / 3)
    rows = dirichlet(centre, 20_000, np.random.default_rng(0))
    np.testing.assert_allclose(rows.sum(axis=1), 1.0, rtol=1e-12)
    assert (rows >= 0.0).all()
    np.testing.assert_allclose(rows.mean(axis=0), centre, atol=0.01)
    assert (rows.max(axis=1) > 0.99).mean() > 0.1  # some at corners
    assert (np.abs(rows - centre).sum(axis=1) < 0.2).mean() > 0.1  # some narrow


def test_concentrations_so_low_that_nothing_is_drawn_give_the_centre() -> None:
    centre = np.full(3, 1e-12)
    rows = dirichlet(centre, 50, np.random.default_rng(0))
    assert np.isfinite(rows).all()
