"""Every level of vector instructions that the machine has gives the same bytes, each in a process of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import hashlib, sys
import numpy as np
from mixlaw import NgramCounter, _core

rng = np.random.default_rng(1)
# Skewed tokens: steps and counts of one byte, of two and of more.
tokens = (20_000 * rng.random(300_000) ** 3).astype(np.uint16)
offsets = np.arange(0, 300_001, 500)
digest = hashlib.sha256()
for order, groups in ((1, 1), (2, 1), (2, 20), (3, 9)):
    counter = NgramCounter(20_000, order=order, groups=groups)
    for _ in range(40):
        counter.update(tokens[:200_000], offsets[:401])
    counter.update(tokens, offsets)
    counter.write(sys.argv[1])
    digest.update(open(sys.argv[1], "rb").read())
    weights = rng.multinomial(groups, np.full(groups, 1 / groups), size=37)
    for counts, how_many in counter.weighted_counts_of_counts(order, weights.tolist()):
        digest.update(counts.tobytes() + how_many.tobytes())
print(_core.simd_level(), digest.hexdigest())
"""


def run(level: str | None, folder: Path) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if name != "MIXLAW_SIMD"}
    if level is not None:
        variables["MIXLAW_SIMD"] = level
    words = [sys.executable, "-c", PROGRAM, str(folder / f"{level}.mlc")]
    return subprocess.run(words, env=variables, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def levels() -> list[str]:
    """Those of this machine, as the error about one that no machine has lists them."""
    refused = subprocess.run(
        [sys.executable, "-c", "import mixlaw; mixlaw.NgramCounter(2)"],
        env=os.environ | {"MIXLAW_SIMD": "none"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode != 0
    found = re.search(r'MIXLAW_SIMD is "none", but this machine has (.*)', refused.stderr)
    assert found, refused.stderr
    return found[1].split(", ")


def test_levels_give_the_same_bytes(levels: list[str], tmp_path: Path) -> None:
    assert levels == ["baseline", "avx2", "avx512"][: len(levels)]
    lines = {}
    for level in levels:
        done = run(level, tmp_path)
        assert done.returncode == 0, done.stderr
        used, lines[level] = done.stdout.split()
        assert used == level
    assert len(set(lines.values())) == 1, lines


def test_the_best_level_is_the_default(levels: list[str], tmp_path: Path) -> None:
    assert run(None, tmp_path).stdout.split()[0] == levels[-1]


def test_a_level_that_the_machine_lacks_is_refused(levels: list[str], tmp_path: Path) -> None:
    for level in {"baseline", "avx2", "avx512"} - set(levels):
        done = run(level, tmp_path)
        assert done.returncode != 0
        assert f'MIXLAW_SIMD is "{level}", but this machine has {", ".join(levels)}' in done.stderr
