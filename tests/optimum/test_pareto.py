import json
from pathlib import Path

import numpy as np
import pytest

import mixlaw
from mixlaw import GroupBound, InputError
from mixlaw.errors import InfeasibleError
from mixlaw.optimum.pareto import LEAST

DOMAINS = ("web", "code", "books")
POWERS = {"web": (0.3, (1.0, 0.1, 0.4)), "code": (0.5, (0.1, 1.0, 0.05)), "books": (0.2, (0.3, 0.1, 1.0))}


@pytest.fixture
def law(power_law_of):
    return power_law_of(DOMAINS, POWERS)


def losses(front) -> np.ndarray:
    return np.array([(point.first, point.second) for point in front.points])


def test_every_point_is_the_optimum_for_its_weights_and_none_is_better_than_another(law) -> None:
    front = mixlaw.pareto(law, at=25.0, first={"web": 3, "books": 1}, second={"code": 1}, caps={"code": 0.8})
    assert isinstance(front, mixlaw.Front)
    assert front.first == {"web": 0.75, "code": 0.0, "books": 0.25}
    assert [point.weight for point in front.points] == sorted(point.weight for point in front.points)
    assert (front.points[0].weight, front.points[-1].weight) == (LEAST, 1.0 - LEAST)
    assert (np.diff(losses(front), axis=0) * [1, -1] > 0.0).all()
    for point in front.points:
        a = point.weight
        weights = {"web": (1 - a) * 0.75, "books": (1 - a) * 0.25, "code": a}
        best = mixlaw.optimize(law, at=25.0, weights=weights, caps={"code": 0.8}, draws=0)
        assert dict(point.optimum.mixture) == pytest.approx(dict(best.mixture), abs=1e-9)
        assert point.first == pytest.approx(0.75 * best.losses["web"] + 0.25 * best.losses["books"])
        assert point.second == pytest.approx(best.losses["code"])


def test_no_mixture_of_a_fine_grid_is_in_front_of_it(grid, law) -> None:
    front = mixlaw.pareto(law, at=25.0, first={"web": 1}, second={"code": 1}, points=21)
    assert len(front.points) == 21
    found = law.predict(grid(3, 120) * 0.999 + 0.001 / 3, at=25.0)[:, :2]
    for point in front.points:  # every mixture is on the far side of the tangent at the point
        weights = np.array([1.0 - point.weight, point.weight])
        assert (found @ weights).min() >= weights @ [point.first, point.second] - 1e-9


def test_points_are_spread_along_the_front(law) -> None:
    front = losses(mixlaw.pareto(law, at=25.0, first={"web": 1}, second={"code": 1}, points=11))
    steps = np.abs(np.diff(front, axis=0)) / np.ptp(front, axis=0)
    assert len(front) == 11
    assert steps.max(axis=1).max() <= 0.3


def test_a_front_with_corners_has_fewer_points(power_law_of) -> None:
    # One loss wants web alone and the other code alone, but the cap leaves two corners only.
    law = power_law_of(("web", "code"), {"a": (0.3, (1.0, 0.9)), "b": (0.3, (0.9, 1.0))})
    front = mixlaw.pareto(law, at=25.0, first={"a": 1}, second={"b": 1}, points=9)
    assert dict(front.points[0].optimum.mixture) == {"web": 1.0, "code": 0.0}
    assert len(front.points) <= 9
    same = mixlaw.pareto(law, at=25.0, first={"a": 1}, second={"a": 2}, points=9)
    assert len(same.points) == 1  # one mixture is best for both


def test_bimix_has_a_front_though_it_has_no_value_where_a_group_has_no_tokens(law_of) -> None:
    law = law_of({"web": (0.1, 4.0, 0.5, 2.0), "code": (0.3, 2.0, 0.7, 1.0)})
    front = mixlaw.pareto(law, at=25.0, first={"web": 1}, second={"code": 1}, points=5)
    assert len(front.points) == 5
    assert np.isfinite(losses(front)).all()


def test_constraints_and_model_size_are_passed_on(law) -> None:
    front = mixlaw.pareto(
        law, at=25.0, first={"web": 1}, second={"code": 1}, points=4, params=3.0,
        floors={"books": 0.1}, groups=[GroupBound(("code", "books"), cap=0.7)], available={"code": 5.0},
    )  # fmt: skip
    for point in front.points:
        assert point.optimum.params == 3.0
        assert point.optimum.mixture["books"] >= 0.1
        assert point.optimum.mixture["code"] + point.optimum.mixture["books"] <= 0.7 + 1e-12
        assert "code" in point.optimum.epochs


def test_the_text_and_the_file_show_the_points(law, tmp_path: Path) -> None:
    front = mixlaw.pareto(law, at=25.0, first={"web": 1}, second={"code": 2, "books": 2}, points=3)
    lines = front.to_text().splitlines()
    assert lines[:3] == ["front of two groups under fake at 25 tokens", "first: web 1", "second: code 0.5, books 0.5"]
    assert lines[4].split() == [
        "weight",
        "of",
        "second",
        "loss",
        "of",
        "first",
        "loss",
        "of",
        "second",
        "web",
        "code",
        "books",
    ]
    point = front.points[1]
    assert lines[6].split() == [
        f"{point.weight:.4f}", f"{point.first:.4f}", f"{point.second:.4f}",
        *(f"{share:.4f}" for share in point.optimum.mixture.values()),
    ]  # fmt: skip
    front.write(tmp_path / "front.json")
    content = json.loads((tmp_path / "front.json").read_text())
    assert content.pop("schema") == "mixlaw.front/1"
    assert content.pop("mixlaw_version") == mixlaw.__version__
    assert content == front.content()
    assert content["points"][1]["optimum"]["mixture"] == dict(point.optimum.mixture)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"points": 1}, "points: expected a whole number of at least 2, not 1"),
        ({"points": 2.5}, "points: expected a whole number of at least 2, not 2.5"),
        ({"points": True}, "points: expected a whole number of at least 2, not True"),
        ({"first": {"wbe": 1}}, "first group: weight of 'wbe': no evaluation domain; did you mean 'web'"),
        ({"second": {"code": 0}}, "second group: all weights are 0"),
        ({"floors": {"wbe": 0.1}}, "floor of 'wbe': no training domain"),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused(law, given, message: str) -> None:
    with pytest.raises(InputError, match=message):
        mixlaw.pareto(law, **{"at": 25.0, "first": {"web": 1}, "second": {"code": 1}, **given})


def test_constraints_that_clash_are_refused(law) -> None:
    with pytest.raises(InfeasibleError, match=r"floor of 'web' 0\.6 and cap of 'web' 0\.5"):
        mixlaw.pareto(law, at=25.0, first={"web": 1}, second={"code": 1}, floors={"web": 0.6}, caps={"web": 0.5})
