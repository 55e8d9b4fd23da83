"""What counting pairs of 1e9 to 1e13 tokens takes on a cluster: ``python simulate_scaling.py``, for docs/scaling.md.

Sizes are simulated, for nobody counts 1e13 tokens to write a page. The stream of `streams.py` is a Markov chain whose
probabilities are known, so that the counts of all pairs with some first token can be drawn without drawing tokens: c_xy
~ Poisson(N pi_x p(y | x)). For the commonest first tokens and a sample of the others, their distinct pairs and the
bytes that these take in a count file (varint of the distance to the pair before, varint of the count) are added up.

Checked first: the simulation against a real count of the stream, and against real merges of shards of it; an error
above `TOLERANCE` fails. Rates are measured on one thread of this machine. Lengths: SCALING_TOKENS, 1e9 by default.
Groups of documents are kept apart in a count file: N tokens in G groups take what G files of N / G tokens would.

symbol  meaning                                         shape  unit
N       tokens of the stream                            -      tokens
pi      stationary distribution of the chain            (V,)   -
p       distribution of the successor of one token      (V,)   -
D       distinct pairs                                  -      pairs
B       bytes of their count file                       -      bytes
"""

import itertools
import math
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from streams import DOCUMENT, VOCAB_SIZE, Chain, Stream, chain, zipf_markov
from table import place

from mixlaw import NgramCounter

TOKENS = int(float(os.environ.get("SCALING_TOKENS", "1e9")))
SIZES = tuple(10.0**exponent for exponent in range(9, 14))
VOCABULARIES = (VOCAB_SIZE, 128_000)
GROUPS = (1, 32)
HEAD = 128  # first tokens that are all simulated
ROWS = 256  # and those of the sample of the others
NEAR = 1 << 18  # indexes of successors that are drawn one by one; those above draw by mass
TOLERANCE = 0.05
LIMIT = 128_000_000  # bytes of memory under which spilling is measured
# The plan.
FAN_IN = 8
TASK_BYTES = 1 << 32
CORES = 6400  # 100 machines of 64

Floats = npt.NDArray[np.float64]


class Size(NamedTuple):
    """Distinct pairs, and the bytes of their count file."""

    distinct: float
    bytes: float


class Rates(NamedTuple):
    """Of one thread: tokens counted a second, bytes of count files read by merging a second."""

    count: float
    merge: float


def stationary(drawn: Chain, near: int = 256) -> Floats:
    """Pi, by repeated steps of the chain; successors of an index above `near` are drawn by mass."""
    size = len(drawn.spread)
    mass = np.bincount(drawn.quantiles, minlength=size) / len(drawn.quantiles)
    tail = _tail(drawn.spread[:, None], np.arange(near + 1)[None])
    shares = tail[:, :-1] - tail[:, 1:]
    tokens = np.arange(size, dtype=np.uint64)
    after = [drawn.successors(tokens, np.full(size, index, np.uint64)) for index in range(near)]
    pi = mass
    for _ in range(12):
        step = mass * (pi @ tail[:, -1])
        for index, reached in enumerate(after):
            step += np.bincount(reached, pi * shares[:, index], size)
        pi = step / step.sum()
    return pi


def _tail(spread: Floats, index: npt.NDArray[np.int64]) -> Floats:
    tails: Floats = (1.0 + index / spread) ** -0.5
    return tails


def simulate(drawn: Chain, sizes: Sequence[float], rows: int = ROWS) -> list[Size]:
    """D and B of streams of these lengths, each from the same sample of first tokens."""
    size = len(drawn.spread)
    pi = stationary(drawn)
    mass = np.bincount(drawn.quantiles, minlength=size) / len(drawn.quantiles)
    # The most frequent tokens all, and of the others every step-th, which stands for its step.
    order = np.argsort(-pi)
    step = (size - HEAD) / rows
    sample = [(token, 1.0) for token in order[:HEAD]]
    sample += [(token, step) for token in order[HEAD:][((np.arange(rows) + 0.5) * step).astype(int)]]
    rng = np.random.default_rng(7)
    index = np.arange(NEAR, dtype=np.uint64)
    found = np.zeros((len(sizes), 2))
    for token, weight in sample:
        tail = _tail(drawn.spread[token], np.arange(NEAR + 1))
        p = (
            np.bincount(drawn.successors(np.array([token], np.uint64), index), tail[:-1] - tail[1:], size)
            + tail[-1] * mass
        )
        for number, tokens in enumerate(sizes):
            mean = tokens * (1 - 1 / DOCUMENT) * pi[token] * p
            counts = rng.poisson(np.minimum(mean, 1e15))
            found[number] += weight * np.array(_row(counts, size))
    return [Size(*row) for row in found]


