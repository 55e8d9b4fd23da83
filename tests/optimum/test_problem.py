from dataclasses import replace

import numpy as np
import pytest

import mixlaw
from mixlaw import InputError
from mixlaw.errors import InfeasibleError

# (alpha, B, beta, C)
TERMS = {"web": (0.1, 4.0, 0.5, 2.0), "code": (0.3, 2.0, 0.7, 1.0), "books": (0.05, 3.0, 0.4, 3.0)}


def test_the_optimum_is_no_worse_than_any_mixture_of_a_fine_grid(law_of) -> None:
    law = law_of(TERMS)
    weights = {"web": 1.0, "code": 2.0, "books": 1.0}
    best = mixlaw.optimize(law, at=25.0, weights=weights, floors={"books": 0.2}, caps={"code": 0.55})
    first, second = np.meshgrid(np.arange(1, 200), np.arange(1, 200))
    grid = np.stack([first, second, 200 - first - second], axis=-1).reshape(-1, 3) / 200.0
    grid = grid[(grid[:, 2] >= 0.2) & (grid[:, 1] <= 0.55)]
    objectives = law.predict(grid, at=25.0) @ np.array([0.25, 0.5, 0.25])
    assert best.objective <= objectives.min()
    assert best.objective == pytest.approx(objectives.min(), abs=1e-4)
    assert best.mixture.to_array(law.train_domains) == pytest.approx(grid[objectives.argmin()], abs=0.006)


def test_the_result_says_what_it_is_of(law_of) -> None:
    law = law_of(TERMS)
    best = mixlaw.optimize(law, at=25.0, floors={"books": 0.3}, caps={"code": 0.4, "web": 0.9})
    assert isinstance(best, mixlaw.Optimum)
    assert (best.law, best.fingerprint, best.at, best.x) == ("bimix", "abc123", 25.0, "tokens")
    assert (best.at_floor, best.at_cap) == (("books",), ("code",))
    assert best.mixture["books"] == 0.3
    assert best.mixture["code"] == 0.4
    assert best.floors == {"web": 0.0, "code": 0.0, "books": 0.3}
    assert best.caps == {"web": 0.9, "code": 0.4, "books": 1.0}
    assert list(best.losses.values()) == law.predict(best.mixture, at=25.0)[0].tolist()
    assert best.weights == pytest.approx(dict.fromkeys(TERMS, 1 / 3))
    assert best.objective == pytest.approx(np.mean(list(best.losses.values())))
    assert best.kkt_residual <= 1e-10


def test_the_multiplier_is_what_one_more_unit_of_share_would_save(law_of) -> None:
    law = law_of(TERMS)
    best = mixlaw.optimize(law, at=25.0)
    gradient = np.mean(law.gradient(best.mixture, at=25.0)[0], axis=0)
    np.testing.assert_allclose(-gradient, best.multiplier, rtol=1e-12)


def test_evaluation_domains_in_another_order_than_the_training_domains_are_told_apart(law_of) -> None:
    law = law_of({"code": TERMS["code"], "web": TERMS["web"]}, also=("books",))
    assert law.train_domains == ("books", "code", "web")
    best = mixlaw.optimize(law, at=25.0, weights={"web": 1.0, "code": 1.0}, floors={"books": 0.25})
    other = mixlaw.optimize(law_of({d: TERMS[d] for d in ("web", "code")}), at=25.0)
    assert best.mixture["books"] == 0.25
    assert best.at_floor == ("books",)
    assert best.mixture["code"] / best.mixture["web"] == pytest.approx(
        other.mixture["code"] / other.mixture["web"], rel=0.05
    )


def test_an_optimum_within_no_bounds_reports_none(law_of) -> None:
    best = mixlaw.optimize(law_of({"web": TERMS["web"]}), at=25.0)
    assert dict(best.mixture) == {"web": 1.0}
    assert (best.at_floor, best.at_cap) == ((), ())


@pytest.mark.parametrize(
    ("terms", "also", "weights", "message"),
    [
        (TERMS, (), {"code": 1.0, "web": 1.0}, r"'books' \(its weight is 0\)"),
        (TERMS | {"web": (0.0, 4.0, 0.5, 2.0)}, (), None, r"'web' \(its alpha is 0\)"),
        (TERMS, ("talk",), None, r"'talk' \(no loss of it\)"),
    ],
)
def test_a_domain_that_nothing_speaks_for_needs_a_floor(law_of, terms, also, weights, message: str) -> None:
    law = law_of(terms, also=also)
    with pytest.raises(InputError, match=rf"nothing speaks for any tokens of {message}, .* give these domains a floor"):
        mixlaw.optimize(law, at=25.0, weights=weights)
    best = mixlaw.optimize(law, at=25.0, weights=weights, floors=0.01)
    assert min(best.mixture.values()) == 0.01
    assert best.kkt_residual <= 1e-10


def test_floors_that_fill_the_mixture_leave_nothing_for_the_others(law_of) -> None:
    with pytest.raises(InputError, match=r"'books'.*give these domains a floor"):
        mixlaw.optimize(law_of(TERMS), at=25.0, floors={"web": 0.5, "code": 0.5})


def test_infeasible_bounds_are_refused(law_of) -> None:
    with pytest.raises(InfeasibleError, match=r"sum to 1\.2"):
        mixlaw.optimize(law_of(TERMS), at=25.0, floors=0.4)


@pytest.mark.parametrize("at", [0.0, -1.0, float("nan"), float("inf")])
def test_a_length_of_training_that_is_none_is_refused(law_of, at: float) -> None:
    with pytest.raises(InputError, match="at: tokens must be positive and finite"):
        mixlaw.optimize(law_of(TERMS), at=at)


def test_a_law_of_another_form_has_the_same_minimum_by_search(law_of, power_law_of, monkeypatch) -> None:
    power = power_law_of(("web", "code", "books"), {"web": (0.1, (1, 0.2, 0.1)), "code": (0.3, (0.1, 1, 0.0))})
    bounds = {"floors": {"books": 0.05}, "caps": {"code": 0.5}}
    for law, given in ((law_of(TERMS), {"caps": {"code": 0.3}}), (power, bounds)):
        exact = mixlaw.optimize(law, at=25.0, **given)
        assert exact.starts is None
        with monkeypatch.context() as patch:
            patch.setattr(type(law), "separable", mixlaw.FittedLaw.separable)
            patch.setattr(type(law), "power_terms", mixlaw.FittedLaw.power_terms)
            found = mixlaw.optimize(replace(law, mixtures=np.eye(len(law.train_domains))), at=25.0, **given)
        np.testing.assert_allclose(
            found.mixture.to_array(law.train_domains), exact.mixture.to_array(law.train_domains), atol=1e-4
        )
        assert found.objective == pytest.approx(exact.objective, rel=1e-9)
        assert (found.at_floor, found.at_cap) == (exact.at_floor, exact.at_cap)
        assert found.kkt_residual < 1e-3
        assert found.starts is not None
        assert f"a local minimum: {found.starts[1]} of {found.starts[0]} starting points" in found.to_text()
