"""Counting pairs and their entropies against numpy, Polars and DuckDB, with and without a cap on memory.

Each counter runs in a process of its own (`count_pairs.py` says on what); rounds take turns, medians are reported.
Streams (`streams.py`): synthetic, BENCH_NGRAM_TOKENS long (1e8 by default; 1e9 wants 20 GB of memory, for numpy's sort,
and 7 GB of disk), and the text files of this machine. Then mixlaw alone: lengths from 1e7 on, and orders 1 to 5.
`plot_ngram.py` draws the lengths. BENCH_NGRAM_ROUNDS is 3 by default.

Correctness first: of a short stream every count equals that of numpy's unique; of the others, the histogram of counts
is exactly that of a plain reference, and the entropies are math.fsum's to 1e-12. A wrong answer fails the benchmark; a
peer that is not installed, or runs out of memory, is listed as such. `ratio` is the speed of mixlaw on the same stream,
threads and cap, over that of the row.
"""

import itertools
import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from count_pairs import CAP, Task, entropy, summary
from streams import Stream, real_text, zipf_markov

from mixlaw import NgramCounter

TOKENS = int(float(os.environ.get("BENCH_NGRAM_TOKENS", "1e8")))
ROUNDS = int(os.environ.get("BENCH_NGRAM_ROUNDS", "3"))
LENGTHS = (10**7, 3 * 10**7, 10**8, 3 * 10**8, 10**9)
ORDERS = (1, 2, 3, 4, 5)
ORDER_TOKENS = 10**8  # the most of them, for the higher orders keep most of what they see
SMALL = 10**6
PART = 1 << 27  # pairs that the reference sorts at a time
PATIENCE = 1800  # seconds


class Contender(NamedTuple):
    """A counter in one setting; `wide` are the AVX-512 paths of numpy, slower than AVX2 on some processors."""

    counter: str
    threads: int
    capped: bool = False
    wide: bool = True

    @property
    def name(self) -> str:
        return self.counter + (f", {CAP // 10**6} MB" if self.capped else "") + ("" if self.wide else ", no AVX-512")


MIXLAW = [Contender("mixlaw", 1), Contender("mixlaw", 2), Contender("mixlaw", 2, capped=True)]
PEERS = [
    Contender("np.sort(uint64)", 1),
    Contender("np.sort(uint64)", 1, wide=False),
    Contender("np.unique(uint32, counts)", 1),
    Contender("np.unique(uint32, counts)", 1, wide=False),
    Contender("Polars streaming", 2),
    Contender("DuckDB", 2),
    Contender("Polars streaming", 2, capped=True),
    Contender("DuckDB", 2, capped=True),
]


def reference(stream: Stream) -> dict[str, Any]:
    """What to find in a stream, in bounded memory: pairs are sorted for some first tokens at a time."""
    tokens, firsts = np.zeros(1 << 16, np.int64), np.zeros(1 << 16, np.int64)
    for part, _ in stream.chunks(1 << 22):
        tokens += np.bincount(part, minlength=1 << 16)
    for keys in stream.packed():
        firsts += np.bincount(keys >> np.uint32(16), minlength=1 << 16)
    group = np.cumsum(firsts) // PART
    histogram: dict[int, int] = {}
    for index in np.unique(group):
        mine = np.concatenate([keys[group[keys >> np.uint32(16)] == index] for keys in stream.packed()])
        values, pairs = np.unique(np.unique(mine, return_counts=True)[1], return_counts=True)
        for value, many in zip(values.tolist(), pairs.tolist(), strict=True):
            histogram[value] = histogram.get(value, 0) + many
    counts = np.array(sorted(histogram))
    found = summary((counts, np.array([histogram[value] for value in counts.tolist()])))
    of_tokens, of_firsts = (
        entropy(np.unique(occurring[occurring > 0], return_counts=True)) for occurring in (tokens, firsts)
    )
    return found | {"shannon": of_tokens, "conditional": found["joint"] - of_firsts}


def check_every_count(stream: Stream) -> None:
    """Compare the counts of all tokens and n-grams of a short stream with numpy's, in as many orders as there are."""
    tokens, offsets = np.array(stream.tokens()), stream.offsets()
    for order in ORDERS:
        try:
            counter = NgramCounter(stream.vocab_size, order=order)
        except ValueError:
            continue
        counter.update(tokens, offsets)
        for n in range(1, order + 1):
            windows = np.concatenate(
                [
                    np.lib.stride_tricks.sliding_window_view(tokens[first:last], n)
                    for first, last in itertools.pairwise(offsets)
                    if last - first >= n
                ]
            )
            expected, occurrences = np.unique(windows, axis=0, return_counts=True)
            ngrams, counts = counter.counts(n)
            assert np.array_equal(ngrams, expected)
            assert np.array_equal(counts, occurrences)


def environment(contender: Contender) -> dict[str, str]:
    """The environment of a contender's process."""
    variables = {**os.environ, "OMP_NUM_THREADS": "1"}
    if not contender.wide:
        found = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
        variables["NPY_DISABLE_CPU_FEATURES"] = " ".join(
            name for name in found if name.startswith(("AVX512", "X86_V4"))
        )
    return variables


