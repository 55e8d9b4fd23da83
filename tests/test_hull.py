import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlaw.errors import MixlawError
from mixlaw.hull import distance_to_hull, in_hull, nearest

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.tuples(st.integers(1, 12), st.integers(2, 7))


@given(SEEDS, SIZES)
def test_a_weighted_mean_of_mixtures_is_inside(seed: int, sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    k, m = sizes
    points = rng.dirichlet(np.full(m, 0.5), k)
    r = rng.dirichlet(np.full(k, 0.3)) @ points
    assert in_hull(points, r)
    assert distance_to_hull(points, r) == pytest.approx(0.0, abs=1e-8)


@given(SEEDS, st.integers(2, 7))
def test_a_corner_of_the_simplex_is_as_far_as_the_largest_share_leaves(seed: int, m: int) -> None:
    points = np.random.default_rng(seed).dirichlet(np.ones(m), 5)
    expected = 1.0 - points[:, 0].max()  # all other tokens have to move to the first domain
    assert distance_to_hull(points, np.eye(m)[0]) == pytest.approx(expected, abs=1e-8)


@given(SEEDS)
def test_of_two_domains_the_hull_is_an_interval(seed: int) -> None:
    rng = np.random.default_rng(seed)
    share = rng.uniform(size=4)
    points, r = np.column_stack([share, 1.0 - share]), rng.uniform()
    expected = max(0.0, share.min() - r, r - share.max())
    assert distance_to_hull(points, [r, 1.0 - r]) == pytest.approx(expected, abs=1e-8)


@given(SEEDS, SIZES)
def test_no_mean_is_nearer_than_the_hull_and_no_mixture_nearer_than_the_nearest(
    seed: int, sizes: tuple[int, int]
) -> None:
    rng = np.random.default_rng(seed)
    k, m = sizes
    points, r = rng.dirichlet(np.ones(m), k), rng.dirichlet(np.ones(m))
    distance = distance_to_hull(points, r)
    means = rng.dirichlet(np.full(k, 0.3), 200) @ points
    assert distance <= 0.5 * np.abs(means - r).sum(axis=1).min() + 1e-8
    row, to_nearest = nearest(points, r)
    assert distance <= to_nearest + 1e-8
    assert to_nearest == pytest.approx(0.5 * np.abs(points[row] - r).sum())
    assert to_nearest == pytest.approx(min(0.5 * np.abs(point - r).sum() for point in points))


def test_rounding_leaves_a_mixture_inside_and_a_thousandth_does_not() -> None:
    points = np.array([[0.2, 0.8], [0.6, 0.4]])
    assert in_hull(points, [0.6 + 1e-9, 0.4 - 1e-9])
    assert not in_hull(points, [0.601, 0.399])


def test_what_is_not_finite_is_no_answer() -> None:
    with pytest.raises((MixlawError, ValueError)):
        distance_to_hull([[0.5, 0.5]], [np.nan, 1.0])
