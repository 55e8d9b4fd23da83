"""A counter on a disk that is full, goes away, and comes back: run by test_checkpoint.py.

In a name space of its own (`unshare -rm`) the folder is made a small tmpfs, which gives ENOSPC and EROFS. Where a
process may not have one, a limit on the size of files stands for the full disk, and renaming the folder for its loss.
"""

import contextlib
import errno
import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mixlaw import NgramCounter

SIZE = 48 << 20


class SmallDisk:
    """A tmpfs of `SIZE` bytes."""

    full = errno.ENOSPC
    lost = errno.EROFS

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder], check=True)

    def leave(self, room: int) -> None:
        """Let so many bytes be free, and no more."""
        with open(self.folder / "ballast", "wb", buffering=0) as ballast:
            with contextlib.suppress(OSError):
                while True:
                    ballast.write(bytes(4096))
            ballast.truncate(max(ballast.tell() - room, 0))

    def free(self) -> None:
        (self.folder / "ballast").unlink()

    def lose(self) -> None:
        # Files that are open for writing would forbid it on the file system itself, but not on a second view of it.
        subprocess.run(["mount", "--bind", self.folder, self.folder], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", self.folder], check=True)

    def find(self) -> None:
        subprocess.run(["umount", self.folder], check=True)


class SmallFiles:
    """A limit on the size of files."""

    full = errno.EFBIG
    lost = errno.ENOENT

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def leave(self, room: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, self.before[1]))

    def free(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)

    def lose(self) -> None:
        self.folder.rename(self.folder.with_name("lost"))

    def find(self) -> None:
        self.folder.with_name("lost").rename(self.folder)


Disk = SmallDisk | SmallFiles


def equal(a: NgramCounter, b: NgramCounter) -> bool:
    return all(
        a.total(n) == b.total(n) and all(np.array_equal(x, y) for x, y in zip(a.counts(n), b.counts(n), strict=True))
        for n in range(1, a.order + 1)
    )


def plain(*parts: npt.NDArray[np.uint32]) -> NgramCounter:
    counter = NgramCounter(2**31)
    for part in parts:
        counter.update(part)
    return counter


def check_refusal(error: OSError, number: int, folder: Path) -> None:
    assert error.errno == number, error
    assert error.filename is not None
    assert str(error.filename).startswith(str(folder)), error


def checkpoints(disk: Disk) -> int:
    """Fill the disk so that a checkpoint fails at every point on its way; give how often it did."""
    folder = disk.folder / "checkpoints"
    rng = np.random.default_rng(1)
    first, second = (rng.integers(0, 2**31, size, dtype=np.uint32) for size in (20_000, 30_000))
    failures = 0
    for room in (0, 100, 300, 1000, *range(4096, 1 << 20, 12 * 4096)):
        counter = NgramCounter(2**31, checkpoint_dir=folder)
        assert counter.note is None
        counter.update(first)
        counter.checkpoint("first")
        counter.update(second)
        disk.leave(room)
        try:
            counter.checkpoint("second")
            reached = "second"
        except OSError as error:
            check_refusal(error, disk.full, folder)
            reached = "first"
            failures += 1
        assert counter.note == reached
        # Still on the full disk, the counter has all, and a process that comes now has the last checkpoint.
        assert equal(counter, plain(first, second))
        disk.free()
        del counter
        resumed = NgramCounter(2**31, checkpoint_dir=folder)
        assert resumed.note == reached
        assert equal(resumed, plain(first) if reached == "first" else plain(first, second))
        if reached == "first":
            # There is room again: the same counter, or one that takes up from it, goes on.
            resumed.update(second)
            resumed.checkpoint("second")
        del resumed
        for path in folder.iterdir():
            path.unlink()
        if reached == "second":
            return failures
    raise AssertionError("there was never enough room")


def same_counter_goes_on(disk: Disk) -> None:
    folder = disk.folder / "again"
    rng = np.random.default_rng(2)
    parts = [rng.integers(0, 2**31, 30_000, dtype=np.uint32) for _ in range(4)]
    counter = NgramCounter(2**31, checkpoint_dir=folder)
    for number, part in enumerate(parts):
        counter.update(part)
        disk.leave(50_000)
        try:
            counter.checkpoint(number)
        except OSError as error:
            check_refusal(error, disk.full, folder)
        else:
            raise AssertionError("a full disk took a checkpoint")
        disk.free()
        counter.checkpoint(number)
    named = {name for table in json.loads((folder / "manifest.json").read_text())["tables"] for name in table["files"]}
    assert {path.name for path in folder.glob("*")} == named | {"manifest.json", "lock"}
    # No byte of the files that failed is on the books.
    assert counter.disk_use()[1] == sum((folder / name).stat().st_size for name in named)
    assert equal(counter, plain(*parts))
    # The disk goes away, and comes back.
    counter.update(parts[0])
    disk.lose()
    try:
        counter.checkpoint("lost")
    except OSError as error:
        check_refusal(error, disk.lost, folder)
    else:
        raise AssertionError("a disk that was lost took a checkpoint")
    assert equal(counter, plain(*parts, parts[0]))
    disk.find()
    counter.checkpoint("found")
    del counter
    resumed = NgramCounter(2**31, checkpoint_dir=folder)
    assert resumed.note == "found"
    assert equal(resumed, plain(*parts, parts[0]))


def spills(disk: Disk, *, lasting: bool) -> None:
    folder = disk.folder / f"spill-{lasting}"
    folder.mkdir()
    rng = np.random.default_rng(3)
    small, large = (rng.integers(0, 2**31, size, dtype=np.uint32) for size in (1000, 2_000_000))
    counter = NgramCounter(
        2**31, threads=1, memory_limit=16 << 20, **{"checkpoint_dir" if lasting else "spill_dir": folder}
    )
    counter.update(small)
    disk.leave(1 << 20)
    for _ in range(2):
        try:
            counter.update(large)
        except OSError as error:
            check_refusal(error, disk.full, folder)
        else:
            raise AssertionError("a full disk took a spilled run")
    assert equal(counter, plain(small))
    assert counter.disk_use()[1] == 0
    assert {path.name for path in folder.iterdir()} <= {"lock"}
    disk.free()
    counter.update(large)
    assert counter.disk_use()[1] > 0
    assert equal(counter, plain(small, large))


def writes(disk: Disk) -> None:
    path = disk.folder / "a.mlc"
    counter = plain(np.random.default_rng(4).integers(0, 2**31, 100_000, dtype=np.uint32))
    plain(np.arange(3, dtype=np.uint32)).write(path)
    before = path.read_bytes()
    disk.leave(100_000)
    try:
        counter.write(path)
    except OSError as error:
        check_refusal(error, disk.full, disk.folder)
    else:
        raise AssertionError("a full disk took a count file")
    disk.free()
    assert path.read_bytes() == before
    assert not list(disk.folder.glob(".*"))
    counter.write(path)
    assert equal(NgramCounter.read(path), counter)


def main(folder: Path, kind: str) -> None:
    disk = {"small disk": SmallDisk, "small files": SmallFiles}[kind](folder)
    failures = checkpoints(disk)
    same_counter_goes_on(disk)
    spills(disk, lasting=False)
    spills(disk, lasting=True)
    writes(disk)
    print(json.dumps({"failures": failures, "errno": errno.errorcode[disk.full]}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
