"""What every benchmark shares: its table on the screen and in results/, under the machine and versions it ran on.

Nothing here needs pytest or an installed mixlaw: the programs for a GPU run on machines that have neither.
"""

import csv
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import zip_longest
from pathlib import Path

from mixlaw.files import atomic_write, package_version

Row = Mapping[str, object]


def results_path(name: str) -> Path:
    """The CSV file of a benchmark, by the stem of its script."""
    return Path(__file__).parent / "results" / f"{name.removeprefix('bench_')}.csv"


def place(packages: Sequence[str] = ()) -> dict[str, object]:
    """Machine and versions."""
    here = {"machine": _cpu(), "cores": os.cpu_count(), "python": platform.python_version()}
    return here | {"mixlaw": package_version()} | {name: _version(name) for name in packages}


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


class Table:
    """Rows as they come: on the screen at once, and in a CSV file that is whole after each of them.

    Parameters
    ----------
    path
        The CSV file; every row of it ends with `place`.
    place
        Where the rows were measured, from `place`.
    first_width
        Least width of the first column on the screen, where longer entries come later.
    """

    def __init__(self, path: Path, place: Row, first_width: int = 0) -> None:
        self.rows: list[Row] = []
        self._path, self._place, self._widths = path, place, [first_width]
        path.parent.mkdir(parents=True, exist_ok=True)
        print("\n" + ", ".join(f"{name} {value}" for name, value in place.items()))

    def add(self, *rows: Row) -> None:
        cells = [[_text(value) for value in row.values()] for row in rows]
        if not self.rows:
            cells.insert(0, list(rows[0]))
        self.rows += rows
        longest = [max(map(len, column)) for column in zip(*cells, strict=True)]
        self._widths = [max(pair) for pair in zip_longest(self._widths, longest, fillvalue=0)]
        for line in cells:
            print("  ".join(cell.rjust(width) for cell, width in zip(line, self._widths, strict=True)), flush=True)
        with atomic_write(self._path) as file:
            writer = csv.DictWriter(file, [*rows[0], *self._place], lineterminator="\n")
            writer.writeheader()
            writer.writerows({**row, **self._place} for row in self.rows)


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
