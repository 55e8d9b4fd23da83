from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlaw import InputError, RunTable, laws
from mixlaw.fitted import FittedLaw
from mixlaw.laws.more_runs import _alike, more_runs

T = np.array([[1.0, 0.5, 0.05], [0.3, 1.0, 0.4], [0.02, 0.3, 1.0]])
DOMAINS = ("web", "code", "books")


def runs_at(shares: np.ndarray, seed: int = 0) -> RunTable:
    """Runs of one checkpoint under the transfer law, with deviations of half a percent."""
    z = (shares**0.7 @ T.T**0.7) ** (1.0 / 0.7)
    losses = z ** -np.array([0.2, 0.1, 0.3]) * 3.0
    losses = losses * np.exp(0.005 * np.random.default_rng(seed).normal(size=losses.shape))
    run = [f"r{i}" for i in range(len(shares))]
    return RunTable.from_arrays(shares, losses, train_domains=DOMAINS, eval_domains=DOMAINS, tokens=1e9, run=run)


def mixtures(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(3), count)


def width(law: FittedLaw, asked: np.ndarray) -> float:
    low, high = law.interval(asked, at=1e9)
    return float(np.median((high - low) / law.predict(asked, at=1e9)))


@pytest.mark.parametrize("name", ["transfer", "transfer-gp", "bimix", "linear"])
def test_without_further_runs_the_width_is_that_of_the_intervals(name: str) -> None:
    law = laws.get(name).fit(runs_at(mixtures(14)))
    (found,) = more_runs(law, counts=[0]).widths
    rng = np.random.default_rng(0)
    asked = np.concatenate([_alike(law.mixtures, 128, rng) for _ in range(4)])
    assert found == pytest.approx(width(law, asked), rel=1e-6)


@pytest.mark.parametrize("name", ["transfer", "transfer-gp", "bimix", "linear"])
def test_the_covariance_of_predictions_has_their_variances(name: str) -> None:
    law = laws.get(name).fit(runs_at(mixtures(14)))
    asked = mixtures(5, seed=9)
    covariance = law.log_covariance(asked, at=1e9)
    np.testing.assert_allclose(np.diagonal(covariance, axis1=1, axis2=2).T, law.log_variance(asked, at=1e9), atol=1e-15)
    np.testing.assert_allclose(covariance, np.swapaxes(covariance, 1, 2), atol=1e-15)
    assert np.linalg.eigvalsh(covariance).min() > -1e-12


def test_further_runs_narrow_the_intervals_as_much_as_predicted() -> None:
    predicted, found = [], []
    for seed in range(6):
        shares = mixtures(36, seed)
        law, later = (laws.get("transfer").fit(runs_at(shares[:k], seed)) for k in (12, 36))
        predicted.append(more_runs(law, counts=[24]).widths[0])
        found.append(width(later, mixtures(300, seed=99)))
    assert np.mean(predicted) == pytest.approx(np.mean(found), rel=0.2)


@given(st.lists(st.integers(0, 60), min_size=1, max_size=5), st.integers(0, 99))
@settings(max_examples=15)
def test_more_runs_never_widen(counts: list[int], seed: int) -> None:
    law = laws.get("linear").fit(runs_at(mixtures(8)))
    found = more_runs(law, counts=counts, seed=seed)
    assert found.counts == tuple(counts)
    in_order = [width for _, width in sorted(zip(counts, found.widths, strict=True))]
    assert all(later <= earlier * (1.0 + 1e-12) for earlier, later in pairwise(in_order))
    assert min(in_order) > 0.0


def test_endless_runs_leave_the_deviation_of_single_runs() -> None:
    law = laws.get("linear").fit(runs_at(mixtures(12)))
    sigma = np.median([law.quality[domain].residual_sd for domain in DOMAINS])
    (found,) = more_runs(law, counts=[200]).widths
    assert found == pytest.approx(2.0 * 1.645 * sigma, rel=0.1)


