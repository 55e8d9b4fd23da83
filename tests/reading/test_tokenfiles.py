import contextlib
from collections.abc import Callable
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlaw import InputError
from mixlaw.corpus import TOKEN_DTYPES, Position, TokenSource
from mixlaw.reading import NpyFiles, RawFiles, tokenfiles

Read = Callable[..., list[list[int]]]
Check = Callable[[TokenSource, int], int]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokenfiles")


def write_npy(path: Path, documents: list[list[int]], dtype: Any = np.uint16, index: bool = True) -> str:
    np.save(path, np.array(list(chain.from_iterable(documents)), dtype))
    if index:
        lengths = [len(document) for document in documents]
        np.save(tokenfiles.index_path(str(path)), np.cumsum([0, *lengths], dtype=np.int64))
    return str(path)


@settings(deadline=None)
@given(
    files=st.lists(st.lists(st.lists(st.integers(0, 8), max_size=6), max_size=5), min_size=1, max_size=3),
    size=st.integers(3, 9),
    context=st.integers(0, 2),
)
def test_indexed_files_give_their_documents_and_can_be_entered_at_any_chunk(
    folder: Path, documents_of: Read, check_resuming: Check, files: list[list[list[int]]], size: int, context: int
) -> None:
    paths = [write_npy(folder / f"{number}.npy", documents) for number, documents in enumerate(files)]
    source = NpyFiles(paths, 9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenfiles, "MAX_CHUNK", size)
        if context:
            assert documents_of(source, context=context) == [item for documents in files for item in documents if item]
        check_resuming(source, context)


@settings(deadline=None)
@given(
    files=st.lists(st.lists(st.integers(0, 3), max_size=20), min_size=1, max_size=3),
    eod=st.integers(0, 4),
    block=st.integers(1, 7),
    context=st.integers(0, 3),
    suffix=st.sampled_from(["npy", "bin"]),
)
def test_marked_files_give_what_stands_between_the_marks(
    folder: Path,
    documents_of: Read,
    check_resuming: Check,
    files: list[list[int]],
    eod: int,
    block: int,
    context: int,
    suffix: str,
) -> None:
    paths = [str(folder / f"marked{number}.{suffix}") for number in range(len(files))]
    for path, tokens in zip(paths, files, strict=True):
        array = np.array(tokens, np.int32)
        np.save(path, array) if suffix == "npy" else array.tofile(path)
    source = NpyFiles(paths, 4, eod) if suffix == "npy" else RawFiles(paths, 4, "int32", eod)
    between = [
        list(group) for tokens in files for is_mark, group in groupby(tokens, lambda token: token == eod) if not is_mark
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenfiles, "BLOCK", block)
        if context:
            assert documents_of(source, context=context) == between
        check_resuming(source, context)
        for chunk in source.chunks(None, context):
            assert eod not in chunk.tokens
            assert len(chunk.tokens) > chunk.context


def test_marks_may_stand_outside_the_vocabulary(tmp_path: Path, documents_of: Read) -> None:
    np.array([1, 2, 65535, 0, 65535], np.uint16).tofile(tmp_path / "a.bin")
    assert documents_of(RawFiles([str(tmp_path / "a.bin")], 3, "uint16", 65535)) == [[1, 2], [0]]


def test_file_without_index_or_marks_is_one_document(tmp_path: Path, documents_of: Read) -> None:
    np.array([3, 1, 2], np.uint8).tofile(tmp_path / "a.bin")
    np.array([], np.uint8).tofile(tmp_path / "b.bin")
    raw = RawFiles([str(tmp_path / "a.bin"), str(tmp_path / "b.bin")], 4, "uint8")
    assert documents_of(raw) == [[3, 1, 2]]
    assert [shard.offsets.tolist() for shard in raw.shards()] == [[0, 3], [0, 0]]
    npy = NpyFiles([write_npy(tmp_path / "a.npy", [[3, 1, 2]], index=False)], 4)
    assert documents_of(npy) == [[3, 1, 2]]


@pytest.mark.parametrize("dtype", TOKEN_DTYPES)
def test_every_token_dtype_is_read_without_copying(tmp_path: Path, dtype: type) -> None:
    write_npy(tmp_path / "a.tokens.npy", [[1, 2], [3]], dtype)
    (shard,) = NpyFiles([str(tmp_path / "a.tokens.npy")], 4).shards()
    assert isinstance(shard.tokens, np.memmap)
    assert (shard.tokens.dtype, shard.tokens.tolist(), shard.offsets.tolist()) == (dtype, [1, 2, 3], [0, 2, 3])
    (chunk,) = NpyFiles([str(tmp_path / "a.tokens.npy")], 4).chunks(None, 1)
    assert isinstance(chunk.tokens, np.memmap)


@pytest.mark.parametrize("name", ["x.npy", "x.tokens.npy"])
def test_index_of_a_token_file_stands_beside_it(name: str) -> None:
    assert tokenfiles.index_path(f"some/{name}") == "some/x.offsets.npy"


@pytest.mark.parametrize("keep", [0, 3, 9, 20, 127, 128, 129, 157])
def test_truncated_npy_is_named(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a.npy"
    write_npy(path, [list(range(15))], index=False)
    assert path.stat().st_size == 158
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"a\.npy: not a whole \.npy file \("):
        NpyFiles([str(path)], 15)


