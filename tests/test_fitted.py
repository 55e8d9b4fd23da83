import html
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from scipy.stats import t

from mixlaw import InputError, Mixture
from mixlaw.fitted import Coefficient, DomainFit, EffectiveProportions, FittedLaw


class Constant(FittedLaw):
    """The same loss whatever the mixture: as little of a law as there can be."""

    law: ClassVar[str] = "constant"
    formula: ClassVar[str] = "L_i = C_i < E_i"

    def predict(self, proportions, *, at, params=None):
        shares = self.to_array(proportions)
        self.positions(at, len(shares))
        return np.tile([mine["C"].value for mine in self.coefficients.values()], (len(shares), 1))

    def gradient(self, proportions, *, at, params=None):
        return np.zeros((len(self.to_array(proportions)), 2, 3))


@pytest.fixture
def law() -> Constant:
    return Constant(
        train_domains=("web", "code", "a<b"),
        eval_domains=("web", "a<b"),
        x="tokens",
        x_range=(1e9, 2e10),
        sizes=(1e8,),
        mixtures=np.array([[0.25, 0.25, 0.5]]),
        fingerprint="abc123",
        coefficients={
            "web": {"C": Coefficient(2.5, 0.125)},
            "a<b": {"C": Coefficient(0.0, note="at its bound 0")},
        },
        covariance={"web": np.array([[0.015625]]), "a<b": np.array([[np.nan]])},
        quality={
            "web": DomainFit(11, 4, 2, 0.01, 0.02, 0.9, 0.95),
            "a<b": DomainFit(13, 4, 0, None, 0.04, None, None),
        },
        spearman=None,
        notes=("It is < nothing.",),
    )


def test_proportions_may_be_an_array_a_mixture_or_several(law: Constant) -> None:
    expected = [[0.5, 0.25, 0.25]]
    mixture = Mixture({"code": 0.25, "a<b": 0.25, "web": 0.5})
    for given in (expected, np.array(expected), mixture, [mixture], (mixture,)):
        np.testing.assert_array_equal(law.to_array(given), expected)
    np.testing.assert_array_equal(law.to_array([mixture, mixture]), expected * 2)
    assert law.to_array(np.empty((0, 3))).shape == (0, 3)


