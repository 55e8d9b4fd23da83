"""Count under a memory limit, in a process of its own, and print how much memory that took: run by test_memory_limit.

Anonymous and shared memory (RssAnon + RssShmem of /proc/self/status) is read every half millisecond, in a thread, for
the core works without the interpreter lock; what counts is the most above what there was before the counter. The files
that are counted are mapped, and so are not among it.
"""

import json
import re
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from mixlaw import NgramCounter

ROWS = 1 << 12
REPLICATES = 54


def memory() -> int:
    found = re.findall(r"^Rss(?:Anon|Shmem):\s+([0-9]+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert len(found) == 2
    return 1024 * sum(map(int, found))


class Peak:
    """The most memory above what there is now."""

    def __init__(self) -> None:
        self.before = memory()
        self.most = 0
        self._ends = False
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ends:
            self.most = max(self.most, memory() - self.before)
            time.sleep(0.0005)

    def end(self) -> int:
        self._ends = True
        self._thread.join()
        return self.most


def least_limit(vocab_size: int, order: int, groups: int, threads: int) -> int:
    try:
        NgramCounter(vocab_size, order=order, groups=groups, threads=threads, memory_limit=1)
    except ValueError as error:
        return int(str(error).rsplit(" ", 1)[1])
    raise AssertionError("a limit of one byte was accepted")


def main(
    tokens: str,
    offsets: str | None,
    vocab_size: int,
    order: int,
    groups: int,
    threads: int,
    factor: float,
    call: int,
    folder: str,
) -> dict[str, Any]:
    array = np.load(tokens, mmap_mode="r")
    borders = None if offsets is None else np.load(offsets, mmap_mode="r")
    limit = int(factor * least_limit(vocab_size, order, groups, threads))
    phases = {}
    whole = Peak()
    peak = Peak()
    with tempfile.TemporaryDirectory(dir=folder) as spill:
        counter = NgramCounter(
            vocab_size, order=order, groups=groups, threads=threads, memory_limit=limit, spill_dir=spill
        )
        weights = np.random.default_rng(0).multinomial(groups, np.full(groups, 1 / groups), REPLICATES).tolist()
        if call:
            for begin in range(0, len(array), call):
                context = min(begin, order - 1)
                counter.update(array[begin - context : begin + call], context=context)
        else:
            counter.update(array, borders)
        phases["update"] = peak.end()
        for name, ask in (
            ("entropy", lambda: [counter.entropy(n) for n in range(1, order + 1) if counter.total(n)]),
            ("weights", lambda: [len(counter.weighted_counts_of_counts(n, weights)) for n in range(1, order + 1)]),
            (
                "prefixes",
                lambda: [
                    len(counter.weighted_counts_of_counts(n, weights, prefixes=True)) for n in range(2, order + 1)
                ],
            ),
            ("rows", lambda: [sum(1 for _ in counter.iter_counts(n, ROWS)) for n in range(1, order + 1)]),
            ("write", lambda: counter.write(Path(spill) / "a.mlc")),
            ("merge", lambda: counter.merge_file(Path(spill) / "a.mlc")),
            ("read", lambda: NgramCounter.read(Path(spill) / "a.mlc", threads=threads).total(1)),
            ("again", lambda: (counter.update(array[: len(array) // 4]), counter.count_of_counts(order))),
        ):
            peak = Peak()
            peak.before = whole.before
            ask()
            phases[name] = peak.end()
        assert counter.total(1) == 2 * len(array) + len(array) // 4
        written, _, most = counter.disk_use()
    return {"limit": limit, "peak": whole.end(), "phases": phases, "written": written, "disk": most}


if __name__ == "__main__":
    print(json.dumps(main(**json.loads(sys.argv[1]))))