@settings(deadline=None)
@given(st.data())
def test_damaged_npy_header_is_refused_or_read_but_never_crashes(folder: Path, data: st.DataObject) -> None:
    path = folder / "damaged.npy"
    write_npy(path, [list(range(15))], index=False)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, 127))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    # What survives the damage is a file of ids below 15, or an error that names the file.
    with contextlib.suppress(InputError):
        for chunk in NpyFiles([str(path)], 15).chunks(None, 1):
            assert chunk.tokens.max() < 15


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 3), np.uint16), r"expected an array of one dimension, found shape \(2, 3\)"),
        (np.zeros(3, np.float32), "holds float32, expected token ids of dtype uint8, uint16"),
        (np.zeros(3, ">u2"), "holds >u2, expected token ids"),
        (np.array([None]), r"not a whole \.npy file \(Array can't be memory-mapped"),
    ],
)
def test_npy_that_holds_no_token_ids_is_refused(tmp_path: Path, array: Any, message: str) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError, match=rf"a\.npy: {message}"):
        NpyFiles([str(tmp_path / "a.npy")], 9)


@pytest.mark.parametrize(
    ("offsets", "message"),
    [
        (np.array([0, 2]), "the borders end at 2 but the file holds 3 tokens"),
        (np.array([0, 4]), "the borders end at 4 but the file holds 3 tokens"),
        (np.array([1, 3]), "document borders begin with 0, these do not"),
        (np.array([], np.int64), "document borders begin with 0, these are none"),
        (np.array([0, 2, 1, 3]), "the borders never fall, but at index 2 1 follows 2"),
        (np.array([0, 2, 1, 3], np.uint64), "the borders never fall, but at index 2 1 follows 2"),
        (np.array([0.0, 3.0]), "expected document borders of dtype int64, found float64"),
        (np.array([[0, 3]]), r"expected an array of one dimension, found shape \(1, 2\)"),
    ],
)
def test_wrong_index_is_refused(tmp_path: Path, offsets: Any, message: str) -> None:
    path = write_npy(tmp_path / "a.tokens.npy", [[1, 2, 3]])
    np.save(tmp_path / "a.offsets.npy", offsets)
    with pytest.raises(InputError, match=rf"a\.offsets\.npy: {message}"):
        NpyFiles([path], 4)


def test_marks_beside_an_index_are_taken_out(tmp_path: Path, documents_of: Read) -> None:
    path = write_npy(tmp_path / "a.tokens.npy", [[1, 2, 0], [3, 0], [0], [], [2, 0, 1], [3]])
    assert documents_of(NpyFiles([path], 4, eod=0)) == [[1, 2], [3], [2], [1], [3]]


def test_raw_file_of_a_broken_size_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"12345")
    with pytest.raises(InputError, match=r"a\.bin: its 5 bytes are no multiple of the 2 of dtype uint16"):
        RawFiles([str(tmp_path / "a.bin")], 9, "uint16")


@pytest.mark.parametrize("eod", [None, 7])
@pytest.mark.parametrize("value", [9, -1, 2**31 - 1])
@pytest.mark.parametrize("where", [0, 5, 12])
def test_id_outside_the_vocabulary_is_named_with_its_place_in_the_file(
    tmp_path: Path, eod: int | None, value: int, where: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenfiles, "BLOCK", 5)
    monkeypatch.setattr(tokenfiles, "MAX_CHUNK", 5)
    tokens = np.array([7, 8] * 7, np.int32)
    tokens[where] = value
    tokens.tofile(tmp_path / "b.bin")
    np.array([7, 8], np.int32).tofile(tmp_path / "a.bin")
    source = RawFiles([str(tmp_path / "a.bin"), str(tmp_path / "b.bin")], 9, "int32", eod)
    message = rf"b\.bin: token {where} is {value}, which is no id of a vocabulary of 9"
    with pytest.raises(InputError, match=message):
        list(source.chunks(None, 1))


@pytest.mark.parametrize("eod", [None, 0])
@pytest.mark.parametrize("offset", [-1, 4])
def test_start_outside_the_file_is_refused(tmp_path: Path, eod: int | None, offset: int) -> None:
    path = write_npy(tmp_path / "a.npy", [[1, 2, 3]], index=False)
    source = NpyFiles([path], 4, eod)
    with pytest.raises(InputError, match=rf"a\.npy: cannot start at token {offset}, it holds 3"):
        list(source.chunks(Position(path, offset), 1))


def test_marked_files_have_no_shards_and_say_how_to_make_them(tmp_path: Path) -> None:
    path = write_npy(tmp_path / "a.npy", [[1, 0, 3]], index=False)
    with pytest.raises(InputError, match=r"eod: 0\) have no token shards: write them with `mixlaw tokenize`"):
        NpyFiles([path], 4, 0).shards()


def test_absent_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.npy: cannot be read \(No such file"):
        NpyFiles([str(tmp_path / "a.npy")], 4)
    with pytest.raises(InputError, match=r"a\.bin: cannot be read \(No such file"):
        RawFiles([str(tmp_path / "a.bin")], 4, "uint8")


def test_many_files_are_not_held_open(tmp_path: Path) -> None:
    paths = [write_npy(tmp_path / f"{number}.npy", [[1]]) for number in range(255)]
    before = len(list(Path("/proc/self/fd").iterdir()))
    source = NpyFiles(paths, 4)
    chunks = source.chunks(None, 1)
    for _ in range(200):
        next(chunks)
    assert len(list(Path("/proc/self/fd").iterdir())) < before + 20
