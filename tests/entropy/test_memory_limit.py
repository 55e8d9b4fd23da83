"""A counter keeps to its memory limit, whatever it is given: measured in a process of its own by run_limited.py."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

PROGRAM = Path(__file__).with_name("run_limited.py")
# Of the limit: what the interpreter, the measuring thread and the rows that Python holds take besides.
MARGIN = 1.1


class Case(NamedTuple):
    """What is counted: `size` tokens, in calls of `call` tokens or in one (0), under `factor` least limits."""

    kind: str
    vocab_size: int
    order: int
    size: int
    threads: int = 1
    factor: float = 1.0
    call: int = 0
    groups: int = 1


def measure(case: Case, folder: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    if case.kind == "same":
        tokens = np.full(case.size, case.vocab_size - 1, np.uint32)
    elif case.kind == "skewed":
        tokens = (case.vocab_size * rng.random(case.size) ** 4).astype(np.uint32)
    else:
        tokens = rng.integers(0, case.vocab_size, case.size, dtype=np.uint32)
    np.save(folder / "tokens.npy", tokens)
    offsets = None
    if case.kind in ("single", "short"):
        # Documents of one token, or of as many as the order.
        steps = np.arange(0, case.size, 1 if case.kind == "single" else case.order)
        offsets = str(folder / "offsets.npy")
        np.save(offsets, np.append(steps, case.size))
    words = {
        "tokens": str(folder / "tokens.npy"),
        "offsets": offsets,
        "vocab_size": case.vocab_size,
        "order": case.order,
        "groups": case.groups,
        "threads": case.threads,
        "factor": case.factor,
        "call": case.call,
        "folder": str(folder),
    }
    done = subprocess.run(
        [sys.executable, PROGRAM, json.dumps(words)], capture_output=True, text=True, check=False, timeout=1200
    )
    # Of a long campaign they would fill the disk.
    for path in folder.iterdir():
        path.unlink()
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check(case: Case, folder: Path) -> dict[str, Any]:
    found = measure(case, folder)
    assert found["peak"] <= MARGIN * found["limit"], found
    # It was measured: something was there to see.
    assert found["peak"] > 0, found
    return found


@pytest.mark.parametrize(
    "case",
    [
        # Nothing repeats: pairs and 5-grams that are sorted, and pairs in groups.
        Case("uniform", 2**31, 2, 2_000_000),
        Case("uniform", 2**25, 5, 1_000_000, threads=2),
        Case("uniform", 2**16, 2, 3_500_000),
        # So many small inputs, with history.
        Case("uniform", 2**25, 5, 200_000, call=5),
        Case("short", 2**20, 3, 1_500_000, threads=2),
        Case("short", 2**16, 2, 3_000_000, threads=2, groups=32),
        Case("short", 2**10, 2, 3_000_000, groups=256),
        Case("skewed", 50_000, 3, 4_000_000, threads=2, groups=32),
    ],
    ids=str,
)
def test_counting_keeps_to_its_limit(tmp_path: Path, case: Case) -> None:
    found = check(case, tmp_path)
    if case.call == 0:
        assert found["written"] > 0


@pytest.mark.parametrize("case", [Case("same", 50_000, 3, 2_000_000), Case("single", 2**18, 2, 2_000_000)], ids=str)
def test_what_fits_is_not_written(tmp_path: Path, case: Case) -> None:
    assert check(case, tmp_path)["written"] == 0


CASES = [
    *[
        Case("uniform", vocab_size, order, 20_000_000, threads)
        for vocab_size in (256, 50_000, 2**18, 2**20, 2**31)
        for order in (1, 2, 3, 4, 5)
        for threads in (1, 2, 8)
        if not (vocab_size == 2**31 and order == 5)
    ],
    *[
        Case(kind, vocab_size, order, 10_000_000, threads, groups=groups)
        for kind in ("uniform", "skewed")
        for vocab_size, order in ((256, 2), (50_000, 2), (50_000, 3), (2**18, 2), (2**25, 4))
        for threads in (1, 8)
        for groups in (32, 256)
    ],
    # More memory than the least, where an allocator that keeps what was freed would show.
    *[Case("uniform", 2**31, 2, 30_000_000, threads, factor) for threads in (1, 8) for factor in (2, 4, 16)],
    *[Case("uniform", 2**25, 5, 10_000_000, threads, factor) for threads in (1, 8) for factor in (2, 4, 16)],
    Case("uniform", 2**31, 2, 100_000_000, 2),
    *[Case("same", vocab_size, order, 100_000_000, 2) for vocab_size, order in ((256, 5), (2**18, 2), (2**31, 4))],
    *[Case("single", vocab_size, order, 10_000_000, 2) for vocab_size, order in ((256, 2), (2**18, 3), (2**25, 5))],
    *[Case("short", vocab_size, order, 20_000_000, 2) for vocab_size, order in ((2**20, 2), (2**31, 4), (2**25, 5))],
    *[Case("uniform", 2**25, 5, 3_000_000, threads, 1.0, call) for threads in (1, 8) for call in (5, 63, 1271)],
]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_counting_keeps_to_its_limit_at_length(tmp_path: Path, case: Case) -> None:
    check(case, tmp_path)
