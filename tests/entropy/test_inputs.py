"""Ranges of inputs against sets of positions."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlaw import InputError
from mixlaw.entropy.inputs import InputRange, difference, joined_inputs, read_inputs

ranges = st.builds(
    lambda source, start, size: InputRange(source, start, start + size),
    st.sampled_from(["a", "b"]),
    st.integers(0, 12),
    st.integers(0, 5),
)


def positions(items: list[InputRange] | tuple[InputRange, ...]) -> list[tuple[str, int]]:
    return sorted((item.source, place) for item in items for place in range(item.start, item.stop))


@given(st.lists(ranges, max_size=6))
def test_joined_ranges_hold_the_same_and_nothing_twice(items: list[InputRange]) -> None:
    expected = positions(items)
    if len(expected) > len(set(expected)):
        with pytest.raises(InputError, match="would be counted twice, for it is in both counts"):
            joined_inputs(items)
        return
    joined = joined_inputs(items)
    assert positions(joined) == expected
    assert joined == tuple(sorted(joined))
    for one, next_one in pairwise(joined):
        assert one.source != next_one.source or one.stop < next_one.start
    assert joined_inputs(reversed(joined)) == joined
    assert read_inputs([list(item) for item in items]) == joined


@given(st.permutations([InputRange("a", start, start + 3) for start in range(0, 30, 3)]))
def test_ranges_that_touch_become_one_in_any_order(items: list[InputRange]) -> None:
    assert joined_inputs(items) == (InputRange("a", 0, 30),)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([("a", 0, 5), ("a", 4, 9)], r"a: \[4, 5\) would be counted twice"),
        ([("a", 0, 9), ("a", 2, 3)], r"a: \[2, 3\) would be counted twice"),
        ([("a", 0, 9), ("a", 0, 9)], r"a: \[0, 9\) would be counted twice"),
        # Joined with the second, the first still overlaps the third.
        ([("a", 0, 2), ("a", 2, 9), ("a", 8, 10)], r"a: \[8, 9\) would be counted twice"),
        ([("a", -1, 3)], r"a: \[-1, 3\) is no range"),
        ([("a", 3, 2)], r"a: \[3, 2\) is no range"),
    ],
)
def test_overlaps_and_what_is_no_range_are_refused(items: list[tuple[str, int, int]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        joined_inputs([InputRange(*item) for item in items])


@pytest.mark.parametrize(
    "content",
    [
        None,
        7,
        {"a": 1},
        [["a", 0]],
        [["a", 0, 1, 2]],
        [[0, 0, 1]],
        [["a", "0", 1]],
        [["a", 0, 1.0]],
        [["a", True, 1]],
        [["a", 0, None]],
        [7],
        ["abc"],
    ],
)
def test_what_json_holds_is_checked(content: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        read_inputs(content)


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        ("one", "two", "'one', now 'two'"),
        ({"field": "text"}, {"field": "body"}, "field: 'text', now 'body'"),
        ({"field": "text"}, {"field": "text", "ids": 3}, "ids: None, now 3"),
        ({"files": [["a", 1, 2]]}, {"files": [["a", 1, 3]]}, "the size or time of a is another one"),
        ({"files": [["a", 1, 2]]}, {"files": [["a", 1, 2], ["b", 1, 2]]}, "b is new"),
        ({"files": [["a", 1, 2], ["b", 1, 2]]}, {"files": [["a", 1, 2]]}, "b is gone"),
        ({"files": [["a", 1, 2], ["b", 1, 2]]}, {"files": [["b", 1, 2], ["a", 1, 2]]}, "b stands where a did"),
        ({}, {"files": [["a", 1, 2]]}, "a is new"),
    ],
)
def test_what_differs_first_is_named(before: Any, now: Any, message: str) -> None:
    assert difference(before, now) == message
