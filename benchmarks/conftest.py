"""What the benchmarks that pytest runs share: `record`."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

# A benchmark finds the modules beside it, as it does when it runs as a script.
sys.path.insert(0, str(Path(__file__).parent))

from table import Row, Table, place, results_path


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Print rows as a table and write them to results/<stem of the benchmark>.csv, with the versions of `packages`."""

    def show(rows: Sequence[Row], packages: Sequence[str] = ()) -> None:
        Table(results_path(request.path.stem), place(packages)).add(*rows)

    return show