@pytest.mark.parametrize(
    ("proportions", "message"),
    [
        ([0.5, 0.25, 0.25], r"3 training domains need proportions of shape \(q, 3\), not \(3,\)"),
        ([[0.5, 0.5]], r"of shape \(q, 3\), not \(1, 2\)"),
        ([[0.5, 0.25, 0.25], [0.5, 0.75, -0.25]], "mixture 1, domain 'a<b': .* finite and >= 0, not -0.25"),
        ([[0.5, np.nan, 0.5]], "mixture 0, domain 'code': .* not nan"),
        ([[0.5, np.inf, 0.5]], "mixture 0, domain 'code': .* not inf"),
        ([[0.5, 0.25, 0.25], [0.5, 0.2, 0.2]], "mixture 1: the proportions sum to 0.9, not 1"),
        ([[50, 25, 25]], "mixture 0: the proportions sum to 100, not 1"),
        ("web", "the proportions are no array of numbers"),
        ([[0.5], [0.2, 0.3]], "the proportions are no array of numbers"),
        (Mixture({"web": 0.5, "code": 0.5}), "the mixture has no domain 'a<b'"),
        ([Mixture({"web": 1.0, "code": 0.0, "a<b": 0.0}), [0.5, 0.25, 0.25]], "mixture 1: expected a Mixture"),
    ],
)
def test_proportions_that_are_no_mixtures_are_refused(law: Constant, proportions: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        law.predict(proportions, at=1e9)


@pytest.mark.parametrize(
    ("at", "message"),
    [
        (0.0, "at: tokens must be positive and finite, not 0.0"),
        (-1e9, "not -1000000000.0"),
        (np.nan, "not nan"),
        ([1e9, np.inf], "not inf"),
        ([1e9], r"one number, or one for each of the 2 mixtures, not shape \(1,\)"),
        ("soon", "at: not a number of tokens"),
    ],
)
def test_a_length_of_training_that_is_none_is_refused(law: Constant, at: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        law.predict([[0.5, 0.25, 0.25]] * 2, at=at)


def test_a_law_is_not_separable_unless_it_says_so(law: Constant) -> None:
    assert law.separable(at=1e9) is None


def test_the_report_shows_coefficients_quality_and_notes(law: Constant) -> None:
    lines = law.report().splitlines()
    assert lines[0] == "constant: L_i = C_i < E_i"
    assert "x: tokens, 1e+09 to 2e+10 in the runs, models of 1e+08 parameters" in lines
    assert "data: abc123" in lines
    assert "web     2.5 ± 0.12" in lines
    assert "a<b     0 (at its bound 0)" in lines
    table = [line.split() for line in lines]
    assert ["web", "11", "4", "2", "2.000", "0.9000", "0.9500", "0.01"] in table
    assert ["a<b", "13", "4", "0", "4.000", "-", "-", "-"] in table
    assert ["mean", "3.000", "0.9000", "0.9500", "0.01"] in table
    assert lines[-1] == "- It is < nothing."


def test_the_html_holds_what_the_report_holds_escaped(law: Constant) -> None:
    shown = law._repr_html_()
    assert "a<b" not in shown
    assert shown.count("<table>") == 2
    text = html.unescape(shown)
    for piece in ("L_i = C_i < E_i", "2.5 ± 0.12", "0 (at its bound 0)", "It is < nothing.", "data: abc123"):
        assert piece in text


def test_the_repr_is_short(law: Constant) -> None:
    assert repr(law) == "<constant of 2 domains, fitted up to 2e+10 tokens; report() has the details>"


def test_the_file_is_json_without_nan(law: Constant, tmp_path: Path) -> None:
    law.write(tmp_path / "law.json")

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    content = json.loads((tmp_path / "law.json").read_text(), parse_constant=refuse)
    assert content["schema"] == "mixlaw.fitted-law/2"
    assert content["law"] == "constant"
    assert content["x"] == {"unit": "tokens", "min": 1e9, "max": 2e10}
    assert content["coefficients"]["a<b"]["C"] == {"value": 0.0, "standard_error": None, "note": "at its bound 0"}
    assert content["covariance"] == {"web": [[0.015625]], "a<b": [[None]]}
    assert content["quality"]["a<b"]["pearson"] is None


def test_a_coefficient_has_no_standard_error_unless_given() -> None:
    assert math.isnan(Coefficient(1.0).standard_error)


def test_effective_proportions_may_sum_to_less_than_one_and_not_to_more(law: Constant) -> None:
    less = np.array([[0.25, 0.25, 0.25], [0.5, 0.25, 0.25]])
    assert law.to_array(EffectiveProportions(less)).tolist() == less.tolist()
    assert law.predict(EffectiveProportions(less), at=1e9).shape == (2, 2)
    with pytest.raises(InputError, match=r"mixture 0: the proportions sum to 0\.75, not 1"):
        law.to_array(less)
    with pytest.raises(InputError, match=r"mixture 0: the proportions sum to 1\.25, not 1"):
        law.to_array(EffectiveProportions(less + 1.0 / 6.0))


def certain(law: Constant) -> Constant:
    """The law with its first evaluation domain alone, which has a standard error."""
    parts = {name: {"web": getattr(law, name)["web"]} for name in ("coefficients", "covariance", "quality")}
    return replace(law, eval_domains=("web",), **parts)


R = [[0.5, 0.25, 0.25]]


def test_an_interval_has_the_width_of_coefficient_and_of_deviation(law: Constant) -> None:
    one = certain(law)
    np.testing.assert_allclose(one.log_variance(R, at=1e9), [[(0.125 / 2.5) ** 2]], rtol=1e-3)
    np.testing.assert_array_equal(one.deviations(), [0.01])
    low, high = one.interval(R, at=1e9, level=0.8)
    half = t.ppf(0.9, 3) * np.hypot(0.125 / 2.5, 0.01)  # 4 runs
    np.testing.assert_allclose([low, high], 2.5 * np.exp([[[-half]], [[half]]]), rtol=1e-3)


def test_draws_vary_as_the_covariance_says_and_repeat_with_their_seed(law: Constant) -> None:
    one = certain(law)
    drawn = np.array([draw.coefficients["web"]["C"].value for draw in one.draws(4000, seed=1)])
    assert drawn.mean() == pytest.approx(2.5, abs=0.01)
    assert drawn.std() == pytest.approx(0.125, rel=0.05)
    assert [d.coefficients for d in one.draws(3, seed=1)] == [d.coefficients for d in one.draws(3, seed=1)]


@pytest.mark.parametrize("level", [0.0, 1.0, -0.5, float("nan")])
def test_a_level_that_is_no_probability_is_refused(law: Constant, level: float) -> None:
    with pytest.raises(InputError, match="level: expected a probability between 0 and 1"):
        certain(law).interval(R, at=1e9, level=level)


def test_without_standard_errors_or_deviations_there_are_no_intervals(law: Constant) -> None:
    with pytest.raises(InputError, match="'a<b': the fit gives no standard errors \\(at its bound 0\\)"):
        law.interval(R, at=1e9)
    with pytest.raises(InputError, match="'a<b': as many coefficients as rows"):
        law.deviations()


def test_the_size_is_that_of_the_runs_unless_there_are_several(law: Constant) -> None:
    assert law.size(None) == 1e8
    assert law.size(2e8) == 2e8
    assert replace(law, sizes=()).size(None) is None
    with pytest.raises(InputError, match="params: the runs have 2 model sizes, so say for which"):
        replace(law, sizes=(1e8, 2e8)).size(None)
    with pytest.raises(InputError, match=r"params: a model size is above 0, not -1\.0"):
        law.size(-1.0)
    for wrong in (float("nan"), "big", True):
        with pytest.raises(InputError, match="params: expected a"):
            law.size(wrong)  # type: ignore[arg-type]