def test_counts_follow_the_number_of_runs_unless_given() -> None:
    law = laws.get("linear").fit(runs_at(mixtures(10)))
    found = more_runs(law)
    assert found.counts == (0, 3, 5, 10, 20)
    assert (found.runs, found.at, found.x, found.level, found.law) == (10, 1e9, "tokens", 0.9, "linear")
    assert found.widths[0] > found.widths[-1]
    first, counts, widths = found.to_text().splitlines()
    assert first == "Median width of the 90% intervals of unseen mixtures at 1e+09 tokens under linear, of 10 runs now"
    assert counts.split() == ["further", "runs", "0", "3", "5", "10", "20"]
    assert widths.split()[-1] == f"{100.0 * found.widths[-1]:.2f}"


def test_a_higher_level_is_wider_and_equal_seeds_give_equal_widths() -> None:
    law = laws.get("linear").fit(runs_at(mixtures(10)))
    assert more_runs(law, level=0.99).widths[0] > more_runs(law).widths[0]
    assert more_runs(law, seed=3) == more_runs(law, seed=3)
    assert more_runs(law, seed=3).widths != more_runs(law, seed=4).widths


def test_a_longer_training_is_less_certain(plant: Any) -> None:
    # Noise of the checkpoints: that of a run is the same at all of them, and so leaves the exponent in s exact.
    law = laws.get("bimix").fit(plant(mixtures=8, row_sd=0.01).runs)
    assert more_runs(law, at=1e13, counts=[0]).widths[0] > 1.1 * more_runs(law, counts=[0]).widths[0]


@given(st.integers(0, 999), st.integers(2, 6))
@settings(max_examples=25)
def test_drawn_mixtures_are_like_those_at_hand(seed: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(rng.uniform(0.5, 3.0, m), 40)
    shares = np.column_stack([shares, np.zeros(40)])  # a domain that no run trains on
    drawn = _alike(shares, 4000, rng)
    assert (drawn >= 0.0).all()
    assert not drawn[:, -1].any()
    np.testing.assert_allclose(drawn.sum(axis=1), 1.0)
    np.testing.assert_allclose(drawn.mean(axis=0), shares.mean(axis=0), atol=0.03)
    assert drawn.var(axis=0).sum() == pytest.approx(shares.var(axis=0, ddof=1).sum(), rel=0.15)


def test_runs_of_one_domain_each_have_mixtures_to_draw_from() -> None:
    drawn = _alike(np.eye(4), 500, np.random.default_rng(0))
    assert np.isfinite(drawn).all()
    np.testing.assert_allclose(drawn.sum(axis=1), 1.0)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"counts": []}, r"counts: numbers of further runs are 0 or more, not \[\]"),
        ({"counts": [4, -1]}, r"not \[4, -1\]"),
        ({"level": 1.0}, "level: expected a probability"),
        ({"at": -1.0}, "must be positive"),
        ({"at": 2e9}, "cannot predict at"),
        ({"params": 3e6}, "3e\\+06"),
    ],
)
def test_what_has_no_answer_is_refused(how: dict[str, Any], message: str) -> None:
    law = laws.get("linear").fit(runs_at(mixtures(8)))
    with pytest.raises(InputError, match=message):
        more_runs(law, **how)


def test_a_law_without_standard_errors_is_refused(plant: Any) -> None:
    with pytest.raises(InputError, match="no standard errors"):
        more_runs(laws.get("bimix").fit(plant(mixtures=2).runs))


def test_on_slimpajama_eight_runs_tell_what_twenty_four_will(slimpajama) -> None:
    last = slimpajama(310e6).final()
    ratios = []
    for draw in range(4):
        order = np.random.default_rng(draw).permutation(len(last))
        few, more = (laws.get("transfer").fit(last.select(order[:k])) for k in (8, 24))
        asked, at = last.proportions[order[24:]], float(last.tokens.max())
        low, high = more.interval(asked, at=at)
        found = np.median((high - low) / more.predict(asked, at=at))
        ratios.append(more_runs(few, counts=[16], at=at).widths[0] / found)
    assert 0.65 < np.mean(ratios) < 1.2
