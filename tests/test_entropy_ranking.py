from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlaw.entropy_ranking import Z, unsettled

UNKNOWN = np.full(2, np.nan)
NAMES = ("a", "b")


def reasons(H: list[float], errors: Any = UNKNOWN, sizes: Any = None, curve: Any = None) -> list[tuple[str, str, str]]:
    arrays = (None if values is None else np.array(values, float) for values in (H, errors, sizes, curve))
    return [tuple(pair) for pair in unsettled(NAMES, *arrays)]  # type: ignore[arg-type, misc]


def test_a_difference_within_its_error_is_not_settled() -> None:
    error = 0.1 / Z / np.sqrt(2)
    assert reasons([1.0, 1.1], [error * 0.99] * 2) == []
    [(higher, lower, reason)] = reasons([1.0, 1.1], [error * 1.01] * 2)
    assert (higher, lower) == ("b", "a")
    assert reason == "they differ by 0.1000 nats, with a standard error of 0.0614"


def test_what_is_not_known_warns_of_nothing() -> None:
    assert reasons([1.0, 1.0]) == []
    assert reasons([1.0, 1.1], [np.nan, 0.5]) == []


equal = [[1, 2, 4, 8], [1, 2, 4, 8]]


def test_an_order_that_half_of_each_sample_reverses_is_not_settled() -> None:
    assert reasons([1.0, 0.9], sizes=equal, curve=[[0.5, 0.7, 0.9, 1.0], [0.6, 0.7, 0.8, 0.9]]) == []
    [(higher, _, reason)] = reasons([1.0, 0.9], sizes=equal, curve=[[0.5, 0.6, 0.7, 1.0], [0.6, 0.7, 0.8, 0.9]])
    assert higher == "a"
    assert reason == "with half of each sample the order is the reverse, by 0.1000 nats"


def test_an_order_that_equal_sizes_reverse_is_not_settled() -> None:
    sizes = [[125, 250, 500, 1000], [32, 64, 125, 250]]
    curve = [[1.0, 1.5, 2.0, 2.5], [0.3, 0.8, 1.2, 1.7]]
    [(higher, lower, reason)] = reasons([2.5, 1.7], sizes=sizes, curve=curve)
    assert (higher, lower) == ("a", "b")
    assert reason == "at the 250 of the smaller sample the order is the reverse, by 0.2000 nats"
    assert reasons([2.5, 1.4], sizes=sizes, curve=[curve[0], [0.3, 0.8, 1.2, 1.4]]) == []
    # Between points by the logarithm of the size: 1.75 at 250 sqrt(2).
    sizes[1] = [44, 88, 177, 354]
    assert reasons([2.5, 1.74], sizes=sizes, curve=[curve[0], [0.3, 0.8, 1.2, 1.74]]) == []
    assert len(reasons([2.5, 1.76], sizes=sizes, curve=[curve[0], [0.3, 0.8, 1.2, 1.76]])) == 1


def test_a_smaller_sample_that_ranks_higher_is_settled() -> None:
    assert (
        reasons(
            [1.0, 1.1], sizes=[[125, 250, 500, 1000], [1, 2, 4, 8]], curve=[[0.7, 0.8, 0.9, 1.0], [0.5, 0.7, 0.9, 1.1]]
        )
        == []
    )


def test_without_a_common_size_the_growth_of_the_smaller_sample_decides() -> None:
    sizes = [[800, 1600, 3200, 6400], [12, 25, 50, 100]]  # six doublings apart
    large = [2.0, 2.1, 2.2, 2.3]
    [(_, lower, reason)] = reasons([2.3, 1.7], sizes=sizes, curve=[large, [1.2, 1.4, 1.59, 1.7]])
    assert lower == "b"
    assert reason == (
        "the sample of the lower one is 64 times smaller, and its entropy grew by 0.1100 nats over the last doubling"
    )
    assert reasons([2.3, 1.7], sizes=sizes, curve=[large, [1.5, 1.58, 1.61, 1.7]]) == []


def test_parts_that_hold_nothing_are_left_out() -> None:
    sizes = [[0, 0, 500, 1000], [0, 0, 0, 600]]
    nan = np.nan
    assert reasons([2.5, 1.7], sizes=sizes, curve=[[nan, nan, 2.0, 2.5], [nan, nan, nan, 1.7]]) == []
    assert len(reasons([2.5, 2.3], sizes=sizes, curve=[[nan, nan, 2.0, 2.5], [nan, nan, nan, 2.3]])) == 1
    assert reasons([2.5, 2.3], sizes=[sizes[0], [0, 0, 0, 6]], curve=[[nan, nan, 2.0, 2.5], [nan, nan, nan, 2.3]]) == []


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 2)), min_size=1, max_size=6))
def test_neighbours_suffice(rows: list[tuple[float, float]]) -> None:
    H, errors = (np.array(column) for column in zip(*rows, strict=True))
    names = [str(i) for i in range(len(H))]
    found = unsettled(names, H, errors, None, None)
    order = np.argsort(-H, kind="stable")
    if not found:
        for low in range(len(H)):
            for high in range(low):
                i, k = order[high], order[low]
                assert H[i] - H[k] > Z * np.hypot(errors[i], errors[k]) * (1 - 1e-12)


@pytest.mark.parametrize("m", [0, 1])
def test_few_domains_have_no_ranking(m: int) -> None:
    assert unsettled(["a"] * m, np.ones(m), np.ones(m), None, None) == []
