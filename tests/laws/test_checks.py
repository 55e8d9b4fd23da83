import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlaw.laws.checks import checkpoints


@pytest.mark.parametrize(
    ("s", "expected"),
    [
        ([1e9], [1e9]),
        ([2e9, 1e9, 2e9], [1e9, 2e9]),
        ([0.0, 1e9, 1.0099e9, 1.0101e9], [1e9, 1.0101e9]),
        ([1.998e10, 2e10], [1.998e10]),
        ([0.0], []),
    ],
)
def test_lengths_within_a_hundredth_are_one_checkpoint(s: list[float], expected: list[float]) -> None:
    assert checkpoints(np.array(s)).tolist() == expected


@given(st.lists(st.floats(1e-3, 1e15), min_size=1, max_size=30))
def test_every_length_counts_as_one_of_the_checkpoints(s: list[float]) -> None:
    found = checkpoints(np.array(s))
    assert (found[1:] > 1.01 * found[:-1]).all()
    below = found[np.searchsorted(found, s, side="right") - 1]
    assert (below <= s).all()
    assert (np.array(s) <= 1.01 * below).all()
