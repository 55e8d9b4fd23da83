"""Count files: what is written is read, shards merge to the same bytes in any order, and damage is an error."""

import errno
import itertools
import json
import os
import re
import resource
import signal
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlaw import InputError, NgramCounter

Documents = list[list[int]]
LIMIT = 64 << 20


def counted(documents: Documents, vocab_size: int, order: int, **more: Any) -> NgramCounter:
    counter = NgramCounter(vocab_size, order=order, **more)
    offsets = np.cumsum([0, *map(len, documents)], dtype=np.int64)
    counter.update(np.array([token for document in documents for token in document], np.uint32), offsets)
    return counter


def check_equal(a: NgramCounter, b: NgramCounter) -> None:
    assert (a.order, a.vocab_size, a.tokenizer, a.inputs) == (b.order, b.vocab_size, b.tokenizer, b.inputs)
    for n in range(1, a.order + 1):
        assert a.total(n) == b.total(n)
        assert all(np.array_equal(x, y) for x, y in zip(a.counts(n), b.counts(n), strict=True))
        if a.total(n):
            assert a.entropy(n) == b.entropy(n)


@st.composite
def streams(draw: st.DrawFn) -> tuple[int, int, Documents]:
    order = draw(st.integers(1, 5))
    vocab_size = draw(st.sampled_from([1, 2, 255, 65537, 2**25 if order == 5 else 2**31]))
    some = [*draw(st.lists(st.integers(0, vocab_size - 1), min_size=1, max_size=6)), vocab_size - 1]
    return vocab_size, order, draw(st.lists(st.lists(st.sampled_from(some), max_size=12), max_size=8))


@given(streams(), st.text(), st.integers(0, 4))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    stream: tuple[int, int, Documents],
    name: str,
    context: int,
) -> None:
    vocab_size, order, documents = stream
    path = tmp_path_factory.mktemp("counts") / "a.mlc"
    counter = counted(documents, vocab_size, order, tokenizer=name)
    # A piece of a document whose beginning is in another shard.
    tail = np.array([vocab_size - 1, 0, 0, vocab_size - 1, 0], np.int64)
    counter.update(tail, context=min(context, order - 1))
    counter.add_input(name or "a", 3, 9)
    counter.write(path)
    read = NgramCounter.read(path)
    check_equal(read, counter)
    # It can be counted on with.
    for one in (read, counter):
        one.update(tail)
        one.add_input(name or "a", 9, 11)
    check_equal(read, counter)
    assert read.inputs == ((name or "a", 3, 11),)
    assert read.disk_use() == (0, 0, 0)


@pytest.fixture(scope="module")
def shards() -> list[tuple[npt.NDArray[np.uint16], npt.NDArray[np.int64]]]:
    rng = np.random.default_rng(1)
    made = []
    for _ in range(5):
        tokens = (rng.random(50_000) ** 3 * 5000).astype(np.uint16)
        made.append((tokens, np.unique(np.append(rng.integers(0, 50_000, 5000), [0, 50_000]))))
    return made


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_shards_give_the_same_bytes_in_any_order_on_any_threads(
    tmp_path: Path, shards: list[tuple[npt.NDArray[np.uint16], npt.NDArray[np.int64]]], order: int
) -> None:
    whole = NgramCounter(5000, order=order, tokenizer="made up")
    for number, (tokens, offsets) in enumerate(shards):
        one = NgramCounter(5000, order=order, threads=1 + number % 3, tokenizer="made up")
        for counter in (one, whole):
            counter.update(tokens, offsets)
            counter.add_input("stream", number * 50_000, (number + 1) * 50_000)
        one.write(tmp_path / f"{number}.mlc")
    whole.write(tmp_path / "whole.mlc")
    expected = (tmp_path / "whole.mlc").read_bytes()
    orders = list(itertools.permutations(range(5)))
    for turn, permutation in enumerate(orders[::17]):
        threads = 1 + turn % 3
        limit = None if turn % 2 else LIMIT
        counter = NgramCounter(5000, order=order, threads=threads, memory_limit=limit, tokenizer="made up")
        for number in permutation:
            if (turn + number) % 2:
                counter.merge_file(tmp_path / f"{number}.mlc")
            else:
                counter.merge(NgramCounter.read(tmp_path / f"{number}.mlc", threads=threads))
        counter.write(tmp_path / "merged.mlc")
        assert (tmp_path / "merged.mlc").read_bytes() == expected
    check_equal(NgramCounter.read(tmp_path / "whole.mlc", threads=2, memory_limit=LIMIT), whole)


