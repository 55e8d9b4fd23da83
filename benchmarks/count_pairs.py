"""One counter of pairs at work in a process of its own: ``python count_pairs.py TASK`` prints a JSON object.

TASK is a JSON object of a `Task`'s fields. What is timed is the counting; imports, connections and the keys of the
peers are made before. mixlaw reads tokens and offsets from a memory map, and its time ends with the entropies. Its
peers are given the pairs as packed keys, which costs them nothing here, each in the way in which it was fastest: numpy
as an array in memory; Polars and DuckDB as a memory-mapped Arrow file of many batches, from which they work out how
many pairs have which count, so that no table of pairs has to leave them. Wrong counts show in the digest of that.
"""

import contextlib
import hashlib
import json
import math
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from streams import Stream

CAP = 256_000_000  # bytes that a capped counter may use
CHUNK = 1 << 23  # tokens that a capped mixlaw is given at a time
BATCH = 1 << 18  # rows a batch of the Arrow file

Integers = npt.NDArray[np.integer[Any]]
Histogram = tuple[Integers, Integers]  # counts in ascending order, and how many pairs have them


class Task(NamedTuple):
    """What to count, and how."""

    counter: str
    stream: Stream
    threads: int
    capped: bool = False
    order: int = 2


class RefusalError(Exception):
    """This counter cannot do the task here."""


class Job(NamedTuple):
    """The part that is timed, and what to read off its result afterwards."""

    run: Callable[[], Any]
    read: Callable[[Any], dict[str, Any]]


def entropy(histogram: Histogram) -> float:
    """Entropy in nats of the relative frequencies, summed exactly."""
    total = int((histogram[0].astype(object) * histogram[1].astype(object)).sum())
    pairs = zip(histogram[0].tolist(), histogram[1].tolist(), strict=True)
    return math.fsum(many * value / total * math.log(total / value) for value, many in pairs)


def summary(histogram: Histogram) -> dict[str, Any]:
    """Distinct pairs, joint entropy, and a digest that only the same histogram has."""
    counts, pairs = (np.ascontiguousarray(column, dtype=np.uint64) for column in histogram)
    return {
        "distinct": int(pairs.sum()),
        "joint": entropy((counts, pairs)),
        "digest": hashlib.sha256(counts.tobytes() + pairs.tobytes()).hexdigest(),
    }


@contextlib.contextmanager
def mixlaw(task: Task) -> Iterator[Job]:
    from mixlaw import NgramCounter

    stream = task.stream
    with tempfile.TemporaryDirectory(dir=stream.folder, prefix="spill-") as folder:
        # What is left of the cap beside the interpreter and the pages of a chunk is the counter's.
        room = CAP - 1024 * status()["VmRSS"] - 2 * CHUNK
        options: dict[str, Any] = {"memory_limit": room, "spill_dir": folder} if task.capped else {}
        counter = NgramCounter(stream.vocab_size, order=task.order, threads=task.threads, **options)

        def run() -> Any:
            if task.capped:
                for tokens, offsets in stream.chunks(CHUNK):
                    counter.update(tokens, offsets)
            else:
                counter.update(stream.tokens(), stream.offsets())
            return counter.entropies()

        def read(entropies: Any) -> dict[str, Any]:
            found = summary(counter.count_of_counts(task.order))
            if task.order == 2:
                found |= entropies._asdict()
            counter.iter_counts(task.order)  # which merges all runs into one
            return found | {"bytes_per_distinct": counter.run_bytes() / found["distinct"]}

        yield Job(run, read)


@contextlib.contextmanager
def np_sort(task: Task) -> Iterator[Job]:
    keys = np.concatenate([keys.astype(np.uint64) for keys in task.stream.packed()])

    def read(_: None) -> dict[str, Any]:
        ends = np.flatnonzero(np.concatenate([keys[1:] != keys[:-1], [True]]))
        return summary(np.unique(np.diff(ends, prepend=-1), return_counts=True))

    yield Job(keys.sort, read)


@contextlib.contextmanager
def np_unique(task: Task) -> Iterator[Job]:
    keys = np.concatenate(list(task.stream.packed()))
    yield Job(
        lambda: np.unique(keys, return_counts=True)[1],
        lambda counts: summary(np.unique(counts, return_counts=True)),
    )


