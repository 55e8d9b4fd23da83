"""Megatron's indexed datasets, written here by the description of the format and by nothing of the package."""

import struct
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlaw import InputError
from mixlaw.corpus import TokenSource
from mixlaw.reading import MegatronFiles, megatron, tokenfiles

Read = Callable[..., list[list[int]]]
Check = Callable[[TokenSource, int], int]
# Code, and how `struct` calls the type.
TYPES = {"uint8": (1, "B"), "int32": (4, "i"), "int64": (5, "q"), "uint16": (8, "H"), "uint32": (9, "I")}


def write(
    path: Path,
    sequences: Sequence[Sequence[int]],
    documents: Sequence[int] | None = None,
    kind: str = "uint16",
    **change: Any,
) -> str:
    """Write ``path`` and its index; `change` overrides a field of the index."""
    code, letter = TYPES[kind]
    size = struct.calcsize(letter)
    fields: dict[str, Any] = {
        "magic": b"MMIDIDX\0\0",
        "version": 1,
        "code": code,
        "sizes": [len(sequence) for sequence in sequences],
        "documents": list(range(len(sequences) + 1)) if documents is None else list(documents),
    }
    fields["pointers"] = [size * sum(fields["sizes"][:number]) for number in range(len(sequences))]
    fields["sequence_count"], fields["document_count"] = len(sequences), len(fields["documents"])
    fields |= change
    index = fields["magic"] + struct.pack("<Q", fields["version"]) + struct.pack("<B", fields["code"])
    index += struct.pack("<QQ", fields["sequence_count"], fields["document_count"])
    for letters, name in (("i", "sizes"), ("q", "pointers"), ("q", "documents")):
        index += struct.pack(f"<{len(fields[name])}{letters}", *fields[name])
    path.with_suffix(".idx").write_bytes(index)
    tokens = [token for sequence in sequences for token in sequence]
    path.write_bytes(struct.pack(f"<{len(tokens)}{letter}", *tokens))
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("megatron")


@st.composite
def datasets(draw: st.DrawFn) -> tuple[list[list[int]], list[int]]:
    """Sequences, some empty, and a document index over them, in which documents may be empty or of several."""
    sequences = draw(st.lists(st.lists(st.integers(0, 8), max_size=6), max_size=7))
    inner = draw(st.lists(st.integers(0, len(sequences)), max_size=5))
    return sequences, [0, *sorted(inner), len(sequences)]


