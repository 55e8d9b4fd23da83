import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlaw.errors import MixlawError
from mixlaw.optimum.local import between, minimize_local

GRID = np.array([(i, j, 60 - i - j) for i in range(61) for j in range(61 - i)]) / 60.0


def bumpy(seed: int):
    """A smooth objective with several minima on the simplex."""
    rng = np.random.default_rng(seed)
    frequency, phase = rng.normal(size=(6, 3)) * 4.0, rng.uniform(0.0, 6.3, 6)

    return (
        lambda r: float(np.cos(frequency @ r + phase).sum()),
        lambda r: -np.sin(frequency @ r + phase) @ frequency,
    )


@pytest.mark.parametrize("seed", range(12))
def test_the_minimum_is_as_low_as_any_on_a_grid(seed: int) -> None:
    rng = np.random.default_rng(seed)
    floor, cap = rng.uniform(0.0, 0.15, 3), rng.uniform(0.5, 1.0, 3)
    value, gradient = bumpy(seed)
    found = minimize_local(value, gradient, np.eye(3), floor, cap)
    inside = GRID[((floor <= GRID) & (cap >= GRID)).all(axis=1)]
    assert value(found.r) <= min(map(value, inside)) + 1e-6
    assert found.r.sum() == pytest.approx(1.0, abs=1e-12)
    assert ((floor <= found.r) & (found.r <= cap)).all()
    assert 1 <= found.agreeing <= found.starts == 9


def test_a_domain_that_only_harms_is_put_at_zero() -> None:
    found = minimize_local(
        lambda r: float(r[0] + r[1] ** 2),
        lambda r: np.array([1.0, 2.0 * r[1], 0.0]),
        np.eye(3),
        np.zeros(3),
        np.ones(3),
    )
    np.testing.assert_allclose(found.r, [0.0, 0.0, 1.0], atol=1e-5)
    assert found.r[0] == 0.0


def test_an_objective_that_is_nowhere_finite_is_refused() -> None:
    with pytest.raises(MixlawError, match="no optimum was found"):
        minimize_local(lambda _: np.inf, lambda _: np.zeros(2), np.eye(2), np.zeros(2), np.ones(2))


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=6), st.integers(0, 1000))
def test_mixtures_are_moved_between_the_bounds(r: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    m = len(r)
    low = rng.dirichlet(np.ones(m)) * 0.5
    high = np.minimum(low + rng.uniform(0.6, 1.0), 1.0)
    moved = between(np.array(r), low, high)
    assert moved.sum() == pytest.approx(1.0, abs=1e-9)
    assert ((low <= moved) & (moved <= high)).all()
