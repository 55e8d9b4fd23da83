"""The simulation behind docs/scaling.md, at a size that shows only that it works."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import simulate_scaling

    monkeypatch.setattr(simulate_scaling, "NEAR", 1 << 15)
    return simulate_scaling


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder in which the stream is kept, once it is drawn."""
    return tmp_path_factory.mktemp("stream")


def test_bytes_of_varints_are_those_of_seven_bits_each(simulation: ModuleType) -> None:
    values = [1, 127, 128, 16383, 16384, 2**62, 2**63 - 1]
    plain = sum(max(1, -(-value.bit_length() // 7)) for value in values)
    assert simulation._varint(np.array(values)) == plain


def test_stationary_distribution_is_that_of_the_stream(simulation: ModuleType, data: Path) -> None:
    stream = simulation.zipf_markov(10**6, data)
    pi = simulation.stationary(simulation.chain())
    seen = np.bincount(stream.tokens(), minlength=len(pi)) / 10**6
    assert pi.sum() == pytest.approx(1)
    often = pi > 2e-3
    assert often.sum() > 30
    # Tokens of one document depend on each other: some standard errors of independent ones.
    assert np.abs(seen / pi - 1)[often].max() < 0.25
    assert np.abs(seen - pi).sum() < 0.2


def test_sizes_are_those_of_counts_and_merges(simulation: ModuleType, data: Path) -> None:
    stream = simulation.zipf_markov(8 * 10**5, data)
    drawn = simulation.chain()
    counted, rate = simulation.measure(stream, [4 * 10**5, 8 * 10**5], 1)
    merged, merge_rate = simulation.merges(stream, 10**5)
    assert merged[-1] == (8 * 10**5, counted[-1])
    assert rate > 0
    assert merge_rate > 0
    for real, found in zip(counted, simulation.simulate(drawn, [4 * 10**5, 8 * 10**5]), strict=True):
        assert np.array(found) == pytest.approx(np.array(real), rel=0.1)


def test_plan_adds_up(simulation: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "SIZES", (1e9, 1e11))
    monkeypatch.setattr(simulation, "HEAD", 16)
    monkeypatch.setattr(
        simulation, "simulate", lambda drawn, sizes: [simulation.Size(size**0.5, 2 * size**0.5) for size in sizes]
    )
    small, large = simulation.plan(simulation.chain(1000), simulation.Rates(1e8, 1e6), 1)
    root, task = 2 * (1e11) ** 0.5, 2 * (2.0**31) ** 0.5
    assert small[:8] == ["1e09", "3.16e04", "2.00", "63.2 kB", "1", "63.2 kB", "10 s", "1"]
    assert large[4] == "47"
    assert large[7] == "2"
    level = [47 * task + 6 * task * 8**0.5, 6 * task * 8**0.5 + root]
    assert large[-2:] == [simulation._bytes(2e11 + 47 * task + sum(level)), simulation._bytes(max(level))]
    assert large[8] == simulation._seconds((8 * task + 6 * task * 8**0.5) / 1e6)
