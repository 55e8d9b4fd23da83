"""Checkpoints: a counter that is killed, or whose disk is full, goes on with what the last one held."""

import errno
import gc
import json
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mixlaw import InputError, NgramCounter

COUNT = Path(__file__).with_name("run_checkpointed.py")
FULL_DISK = Path(__file__).with_name("run_full_disk.py")


class Killed:
    """A process that counts `tokens` with checkpoints, and can be killed and started again."""

    def __init__(self, folder: Path, tokens: npt.NDArray[Any], **settings: Any) -> None:
        np.save(folder / "tokens.npy", tokens)
        self.folder, self.out = folder / "counts", folder / "out.mlc"
        own = {name: settings.pop(name) for name in ("call", "calls_a_checkpoint")}
        words = {"tokens": str(folder / "tokens.npy"), "folder": str(self.folder), "out": str(self.out)}
        self._words = [sys.executable, COUNT, json.dumps({**words, **own, **settings})]
        settings.pop("memory_limit")
        counter = NgramCounter(tokenizer="t", **settings)
        counter.update(tokens)
        counter.add_input("tokens", 0, len(tokens))
        counter.write(folder / "whole.mlc")
        self._whole = (folder / "whole.mlc").read_bytes()

    def start(self) -> subprocess.Popen[str]:
        """Start it and wait until it counts."""
        child = subprocess.Popen(self._words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert child.stdout is not None
        if child.stdout.readline() != "go\n":
            raise AssertionError(child.communicate()[1])
        return child

    def check(self, child: subprocess.Popen[str]) -> None:
        """What a process that came to its end wrote are the bytes of one that nothing disturbed."""
        assert (child.returncode, child.communicate()[1]) == (0, "")
        assert self.out.read_bytes() == self._whole
        self.out.unlink()

    def run(self, kills: int, seed: int) -> int:
        """Kill it so often at random moments, begin anew whenever it is done; give how often it was killed midway."""
        rng = random.Random(seed)
        child = self.start()
        begun = time.monotonic()
        child.wait()
        duration = time.monotonic() - begun
        self.check(child)
        shutil.rmtree(self.folder)
        midway = done = 0
        while done < kills:
            child = self.start()
            try:
                child.wait(timeout=rng.uniform(0, 0.5) * duration)
            except subprocess.TimeoutExpired:
                child.kill()
                child.communicate()
                done += 1
                midway += (self.folder / "manifest.json").exists()
            else:
                self.check(child)
                shutil.rmtree(self.folder)
        child = self.start()
        child.wait()
        self.check(child)
        assert not list(self.folder.parent.glob("mixlaw-*"))
        return midway


def killed(folder: Path, *, limited: bool, scale: int) -> Killed:
    rng = np.random.default_rng(0)
    if limited:
        # The least limit for these: memory is full every million tokens.
        tokens = rng.integers(0, 2**31, 2_000_000 * scale, dtype=np.uint32)
        return Killed(
            folder,
            tokens,
            vocab_size=2**31,
            threads=1,
            memory_limit=16 << 20,
            call=150_000,
            calls_a_checkpoint=2,
        )
    tokens = (rng.random(600_000 * scale) ** 3 * 50_000).astype(np.uint16)
    return Killed(
        folder, tokens, vocab_size=50_000, order=3, threads=2, memory_limit=None, call=9_973, calls_a_checkpoint=3
    )


@pytest.mark.parametrize("limited", [False, True])
def test_kills_at_random_moments_change_nothing(tmp_path: Path, limited: bool) -> None:
    assert killed(tmp_path, limited=limited, scale=1).run(5, seed=limited) > 0


@pytest.mark.slow
@pytest.mark.parametrize("limited", [False, True])
def test_a_hundred_kills_change_nothing(tmp_path: Path, limited: bool) -> None:
    assert killed(tmp_path, limited=limited, scale=3).run(100, seed=2 + limited) > 50


def may_mount(folder: Path) -> bool:
    """Whether a process may have a name space of its own, and mount a small disk there."""
    try:
        done = subprocess.run(
            ["unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", folder],
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        return False
    return done.returncode == 0


@pytest.mark.parametrize("kind", ["small disk", "small files"])
def test_a_full_or_lost_disk_is_an_error_and_nothing_is_lost(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    # Where there can be no small disk, the limit on files is tried once more.
    wanted = kind if may_mount(folder) else "small files"
    words = [sys.executable, FULL_DISK, folder, wanted]
    if wanted == "small disk":
        words = ["unshare", "-rm", *words]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["failures"] >= 5
    assert found["errno"] == ("ENOSPC" if wanted == "small disk" else "EFBIG")


def counted(folder: Path, note: Any = 3) -> None:
    """Leave a checkpoint of three tokens."""
    counter = NgramCounter(10, checkpoint_dir=folder, tokenizer="t")
    counter.update(np.array([1, 2, 3]))
    counter.add_input("a", 0, 3)
    counter.checkpoint(note)


@pytest.mark.parametrize("note", [None, 0, 1.5, "é", [1, None], {"a": {"b": [2**70]}}])
def test_the_note_comes_back(tmp_path: Path, note: Any) -> None:
    counted(tmp_path / "new" / "folder", note)
    counter = NgramCounter(10, checkpoint_dir=tmp_path / "new" / "folder", tokenizer="t")
    assert counter.note == note
    assert counter.inputs == (("a", 0, 3),)
    assert (counter.total(1), counter.count_of([1, 2])) == (3, 1)


@pytest.mark.parametrize("note", [object(), float("nan"), {1, 2}])
def test_a_note_that_json_cannot_hold_leaves_the_last_checkpoint(tmp_path: Path, note: Any) -> None:
    counted(tmp_path)
    counter = NgramCounter(10, checkpoint_dir=tmp_path, tokenizer="t")
    counter.update(np.array([4, 5]))
    with pytest.raises((TypeError, ValueError)):
        counter.checkpoint(note)
    assert counter.note == 3
    del counter
    assert NgramCounter(10, checkpoint_dir=tmp_path, tokenizer="t").total(1) == 3


def test_a_folder_belongs_to_one_counter(tmp_path: Path) -> None:
    first = NgramCounter(10, checkpoint_dir=tmp_path)
    with pytest.raises(InputError, match=f"^{tmp_path}: in use, by this process or another one$"):
        NgramCounter(10, checkpoint_dir=tmp_path)
    program = "import sys, mixlaw; mixlaw.NgramCounter(10, checkpoint_dir=sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", program, tmp_path], stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert f"{tmp_path}: in use, by this process or another one" in done.stderr
    first.update(np.array([1, 2]))
    first.checkpoint()
    del first
    assert NgramCounter(10, checkpoint_dir=tmp_path).total(1) == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vocab_size": 11, "tokenizer": "t"}, "holds a checkpoint of counts with vocab_size 10, not 11"),
        ({"vocab_size": 10, "order": 3, "tokenizer": "t"}, "holds a checkpoint of counts with order 2, not 3"),
        ({"vocab_size": 10, "tokenizer": "u"}, "holds a checkpoint of counts with tokenizer 't', not 'u'"),
        ({"vocab_size": 10}, "holds a checkpoint of counts with tokenizer 't', not None"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused_and_kept(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    counted(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match=f"^{tmp_path} {message}: choose another folder, or delete it$"):
        NgramCounter(checkpoint_dir=tmp_path, **settings)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    gc.collect()
    assert NgramCounter(10, checkpoint_dir=tmp_path, tokenizer="t").total(1) == 3


def change(content: dict[str, Any], *path: Any, value: Any) -> None:
    for key in path[:-1]:
        content = content[key]
    if value is ...:
        del content[path[-1]]
    else:
        content[path[-1]] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), "mixlaw.checkpoint/2"),
        (("counts",), ...),
        (("counts",), [1]),
        (("counts", "order"), ...),
        (("totals",), ...),
        (("totals",), 7),
        (("totals",), [1, 2, 3, 4]),
        (("totals",), [3, 2, 0, 0, "0"]),
        (("totals",), [3, -2, 0, 0, 0]),
        (("totals",), [3, 2**64, 0, 0, 0]),
        (("tables",), ...),
        (("tables",), 7),
        (("tables", 0, "kind"), ...),
        (("tables", 0, "kind"), "others"),
        (("tables", 0, "kind"), "tails"),
        (("tables", 0, "order"), 3),
        (("tables", 0, "order"), 2**40),
        (("tables", 0, "order"), "2"),
        (("tables", 0, "files"), 7),
        (("tables", 0, "files"), [7]),
        (("tables", 0, "files"), ["run-99.mlc"]),
        (("tables", 0, "files"), ["lock"]),
        (("tables", 0, "files"), ["."]),
        (("inputs",), ...),
        (("inputs",), [["a", 0]]),
        (("inputs",), [["a", 5, 0]]),
        (("note",), ...),
    ],
)
def test_a_manifest_that_is_damaged_is_named_and_kept(tmp_path: Path, path: tuple[Any, ...], value: Any) -> None:
    counted(tmp_path)
    manifest = tmp_path / "manifest.json"
    content = json.loads(manifest.read_text())
    change(content, *path, value=value)
    manifest.write_text(json.dumps(content))
    before = {item.name: item.read_bytes() for item in tmp_path.iterdir()}
    assert len(before) > 3
    with pytest.raises(InputError, match=f"^{tmp_path}"):
        NgramCounter(10, checkpoint_dir=tmp_path, tokenizer="t")
    assert {item.name: item.read_bytes() for item in tmp_path.iterdir()} == before


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b"null", b"[" * 100_000, b'{"a": 1, "a": 2}'])
def test_what_is_no_manifest_is_refused_and_no_file_removed(tmp_path: Path, content: bytes) -> None:
    counted(tmp_path)
    files = {path.name for path in tmp_path.iterdir()}
    assert len(files) > 2
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(InputError, match=f"^{tmp_path / 'manifest.json'}"):
        NgramCounter(10, checkpoint_dir=tmp_path, tokenizer="t")
    assert {path.name for path in tmp_path.iterdir()} == files


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [Path.unlink, truncated, flipped])
def test_a_run_file_that_is_gone_or_damaged_is_named(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    counted(tmp_path)
    names = json.loads((tmp_path / "manifest.json").read_text())["tables"][0]["files"]
    damage(tmp_path / names[0])
    with pytest.raises(InputError, match=str(tmp_path / names[0])):
        NgramCounter(10, checkpoint_dir=tmp_path, tokenizer="t").counts(2)


def test_files_of_an_interrupted_process_are_removed_and_others_are_not(tmp_path: Path) -> None:
    counted(tmp_path)
    kept = {path.name for path in tmp_path.iterdir()}
    for name in ("run-77.mlc", "run-0000.mlc", "other.mlc", "run-7.txt"):
        (tmp_path / name).write_bytes(b"x")
    counter = NgramCounter(10, checkpoint_dir=tmp_path, tokenizer="t")
    assert {path.name for path in tmp_path.iterdir()} == {*kept, "other.mlc", "run-7.txt"}
    # Those of the last checkpoint go when the next one stands.
    for token in range(20):
        counter.update(np.array([token % 10, 1, 2]))
        counter.checkpoint(token)
        names = named(tmp_path)
        assert {path.name for path in tmp_path.glob("*.mlc")} == {*names, "other.mlc"}
        assert counter.disk_use()[1] == sum((tmp_path / name).stat().st_size for name in names)


def named(folder: Path) -> set[str]:
    """Files of the last checkpoint."""
    tables = json.loads((folder / "manifest.json").read_text())["tables"]
    return {name for table in tables for name in table["files"]}


@pytest.mark.parametrize(("memory_limit", "groups"), [(None, 1), (None, 3), (20 << 20, 1), (20 << 20, 3)])
def test_questions_leave_no_files(tmp_path: Path, memory_limit: int | None, groups: int) -> None:
    settings: dict[str, Any] = {"vocab_size": 2**31, "groups": groups, "threads": 1, "memory_limit": memory_limit}
    counter = NgramCounter(checkpoint_dir=tmp_path / "counts", **settings)
    whole = NgramCounter(2**31, groups=groups, threads=1)
    rng = np.random.default_rng(0)
    for note in range(4):
        tokens = rng.integers(0, 2**31, 600_000, dtype=np.uint32)
        for piece in np.split(tokens, 3):
            counter.update(piece)
            whole.update(piece)
        counter.checkpoint(note)
        manifest = (tmp_path / "counts" / "manifest.json").read_bytes()
        assert counter.entropies() == whole.entropies()
        counter.count_of([1, 2])
        next(counter.iter_counts(1))
        next(counter.iter_counts(2))
        counter.weighted_counts_of_counts(1, [[1] * groups])
        counter.write(tmp_path / "out.mlc")
        counter._spill() if memory_limit else counter.run_bytes()
        files = {path.name for path in (tmp_path / "counts").iterdir()}
        assert files == {"lock", "manifest.json", *named(tmp_path / "counts")}
        assert manifest == (tmp_path / "counts" / "manifest.json").read_bytes()
    whole.write(tmp_path / "whole.mlc")
    # What was merged since, and is counted from here on, is not needed.
    counter.update(tokens)
    counter.entropies()
    shutil.copytree(tmp_path / "counts", tmp_path / "killed")
    again = NgramCounter(checkpoint_dir=tmp_path / "killed", **settings)
    assert again.note == 3
    again.write(tmp_path / "out.mlc")
    assert (tmp_path / "out.mlc").read_bytes() == (tmp_path / "whole.mlc").read_bytes()


def test_a_checkpoint_of_nothing_and_of_a_merge_are_whole(tmp_path: Path) -> None:
    counter = NgramCounter(10, order=3, checkpoint_dir=tmp_path / "a")
    counter.checkpoint("empty")
    del counter
    counter = NgramCounter(10, order=3, checkpoint_dir=tmp_path / "a")
    assert (counter.note, counter.total(1)) == ("empty", 0)
    # Counts whose files are in another counter's folder, which goes away; and one's own, twice.
    other = NgramCounter(10, order=3, checkpoint_dir=tmp_path / "b")
    other.update(np.arange(10))
    other.checkpoint()
    counter.merge(other)
    del other
    counter.checkpoint("merged")
    counter.merge(counter)
    counter.checkpoint("doubled")
    shutil.rmtree(tmp_path / "b")
    del counter
    counter = NgramCounter(10, order=3, checkpoint_dir=tmp_path / "a")
    assert (counter.note, counter.total(1), counter.count_of([3, 4, 5])) == ("doubled", 20, 2)
    assert counter.distinct(2) == 9


def test_a_folder_that_is_removed_leaves_the_counts(tmp_path: Path) -> None:
    folder = tmp_path / "counts"
    counter = NgramCounter(10, checkpoint_dir=folder)
    counter.update(np.arange(10))
    counter.checkpoint(1)
    shutil.rmtree(folder)
    counter.update(np.arange(10))
    with pytest.raises(FileNotFoundError) as lost:
        counter.checkpoint(2)
    assert (lost.value.errno, Path(lost.value.filename).parent) == (errno.ENOENT, folder)
    assert (counter.note, counter.total(1), counter.count_of([3, 4])) == (1, 20, 2)
    counter.write(tmp_path / "saved.mlc")
    assert NgramCounter.read(tmp_path / "saved.mlc").count_of([3, 4]) == 2


def test_checkpoints_of_several_threads_leave_a_whole_one(tmp_path: Path) -> None:
    tokens = np.arange(100, dtype=np.uint8)

    def work(counter: NgramCounter, seed: int) -> None:
        for step in range(8):
            counter.update(tokens)
            counter.checkpoint([seed, step])

    def count() -> None:
        counter = NgramCounter(100, threads=1, checkpoint_dir=tmp_path)
        threads = [threading.Thread(target=work, args=(counter, seed)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        counter.checkpoint("done")

    count()
    again = NgramCounter(100, checkpoint_dir=tmp_path)
    assert (again.note, again.total(1)) == ("done", 3200)


def test_a_folder_that_could_not_be_opened_is_free(tmp_path: Path) -> None:
    counter = NgramCounter(100, checkpoint_dir=tmp_path)
    counter.update(np.arange(9, dtype=np.uint8))
    counter.checkpoint()
    del counter
    with pytest.raises(InputError, match="vocab_size") as error:
        NgramCounter(101, checkpoint_dir=tmp_path)
    assert NgramCounter(100, checkpoint_dir=tmp_path).total(1) == 9
    assert error.value is not None