def test_a_document_in_two_shards_is_whole_again(tmp_path: Path) -> None:
    document = np.arange(20) % 7
    whole = NgramCounter(7, order=4)
    whole.update(document)
    first, second = NgramCounter(7, order=4), NgramCounter(7, order=4)
    first.update(document[:9])
    second.update(document[6:], context=3)
    first.write(tmp_path / "first.mlc")
    second.write(tmp_path / "second.mlc")
    merged = NgramCounter(7, order=4)
    merged.merge_file(tmp_path / "second.mlc")
    assert merged.total(1) == 11
    merged.merge_file(tmp_path / "first.mlc")
    check_equal(merged, whole)
    for counter, name in ((merged, "merged"), (whole, "whole")):
        counter.write(tmp_path / f"{name}.mlc")
    assert (tmp_path / "merged.mlc").read_bytes() == (tmp_path / "whole.mlc").read_bytes()


def test_writing_replaces_a_file_that_is_being_read(tmp_path: Path) -> None:
    path = tmp_path / "a.mlc"
    counted([[0, 1, 2]], 3, 2).write(path)
    read = NgramCounter.read(path)
    read.update(np.array([0, 1]))
    read.write(path)
    assert read.count_of([0, 1]) == NgramCounter.read(path).count_of([0, 1]) == 2
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.mlc"]
    (tmp_path / "link.mlc").symlink_to(path)
    counted([[2, 2]], 3, 2).write(tmp_path / "link.mlc")
    assert (tmp_path / "link.mlc").is_symlink()
    assert NgramCounter.read(path).count_of([2, 2]) == 1
    # What was read earlier stands.
    assert read.count_of([0, 1]) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: NgramCounter(11, tokenizer="t"),
            "counts of order 2, vocab_size 10 and 1 group into counts of order 2, v",
        ),
        (
            lambda: NgramCounter(10, order=3, tokenizer="t"),
            "counts of order 2, vocab_size 10 and 1 group into counts of order 3",
        ),
        (lambda: NgramCounter(10, tokenizer="u"), "has counts of tokenizer 't', these are of tokenizer 'u'"),
        (lambda: NgramCounter(10), "has counts of tokenizer 't', these are of an unnamed tokenizer"),
    ],
)
def test_counts_of_something_else_are_refused(tmp_path: Path, make: Callable[[], NgramCounter], message: str) -> None:
    path = tmp_path / "a.mlc"
    counter = counted([[1, 2, 3]], 10, 2, tokenizer="t")
    counter.add_input("file", 0, 3)
    counter.write(path)
    other = make()
    other.update(np.array([4, 5]))
    with pytest.raises(InputError, match=f"^{path}:? .*{message}"):
        other.merge_file(path)
    assert (other.total(1), other.inputs) == (2, ())


def test_inputs_are_counted_once(tmp_path: Path) -> None:
    path = tmp_path / "a.mlc"
    counter = counted([[1, 2, 3]], 10, 2)
    counter.add_input("file", 10, 20)
    counter.write(path)
    with pytest.raises(InputError, match=r"^file: \[10, 20\) would be counted twice"):
        counter.merge_file(path)
    with pytest.raises(InputError, match=r"^file: \[15, 16\) would be counted twice"):
        counter.add_input("file", 15, 16)
    with pytest.raises(InputError, match=r"^file: \[10, 20\) would be counted twice"):
        counter.merge(NgramCounter.read(path))
    with pytest.raises(InputError, match=r"^file: \[10, 20\) would be counted twice"):
        counter.merge(counter)
    assert (counter.total(1), counter.inputs) == (3, (("file", 10, 20),))
    other = counted([[4]], 10, 2)
    other.add_input("file", 20, 30)
    other.merge_file(path)
    assert (other.total(1), other.inputs) == (4, (("file", 10, 30),))