def run(contender: Contender, stream: Stream, order: int = 2) -> dict[str, Any]:
    """One measurement; a peer's failure is a result, ours is an error."""
    task = Task(contender.counter, stream, contender.threads, contender.capped, order)
    words = [sys.executable, Path(__file__).parent / "count_pairs.py", json.dumps(task._asdict(), default=str)]
    try:
        done = subprocess.run(
            words, env=environment(contender), capture_output=True, text=True, check=False, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {PATIENCE} s"}
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    if contender.counter == "mixlaw":
        raise AssertionError(f"{contender.name} failed:\n{done.stderr}")
    return {"failed": (done.stderr.strip().splitlines() or [f"signal {-done.returncode}"])[-1]}


def check(contender: Contender, found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Stop at a wrong answer, or where mixlaw takes more memory than it may."""
    for name, value in found.items():
        if name in ("distinct", "digest"):
            assert value == expected[name], f"{contender.name}: wrong counts"
        elif name in expected:
            assert abs(value / expected[name] - 1.0) < 1e-12, f"{contender.name}: wrong {name} entropy"
    if contender.counter == "mixlaw" and contender.capped:
        assert found["peak_RSS_MB"] <= CAP / 1e6, f"{contender.name}: {found['peak_RSS_MB']:.0f} MB"


def row(contender: Contender, stream: Stream, order: int, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The medians of some rounds, without a ratio."""
    status = next((word + ": " + run[word] for run in runs for word in ("absent", "failed") if word in run), "ok")

    def median(name: str) -> float:
        values = [run.get(name) for run in runs]
        return math.nan if None in values else statistics.median(values)

    tokens = int(stream.offsets()[-1])
    return {
        "stream": stream.name,
        "counter": contender.name,
        "threads": contender.threads,
        "order": order,
        "tokens": tokens,
        "distinct": runs[0].get("distinct", ""),
        "seconds": median("seconds"),
        "cpu_seconds": median("cpu_seconds"),
        "Mtokens_per_second": tokens / median("seconds") / 1e6,
        "ratio": math.nan,
        "peak_RSS_MB": median("peak_RSS_MB"),
        "peak_anonymous_MB": median("peak_anonymous_MB"),
        "written_bytes_per_token": median("bytes_written") / tokens,
        "bytes_per_distinct": median("bytes_per_distinct"),
        "status": status,
    }


def compare(
    contenders: Sequence[Contender], stream: Stream, rounds: int, order: int = 2, expected: dict[str, Any] | None = None
) -> Iterator[dict[str, Any]]:
    """One row a contender; they take turns; where no answer is expected, all are to be that of the first."""
    runs: list[list[dict[str, Any]]] = [[] for _ in contenders]
    for _ in range(rounds):
        for contender, mine in zip(contenders, runs, strict=True):
            if mine and "seconds" not in mine[-1]:
                continue
            found = run(contender, stream, order)
            if "seconds" in found:
                print(f"  {stream.name}, order {order}, {contender.name}: {found['seconds']:.3g} s", flush=True)
                expected = expected or {name: found[name] for name in ("distinct", "digest")}
                check(contender, found, expected)
            mine.append(found)
    rows = [row(contender, stream, order, mine) for contender, mine in zip(contenders, runs, strict=True)]
    ours = {
        (mine.threads, mine.capped): row["Mtokens_per_second"]
        for mine, row in zip(contenders, rows, strict=True)
        if mine.counter == "mixlaw"
    }
    for contender, values in zip(contenders, rows, strict=True):
        mine_speed = ours.get((contender.threads, contender.capped), math.nan)
        yield values | {"ratio": mine_speed / values["Mtokens_per_second"]}


def lengths(tokens: int, rounds: int) -> Iterator[dict[str, Any]]:
    for length in (length for length in LENGTHS if length < tokens):
        stream = zipf_markov(length)
        yield from compare(MIXLAW[1:], stream, rounds, expected=reference(stream))


def orders(stream: Stream, rounds: int) -> Iterator[dict[str, Any]]:
    for order in ORDERS:
        if order != 2:
            yield from compare(MIXLAW[1:2], stream, rounds, order)


def test_bigrams(benchmark: Any, record: Callable[..., None]) -> None:
    stream = zipf_markov(TOKENS)  # the longest first: the others are its beginnings
    check_every_count(zipf_markov(SMALL))
    rows = []
    for each in (stream, real_text()):
        rows += compare(MIXLAW + PEERS, each, ROUNDS, expected=reference(each))
    rows += lengths(TOKENS, ROUNDS)
    rows += orders(zipf_markov(min(TOKENS, ORDER_TOKENS)), ROUNDS)
    record(rows, ["numpy", "polars", "duckdb", "pyarrow", "tokenizers"])
    benchmark.pedantic(run, args=(MIXLAW[1], stream), rounds=1)
