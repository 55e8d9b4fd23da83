"""`ahead`: one step of a pipeline in a thread of its own."""

from collections.abc import Generator
from queue import Queue
from threading import Event, Thread
from typing import TypeVar

Item = TypeVar("Item")


class _Raised:
    """How the steps ended: with an error, or None."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def ahead(items: Generator[Item, None, None], most: int = 2) -> Generator[Item, None, None]:
    """Yield `items` in their order while a thread prepares the next ones, at most `most` in advance.

    An error in the thread is raised where its item would have been yielded. However the caller ends, the thread has
    ended before this generator has.

    Parameters
    ----------
    items
        What to prepare; only the thread touches it, and closes it.
    most
        Items that wait to be taken.
    """
    queue: Queue[Item | _Raised] = Queue(most)
    stop = Event()
    thread = Thread(target=_produce, args=(items, queue, stop), daemon=True)
    thread.start()
    item: Item | _Raised | None = None
    try:
        while not isinstance(item := queue.get(), _Raised):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stop.set()
        # The thread may wait for room; what it puts last is how it ended.
        while not isinstance(item, _Raised):
            item = queue.get()
        thread.join()


def _produce(items: Generator[Item, None, None], queue: "Queue[Item | _Raised]", stop: Event) -> None:
    error = None
    try:
        for item in items:
            queue.put(item)
            if stop.is_set():
                break
        items.close()
    except BaseException as raised:  # noqa: BLE001  it is raised again where the items are taken
        error = raised
    queue.put(_Raised(error))