def test_totals_beyond_64_bits_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mlc"
    counter = counted([[0]], 1, 1)
    for _ in range(63):
        counter.merge(counter)
    counter.write(path)
    assert NgramCounter.read(path).count_of([0]) == 2**63
    with pytest.raises(OverflowError, match="would exceed 64 bits: 9223372036854775808"):
        counter.merge_file(path)
    assert counter.total(1) == counter.count_of([0]) == 2**63


@pytest.fixture
def sound(tmp_path: Path) -> bytes:
    rng = np.random.default_rng(2)
    counter = NgramCounter(70_000, order=3, tokenizer="t")
    for _ in range(3):
        counter.update(rng.integers(0, 70_000, 100_000), context=2)
    counter.write(tmp_path / "sound.mlc")
    return (tmp_path / "sound.mlc").read_bytes()


def read_all(path: Path) -> None:
    counter = NgramCounter.read(path, threads=2)
    counter.entropies()
    for n in (1, 2, 3):
        counter.counts(n)


def test_a_damaged_or_truncated_file_is_refused_with_the_place(tmp_path: Path, sound: bytes) -> None:
    path = tmp_path / "damaged.mlc"
    assert len(sound) > 3 * 2**16
    read_all(tmp_path / "sound.mlc")
    rng = np.random.default_rng(3)
    places = [0, 9, 13, 20, 70, 80, len(sound) - 1, len(sound) - 20, *rng.integers(0, len(sound), 60).tolist()]
    for place in places:
        damaged = bytearray(sound)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.unlink(missing_ok=True)
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=f"^{path}, byte [0-9]+: "):
            read_all(path)
        path.unlink()
        path.write_bytes(sound[:place])
        with pytest.raises(InputError, match=f"^{path}, byte [0-9]+: "):
            read_all(path)


def test_damage_is_found_by_whoever_comes_to_it(tmp_path: Path, sound: bytes) -> None:
    path = tmp_path / "damaged.mlc"
    # In the middle of the 3-grams, which come first.
    damaged = bytearray(sound)
    damaged[len(sound) // 2] ^= 1
    path.write_bytes(damaged)
    message = f"^{path}, byte [0-9]+: the checksum of these [0-9]+ bytes is wrong: they are damaged$"
    counter = NgramCounter.read(path)
    assert counter.total(3) > 0
    for ask in (
        lambda: counter.counts(3),
        lambda: counter.entropy(1),
        lambda: counter.count_of_counts(3),
        lambda: counter.top(2, 1),
        lambda: list(counter.iter_counts(3, rows=1271)),
        lambda: counter.write(tmp_path / "other.mlc"),
    ):
        with pytest.raises(InputError, match=message):
            ask()
    # A merge reads nothing yet; the counter that took it up says so, too.
    whole = NgramCounter(70_000, order=3, tokenizer="t")
    whole.merge(counter)
    with pytest.raises(InputError, match=message):
        whole.entropies()
    assert sorted(item.name for item in tmp_path.iterdir()) == ["damaged.mlc", "sound.mlc"]


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (b"", "the metadata is not that of counts"),
        (b"\xff\xfe", "the metadata is not that of counts"),
        (b"[]", "the metadata is not that of counts"),
        (b"7", "the metadata is not that of counts"),
        (b"[" * 100_000, "the metadata is not that of counts"),
        (
            b'{"boundary":"document","tokenizer":null,"domain":null}',
            r"the metadata is not that of counts \(KeyError\('inputs'\)\)",
        ),
        (
            b'{"boundary":"document","tokenizer":null,"domain":null,"inputs":[["a",0]]}',
            "the metadata is not that of counts",
        ),
        (
            b'{"boundary":"line","tokenizer":null,"domain":null,"inputs":[]}',
            "counts by the boundary rule 'line', known is 'document'",
        ),
        (b'{"boundary":"document","tokenizer":7,"domain":null,"inputs":[]}', "the tokenizer is 7, no name"),
        (b'{"boundary":"document","tokenizer":null,"domain":7,"inputs":[]}', "the domain is 7, no name"),
    ],
)
def test_metadata_of_something_else_are_refused(tmp_path: Path, metadata: bytes, message: str) -> None:
    path = tmp_path / "a.mlc"
    counted([[1, 2, 3]], 10, 2)._write(str(path), metadata)
    for ask in (lambda: NgramCounter.read(path), lambda: NgramCounter(10).merge_file(path)):
        with pytest.raises(InputError, match=f"^{path}: {message}"):
            ask()


