import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mixlaw.proxy_mixture import normal_replicates, proportion_bars, proportions


@given(arrays(np.float64, st.integers(1, 6), elements=st.floats(-800, 800)))
def test_proportions_are_those_of_exponentials(H: np.ndarray) -> None:  # type: ignore[type-arg]
    r = proportions(H)
    assert r.sum() == pytest.approx(1.0, rel=1e-14)
    with np.errstate(under="ignore"):
        np.testing.assert_allclose(r, r.max() * np.exp(H - H.max()), rtol=1e-12, atol=1e-300)


def test_each_replicate_has_its_own_proportions() -> None:
    H = np.array([[1.0, 2.0], [3.0, 3.0]])
    np.testing.assert_allclose(proportions(H), [proportions(H[0]), [0.5, 0.5]], rtol=1e-15)


def test_small_errors_go_to_proportions_as_their_derivatives_say() -> None:
    H, errors = np.array([7.0, 7.5, 6.0, 2.0]), np.array([0.01, 0.002, 0.03, 0.0])
    r = proportions(H)
    slopes = np.diag(r) - np.outer(r, r)
    expected = np.sqrt((slopes**2) @ errors**2)
    bars = proportion_bars(H, normal_replicates(H, errors))
    # Standard errors of a deviation and of percentiles of 10,000 draws: 0.7 and 1.3 %.
    np.testing.assert_allclose(bars.error, expected, rtol=0.03)
    np.testing.assert_allclose(bars.high - r, 1.645 * expected, rtol=0.06)
    np.testing.assert_allclose(r - bars.low, 1.645 * expected, rtol=0.06)


def test_where_replicates_lie_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    H, replicates = np.array([7.0, 7.5, 6.0]), rng.normal(0.0, 0.1, (101, 3))
    left, right = (proportion_bars(H, replicates + shift) for shift in (H, H - [0.5, 0.1, 3.0]))
    for one, other in zip(left, right, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10)


def test_what_is_known_exactly_has_no_bars() -> None:
    H = np.array([7.0, 7.5])
    error, low, high = proportion_bars(H, normal_replicates(H, np.zeros(2)))
    np.testing.assert_allclose(error, 0.0, atol=1e-12)
    np.testing.assert_allclose([low, high], [proportions(H)] * 2, rtol=1e-12)


def test_draws_are_the_same_at_every_call_and_independent_between_domains() -> None:
    H = np.zeros(3)
    drawn = normal_replicates(H, np.ones(3))
    np.testing.assert_array_equal(drawn, normal_replicates(H, np.ones(3)))
    np.testing.assert_allclose(np.corrcoef(drawn.T), np.eye(3), atol=0.04)