def _row(counts: npt.NDArray[np.int64], size: int) -> tuple[int, int]:
    """Distinct pairs and bytes of one first token's pairs."""
    seconds = np.flatnonzero(counts)
    if not len(seconds):
        return 0, 0
    gaps = np.diff(seconds, prepend=seconds[-1] - (1 << (size - 1).bit_length()))  # from the row before
    return len(seconds), int(_varint(gaps) + _varint(counts[seconds]))


def _varint(values: npt.NDArray[np.int64]) -> int:
    return int(sum((values >= 1 << shift).sum() for shift in range(7, 63, 7)) + len(values))


def measure(stream: Stream, sizes: Sequence[int], groups: int) -> tuple[list[Size], float]:
    """D and B of the beginnings of a stream, and the tokens that are counted a second."""
    counter = NgramCounter(stream.vocab_size, threads=1, groups=groups)
    offsets, done, seconds, found = stream.offsets(), 0, 0.0, []
    with tempfile.TemporaryDirectory(dir=stream.folder) as folder:
        for size in sizes:
            documents = size // DOCUMENT
            part = offsets[done : documents + 1]
            tokens = stream.tokens(int(part[0]), int(part[-1]))
            begin = time.perf_counter()
            counter.update(tokens, part - part[0])
            written = _written(counter, Path(folder) / "counts.mlc")
            seconds += time.perf_counter() - begin
            found.append(Size(counter.distinct(2), written))
            done = documents
    return found, sizes[-1] / seconds


def _written(counter: NgramCounter, path: Path) -> int:
    counter.write(path)
    return path.stat().st_size


def merges(stream: Stream, size: int) -> tuple[list[tuple[int, Size]], float]:
    """D and B of merges of 1, 2, 4, 8 shards of `size` tokens each, and the bytes that merging reads a second."""
    offsets, found = stream.offsets(), []
    documents = size // DOCUMENT
    with tempfile.TemporaryDirectory(dir=stream.folder) as folder:
        files = []
        for shard in range(FAN_IN):
            counter = NgramCounter(stream.vocab_size, threads=1)
            part = offsets[shard * documents : (shard + 1) * documents + 1]
            counter.update(stream.tokens(int(part[0]), int(part[-1])), part - part[0])
            files.append(Path(folder) / f"{shard}.mlc")
            counter.write(files[-1])
        for shards in (1, 2, 4, 8):
            begin = time.perf_counter()
            merged = NgramCounter.read(files[0], threads=1)
            for file in files[1:shards]:
                merged.merge_file(file)
            written = _written(merged, Path(folder) / "merged.mlc")
            seconds = time.perf_counter() - begin
            found.append((shards * size, Size(merged.distinct(2), written)))
        return found, sum(file.stat().st_size for file in files) / seconds


