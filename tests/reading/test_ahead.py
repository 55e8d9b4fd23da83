import threading
from collections.abc import Generator
from contextlib import closing

import pytest

from mixlaw.reading.ahead import ahead


def count(most: int, seen: list[int], error: BaseException | None = None) -> Generator[int, None, None]:
    try:
        for number in range(most):
            seen.append(number)
            yield number
        if error is not None:
            raise error
    finally:
        seen.append(-1)


@pytest.mark.parametrize("most", [0, 1, 63, 1271])
@pytest.mark.parametrize("waiting", [1, 2, 7])
def test_items_come_in_their_order_through_several_steps(most: int, waiting: int) -> None:
    seen: list[int] = []
    assert list(ahead(ahead(count(most, seen), waiting), waiting)) == list(range(most))
    assert seen == [*range(most), -1]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), MemoryError()])
def test_error_comes_behind_the_items_before_it(error: BaseException) -> None:
    items = ahead(count(5, [], error))
    assert [next(items) for _ in range(5)] == list(range(5))
    with pytest.raises(type(error)) as caught:
        next(items)
    assert caught.value is error


@pytest.mark.parametrize("taken", [0, 1, 5, 1271])
def test_thread_ends_and_closes_its_items_when_the_caller_stops(taken: int) -> None:
    before = threading.active_count()
    seen: list[int] = []
    with closing(ahead(ahead(count(10**9, seen)))) as items:
        assert [next(items) for _ in range(taken)] == list(range(taken))
    assert threading.active_count() == before
    # A generator that was never begun has nothing to close.
    assert seen[-1:] == ([-1] if seen else [])
    assert len(seen) <= taken + 8


def test_no_more_is_prepared_than_may_wait() -> None:
    seen: list[int] = []
    items = ahead(count(10**9, seen), 2)
    next(items)
    threading.Event().wait(0.05)
    # One was taken, two wait, one waits for room.
    assert len(seen) <= 4
    items.close()
