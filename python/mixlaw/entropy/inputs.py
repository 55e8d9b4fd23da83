"""What was counted, as ranges of files: so that nothing is counted twice when counts are merged."""

from collections.abc import Iterable
from itertools import zip_longest
from typing import Any, NamedTuple

from mixlaw.errors import InputError


class InputRange(NamedTuple):
    """The part [start, stop) of a source, in whatever unit it is cut by: tokens, documents or bytes."""

    source: str
    start: int
    stop: int


def joined_inputs(ranges: Iterable[InputRange]) -> tuple[InputRange, ...]:
    """Sort ranges and join those that touch.

    Raises
    ------
    InputError
        If two overlap, or one is none.
    """
    joined: list[InputRange] = []
    for item in sorted(ranges):
        if not 0 <= item.start <= item.stop:
            raise InputError(f"{item.source}: [{item.start}, {item.stop}) is no range")
        last = joined[-1] if joined and joined[-1].source == item.source else None
        if last is None or item.start > last.stop:
            joined.append(item)
        elif item.start < last.stop and item.start < item.stop:
            raise InputError(
                f"{item.source}: [{item.start}, {min(item.stop, last.stop)}) would be counted twice, for it is in "
                "both counts"
            )
        else:
            joined[-1] = InputRange(item.source, last.start, max(last.stop, item.stop))
    return tuple(joined)


def read_inputs(content: Any) -> tuple[InputRange, ...]:
    """Read ranges as JSON holds them: lists of source, start and stop.

    Raises
    ------
    ValueError or TypeError
        If it is something else.
    """
    ranges = []
    for source, start, stop in content:
        if type(source) is not str or type(start) is not int or type(stop) is not int:
            raise ValueError(f"{[source, start, stop]} is no range of an input")
        ranges.append(InputRange(source, start, stop))
    return joined_inputs(ranges)


def difference(before: Any, now: Any) -> str:
    """Word where two unequal fingerprints of an input differ first, each an object of settings and ``files``.

    Files are lists of a name, the size in bytes and the time of the last change.
    """
    if not isinstance(before, dict) or not isinstance(now, dict):
        return f"{before!r}, now {now!r}"
    key = next(key for key in (*now, *before) if key not in before or key not in now or before[key] != now[key])
    if key != "files":
        return f"{key}: {before.get(key)!r}, now {now.get(key)!r}"
    old, new = next(pair for pair in zip_longest(before.get(key, ()), now.get(key, ())) if pair[0] != pair[1])
    if old is None or new is None:
        return f"{(old or new)[0]} is {'new' if old is None else 'gone'}"
    if old[0] != new[0]:
        return f"{new[0]} stands where {old[0]} did"
    return f"the size or time of {new[0]} is another one"