def spilled(stream: Stream, size: int, groups: int) -> float:
    """Bytes per token that a counter under `LIMIT` writes to its spill folder."""
    with tempfile.TemporaryDirectory(dir=stream.folder) as folder:
        counter = NgramCounter(stream.vocab_size, threads=1, groups=groups, memory_limit=LIMIT, spill_dir=folder)
        part = stream.offsets()[: size // DOCUMENT + 1]
        for first in range(0, len(part) - 1, 10**4):
            borders = part[first : first + 10**4 + 1]
            counter.update(stream.tokens(int(borders[0]), int(borders[-1])), borders - borders[0])
        counter.distinct(2)
        return counter.disk_use()[0] / size


def plan(drawn: Chain, rates: Rates, groups: int) -> list[list[str]]:
    """A row for each length: what the tasks and the tree of merges read, write and take."""
    width = 2 if len(drawn.spread) <= 1 << 16 else 4
    # Tokens under a node of each level, tasks first.
    trees = []
    for tokens in SIZES:
        tree, nodes = [min(TASK_BYTES / width, tokens)], math.ceil(tokens * width / TASK_BYTES)
        while nodes > 1 or len(tree) == 1:
            nodes = math.ceil(nodes / FAN_IN)
            tree.append(min(tree[-1] * FAN_IN, tokens))
        trees.append(tree)
    wanted = sorted({below for tree in trees for below in tree})
    simulated = dict(zip(wanted, simulate(drawn, [below / groups for below in wanted]), strict=True))
    size = {tokens: groups * simulated[tokens].bytes for tokens in wanted}
    rows = []
    for tokens, tree in zip(SIZES, trees, strict=True):
        nodes = tasks = math.ceil(tokens * width / TASK_BYTES)
        merging, moved, most = 0.0, tokens * width + tasks * size[tree[0]], 0.0
        for below, here in itertools.pairwise(tree):
            children, nodes = nodes, math.ceil(nodes / FAN_IN)
            read, written = children * size[below], nodes * size[here]
            merging += math.ceil(nodes / CORES) * min(FAN_IN, children) * size[below] / rates.merge
            moved, most = moved + read + written, max(most, read + written)
        rows.append(
            [
                _power(tokens),
                _power(groups * simulated[tokens].distinct),
                f"{simulated[tokens].bytes / simulated[tokens].distinct:.2f}",
                _bytes(size[tokens]),
                f"{tasks:,}",
                _bytes(size[tree[0]]),
                _seconds(math.ceil(tasks / CORES) * tree[0] / rates.count),
                f"{len(tree) - 1}",
                _seconds(merging),
                _bytes(moved),
                _bytes(most),
            ]
        )
    return rows


def _power(value: float) -> str:
    return f"{value:.3g}" if value < 1e4 else f"{value:.2e}".replace("e+", "e").replace(".00", "")


def _bytes(value: float) -> str:
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if value >= unit:
            return f"{value / unit:.3g} {name}"
    return f"{value / 1e3:.3g} kB"


def _seconds(value: float) -> str:
    return f"{value / 3600:.1f} h" if value >= 3600 else f"{value / 60:.1f} min" if value >= 60 else f"{value:.2g} s"


def check(rows: Sequence[tuple[str, float, Size]], drawn: Chain, groups: int) -> None:
    """Print what was counted beside what is simulated, and stop where they differ."""
    print(f"| groups: {groups} | tokens | entries | simulated | count file | simulated |\n|---|---|---|---|---|---|")
    worst = 0.0
    simulated = simulate(drawn, [tokens / groups for _, tokens, _ in rows])
    for (what, tokens, real), one in zip(rows, simulated, strict=True):
        written = groups * one.bytes / real.bytes - 1
        # Of groups, `distinct` counts a pair once, however many hold it.
        distinct = f"{one.distinct / real.distinct - 1:+.1%}" if groups == 1 else "-"
        print(f"| {what} | {_power(tokens)} | {real.distinct:,} | {distinct} | {_bytes(real.bytes)} | {written:+.1%} |")
        worst = max(worst, abs(written), abs(one.distinct / real.distinct - 1) if groups == 1 else 0.0)
    assert worst < TOLERANCE, f"the simulation is off by {worst:.1%}"
    print()


def main() -> None:
    print(f"{place()}\n")
    stream, drawn, rates = zipf_markov(TOKENS), chain(), {}
    sizes = [int(TOKENS * share) for share in (0.01, 0.03, 0.1, 0.3, 1.0)]
    merged, merge_rate = merges(stream, TOKENS // 16)
    for groups in GROUPS:
        counted, count_rate = measure(stream, sizes, groups)
        rows = [("counted", tokens, real) for tokens, real in zip(sizes, counted, strict=True)]
        if groups == 1:
            rows += [(f"merged: {tokens * 16 // TOKENS}", tokens, real) for tokens, real in merged]
        check(rows, drawn, groups)
        spill = spilled(stream, TOKENS, groups)
        rates[groups] = Rates(count_rate, merge_rate)
        print(
            f"one thread, groups {groups}: {count_rate / 1e6:.0f} million tokens counted a second; {spill:.2f} bytes "
            f"spilled per token under {LIMIT // 10**6} MB\n"
        )
    print(f"one thread: {merge_rate / 1e6:.0f} MB of count files merged a second\n")
    for vocab_size in VOCABULARIES:
        for groups in GROUPS:
            print(f"vocabulary of {vocab_size:,}, groups {groups}, {CORES:,} cores\n")
            print(
                "| tokens | entries | bytes each | result | tasks | file of a task | counting | levels | merging "
                "| moved | most for a level |\n|" + "---|" * 11
            )
            for row in plan(chain(vocab_size), rates[groups], groups):
                print("| " + " | ".join(row) + " |")
            print()


if __name__ == "__main__":
    main()