def test_metadata_name_what_was_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.mlc"
    counter = counted([[1, 2, 3]], 10, 2, tokenizer="café", domain="web")
    counter.add_input("b", 0, 2)
    counter.add_input("a", 5, 7)
    counter.write(path)
    content = path.read_bytes()
    (size,) = struct.unpack_from("<Q", content, 72)
    assert json.loads(content[80 : 80 + size]) == {
        "boundary": "document",
        "tokenizer": "café",
        "domain": "web",
        "inputs": [["a", 5, 7], ["b", 0, 2]],
    }


def test_paths_that_cannot_be_read_or_written_are_named(tmp_path: Path) -> None:
    counter = counted([[1]], 10, 2)
    with pytest.raises(InputError, match="there is no folder"):
        counter.write(tmp_path / "no" / "a.mlc")
    with pytest.raises(InputError, match="it is no regular file"):
        counter.write(tmp_path)
    with pytest.raises(FileNotFoundError) as absent:
        NgramCounter.read(tmp_path / "absent.mlc")
    assert (absent.value.errno, absent.value.filename) == (errno.ENOENT, str(tmp_path / "absent.mlc"))
    with pytest.raises(InputError, match="byte 0: not a file"):
        NgramCounter.read(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="byte 0: not a file"):
        NgramCounter.read(tmp_path / "pipe")
    (tmp_path / "text").write_text("x" * 1000)
    with pytest.raises(InputError, match="byte 0: not a count file: it does not begin as one"):
        counter.merge_file(tmp_path / "text")


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.mlc"
    counted([[1, 2, 3]], 10, 2).write(path)
    before = path.read_bytes()
    rng = np.random.default_rng(4)
    counter = NgramCounter(2**31)
    counter.update(rng.integers(0, 2**31, 100_000))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        with pytest.raises(OSError, match="File too large") as full:
            counter.write(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert full.value.errno == errno.EFBIG
    assert Path(full.value.filename).parent == tmp_path
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["a.mlc"]
    counter.write(path)
    check_equal(NgramCounter.read(path), counter)


def test_inputs_of_counters_that_several_threads_merge_are_all_recorded() -> None:
    into = NgramCounter(10)
    others = []
    for number in range(12):
        other = counted([[1, 2, 3]], 10, 2)
        other.add_input(f"file{number}", 0, 3)
        others.append(other)
    threads = [threading.Thread(target=into.merge, args=(other,)) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(into.inputs) == 12
    assert into.total(1) == 36


def test_pages_of_a_file_leave_the_process_as_they_are_read(tmp_path: Path) -> None:
    counter = NgramCounter(2**16, threads=1)
    counter.update(np.random.default_rng(0).integers(0, 2**16, 6_000_000, dtype=np.uint16))
    counter.write(tmp_path / "a.mlc")
    size = (tmp_path / "a.mlc").stat().st_size
    assert size > 16e6
    read = NgramCounter.read(tmp_path / "a.mlc", threads=1)

    def mapped() -> int:
        found = re.search(r"^RssFile:\s+([0-9]+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
        assert found
        return 1024 * int(found[1])

    before = mapped()
    assert read.count_of_counts(2)[1].sum() == counter.distinct(2)
    assert mapped() - before < size / 4