@contextlib.contextmanager
def polars(task: Task) -> Iterator[Job]:
    with tempfile.TemporaryDirectory(dir=task.stream.folder, prefix="spill-") as folder:
        # Polars reads its settings when it is imported.
        os.environ["POLARS_MAX_THREADS"] = str(task.threads)
        if task.capped:
            os.environ |= {"POLARS_OOC_MEMORY_BUDGET_MB": str(CAP // 10**6), "POLARS_OOC_SPILL_DIR": folder}
        pl = _import("polars")
        counts = pl.scan_ipc(arrow_file(task.stream)).group_by("key").agg(pl.len().alias("count"))
        histogram = counts.group_by("count").agg(pl.len().alias("pairs")).sort("count")
        yield Job(
            lambda: histogram.collect(engine="streaming"),
            lambda table: summary((table["count"].to_numpy(), table["pairs"].to_numpy())),
        )


@contextlib.contextmanager
def duckdb(task: Task) -> Iterator[Job]:
    module, pyarrow = _import("duckdb"), _import("pyarrow")
    with tempfile.TemporaryDirectory(dir=task.stream.folder, prefix="spill-") as folder, module.connect() as connection:
        connection.execute(f"SET threads = {task.threads}")
        connection.execute("SET preserve_insertion_order = false")
        connection.execute("SET temp_directory = '" + folder.replace("'", "''") + "'")
        if task.capped:
            connection.execute(f"SET memory_limit = '{CAP // 10**6}MB'")
        with pyarrow.memory_map(str(arrow_file(task.stream))) as source:
            connection.register("pairs", pyarrow.ipc.open_file(source).read_all())
            query = "SELECT count(*) AS count FROM pairs GROUP BY key"
            query = f"SELECT count, count(*) AS pairs FROM ({query}) GROUP BY count ORDER BY count"
            yield Job(
                lambda: connection.execute(query).fetchnumpy(),
                lambda table: summary((table["count"], table["pairs"])),
            )


COUNTERS = {
    "mixlaw": mixlaw,
    "np.sort(uint64)": np_sort,
    "np.unique(uint32, counts)": np_unique,
    "Polars streaming": polars,
    "DuckDB": duckdb,
}


def _import(name: str) -> Any:
    try:
        module = __import__(name)
        if name == "pyarrow":
            __import__("pyarrow.ipc")
    except ImportError as error:
        raise RefusalError(f"{name} is not installed") from error
    return module


def arrow_file(stream: Stream) -> Path:
    """The packed keys of a stream as an uncompressed Arrow file; made once."""
    path = stream.folder / f"keys-{stream.documents}.arrow"
    if not path.exists():
        pyarrow = _import("pyarrow")
        schema = pyarrow.schema({"key": pyarrow.uint32()})
        part = path.with_suffix(".part")
        with pyarrow.OSFile(str(part), "wb") as sink, pyarrow.ipc.new_file(sink, schema) as writer:
            for keys in stream.packed():
                writer.write_table(pyarrow.table({"key": keys}, schema), max_chunksize=BATCH)
        part.rename(path)
    return path


def status() -> dict[str, int]:
    """The memory of this process in KiB, by the names of the kernel."""
    found = re.findall(r"^(\w+):\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return {name: int(value) for name, value in found}


def written() -> int:
    """Bytes that this process has written so far."""
    return int(re.findall(r"wchar: (\d+)", Path("/proc/self/io").read_text())[0])


def measure(job: Job) -> dict[str, Any]:
    """Run a job once: time, processor time, bytes written, and the memory at its peak.

    RSS counts the pages of mapped files that are in the process, `anonymous` only what it has allocated; the first is
    the kernel's own record, the second the largest of looks every few milliseconds.
    """
    anonymous, done = [], threading.Event()

    def watch() -> None:
        while True:
            now = status()
            anonymous.append(now["RssAnon"] + now["RssShmem"])
            if done.wait(0.005):
                return

    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    watcher = threading.Thread(target=watch)
    watcher.start()
    before, cpu, start = written(), time.process_time(), time.perf_counter()
    try:
        result = job.run()
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        peak, bytes_written = status()["VmHWM"], written() - before
    finally:
        done.set()
        watcher.join()
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "peak_RSS_MB": peak * 1024 / 1e6,
        "peak_anonymous_MB": max(anonymous) * 1024 / 1e6,
        "bytes_written": bytes_written,
        **job.read(result),
    }


def main() -> None:
    task = json.loads(sys.argv[1])
    task["stream"] = Stream(task["stream"][0], Path(task["stream"][1]), *task["stream"][2:])
    task = Task(**task)
    try:
        with COUNTERS[task.counter](task) as job:
            # The file is in the page cache of the system, as it is for a run that follows another.
            for tokens, _ in task.stream.chunks(1 << 24):
                tokens.max()
            print(json.dumps(measure(job)))
    except RefusalError as refusal:
        print(json.dumps({"absent": str(refusal)}))


if __name__ == "__main__":
    main()
