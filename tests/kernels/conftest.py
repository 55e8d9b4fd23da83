"""What the tests of all kernels share."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import torch


@pytest.fixture
def never_waits() -> Callable[[], AbstractContextManager[None]]:
    """A context in which it is an error to wait for the GPU."""

    def set_mode(mode: str) -> None:
        with warnings.catch_warnings():
            # torch says that this mode is a prototype.
            warnings.simplefilter("ignore")
            torch.cuda.set_sync_debug_mode(mode)

    @contextmanager
    def watch() -> Iterator[None]:
        set_mode("error")
        try:
            yield
        finally:
            set_mode("default")

    return watch