@given(
    files=st.lists(datasets(), min_size=1, max_size=3),
    kind=st.sampled_from(sorted(TYPES)),
    size=st.integers(3, 9),
    eod=st.none() | st.integers(0, 9),
)
def test_documents_are_those_of_the_index_and_can_be_entered_at_any_chunk(
    folder: Path,
    documents_of: Read,
    check_resuming: Check,
    files: list[tuple[list[list[int]], list[int]]],
    kind: str,
    size: int,
    eod: int | None,
) -> None:
    expected: list[list[int]] = []
    paths = []
    for number, (sequences, index) in enumerate(files):
        paths.append(write(folder / f"{number}.bin", sequences, index, kind))
        for begin, end in pairwise(index):
            parts: list[list[int]] = [[]]
            for token in (token for sequence in sequences[begin:end] for token in sequence):
                if token == eod:
                    parts.append([])
                else:
                    parts[-1].append(token)
            expected += [part for part in parts if part]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenfiles, "MAX_CHUNK", size)
        patch.setattr(tokenfiles, "BLOCK", size)
        patch.setattr(megatron, "BLOCK", 3)
        source = MegatronFiles(paths, 9, eod)
        assert documents_of(source) == expected
        check_resuming(source, 1)


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_tokens_of_every_type_are_used_where_they_lie(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a.bin", [[1, 2], [], [3]], [0, 1, 3], kind)
    (shard,) = MegatronFiles([path], 4).shards()
    assert isinstance(shard.tokens, np.memmap)
    assert (shard.tokens.dtype, shard.tokens.tolist(), shard.offsets.tolist()) == (kind, [1, 2, 3], [0, 2, 3])
    assert shard.offsets.dtype == np.int64
    (chunk,) = MegatronFiles([path], 4).chunks(None, 1)
    assert isinstance(chunk.tokens, np.memmap)


def test_appended_marks_are_neither_tokens_nor_needed(tmp_path: Path, documents_of: Read) -> None:
    path = write(tmp_path / "a.bin", [[1, 2, 9], [3], [9], [1, 9, 2, 9]])
    assert documents_of(MegatronFiles([path], 4, eod=9)) == [[1, 2], [3], [1], [2]]


def test_dataset_without_documents_has_no_tokens(tmp_path: Path, documents_of: Read) -> None:
    path = write(tmp_path / "a.bin", [])
    assert documents_of(MegatronFiles([path], 4)) == []
    assert [len(shard.tokens) for shard in MegatronFiles([path], 4).shards()] == [0]


def test_index_or_tokens_cut_off_anywhere_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.bin", [[1, 2], [3], [1]], [0, 1, 3])
    for name in ("a.idx", "a.bin"):
        whole = (tmp_path / name).read_bytes()
        for keep in range(len(whole)):
            (tmp_path / name).write_bytes(whole[:keep])
            with pytest.raises(
                InputError, match=r"a\.idx: (not an index of Megatron|truncated|.* it is truncated)|a\.bin: .*truncated"
            ):
                MegatronFiles([path], 4)
        (tmp_path / name).write_bytes(whole + b"\0\0")
        with pytest.raises(InputError, match=r"a\.(idx|bin): .*(appended|of another dataset)"):
            MegatronFiles([path], 4)
        (tmp_path / name).write_bytes(whole)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"magic": b"TNTIDX\0\0\0"}, r"a\.idx: not an index of Megatron: it begins with b'TNTIDX"),
        ({"version": 2}, r"a\.idx: version 2 of the format, expected 1"),
        (
            {"code": 0},
            r"a\.idx: dtype code 0 \(no integer type\), expected that of uint8, uint16, uint32, int32, int64",
        ),
        ({"code": 2}, r"dtype code 2 \(int8\)"),
        ({"code": 3}, r"dtype code 3 \(int16\)"),
        ({"code": 6}, r"dtype code 6 \(no integer type\)"),
        ({"code": 7}, r"dtype code 7 \(no integer type\)"),
        ({"code": 10}, r"dtype code 10 \(uint64\)"),
        ({"code": 255}, r"dtype code 255 \(no integer type\)"),
        ({"code": 4}, r"the sequence at index 1 begins at byte 4 and not at 8"),
        ({"code": 1}, r"the sequence at index 1 begins at byte 4 and not at 2"),
        ({"sequence_count": 4}, r"4 sequences and a document index of 4 take 114 bytes, found 102: it is truncated"),
        (
            {"sequence_count": 2},
            r"2 sequences .* take 90 bytes, found 102: it is multimodal, or something was appended",
        ),
        ({"sequence_count": 2**64 - 1, "document_count": 2**64 - 1}, r"18446744073709551615 sequences .* truncated"),
        ({"document_count": 5}, r"document index of 5 take 110 bytes, found 102: it is truncated"),
        ({"document_count": 0}, r"document index of 0 take 70 bytes, found 102"),
        ({"document_count": 0, "documents": []}, r"a\.idx: document borders begin with 0, these are none"),
        ({"sizes": [2, -1, 2]}, r"the sequence at index 1 has -1 tokens"),
        ({"sizes": [2, 1, 2]}, r"a\.bin: holds 8 bytes, but .*a\.idx describes 5 tokens of 2 bytes, 10 in all"),
        ({"sizes": [1, 2, 1]}, r"the sequence at index 1 begins at byte 4 and not at 2, where the one before it ends"),
        ({"pointers": [2, 4, 6]}, r"the sequence at index 0 begins at byte 2 and not at 0"),
        ({"pointers": [0, 6, 4]}, r"the sequence at index 1 begins at byte 6 and not at 4"),
        ({"pointers": [0, 4, 8]}, r"the sequence at index 2 begins at byte 8 and not at 6"),
        ({"pointers": [0, -4, 6]}, r"the sequence at index 1 begins at byte -4 and not at 4"),
        ({"documents": [1, 1, 2, 3]}, r"document borders begin with 0, these do not"),
        ({"documents": [0, 2, 1, 3]}, r"the borders never fall, but at index 2 1 follows 2"),
        ({"documents": [0, 4, 4, 3]}, r"the borders never fall, but at index 3 3 follows 4"),
        ({"documents": [0, -1, 2, 3]}, r"the borders never fall, but at index 1 -1 follows 0"),
        ({"documents": [0, 1, 2, 2]}, r"the borders end at 2 but the file holds 3 sequences"),
        ({"documents": [0, 1, 2, 4]}, r"the borders end at 4 but the file holds 3 sequences"),
    ],
)
def test_wrong_field_of_the_index_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "a.bin", [[1, 2], [3], [1]], **change)
    with pytest.raises(InputError, match=message):
        MegatronFiles([path], 4)


def test_wrong_place_is_found_behind_the_first_sequences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(megatron, "BLOCK", 3)
    path = write(tmp_path / "a.bin", [[1]] * 8, pointers=[0, 2, 4, 6, 8, 10, 12, 16])
    with pytest.raises(InputError, match="the sequence at index 7 begins at byte 16 and not at 14"):
        MegatronFiles([path], 4)
    path = write(tmp_path / "a.bin", [[1]] * 8, sizes=[1, 1, 1, 1, 1, -2, 1, 1])
    with pytest.raises(InputError, match="the sequence at index 5 has -2 tokens"):
        MegatronFiles([path], 4)


@given(st.data())
def test_damaged_index_is_refused_or_read_but_never_crashes(folder: Path, data: st.DataObject) -> None:
    path = write(folder / "damaged.bin", [[1, 2], [3], [], [1]], [0, 1, 2, 4])
    index = folder / "damaged.idx"
    content = bytearray(index.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    index.write_bytes(content)
    try:
        source = MegatronFiles([path], 4)
    except InputError as error:
        assert "damaged." in str(error)  # noqa: PT017 - both ends are allowed
    else:
        assert sum(len(chunk.tokens) for chunk in source.chunks(None, 0)) == 4


def test_absent_parts_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.bin", [[1]])
    with pytest.raises(InputError, match=r"a\.idx: a dataset of Megatron is named by its \.bin file"):
        MegatronFiles([str(tmp_path / "a.idx")], 4)
    (tmp_path / "a.idx").unlink()
    with pytest.raises(InputError, match=r"a\.idx: cannot be read \(No such file"):
        MegatronFiles([path], 4)
    with pytest.raises(InputError, match=r"b\.bin: cannot be read \(No such file"):
        MegatronFiles([str(tmp_path / "b.bin")], 4)
