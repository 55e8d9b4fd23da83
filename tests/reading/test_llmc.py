"""Token files of llm.c, written here by the description of their header."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mixlaw import InputError
from mixlaw.corpus import TokenSource
from mixlaw.reading import LlmcFiles, tokenfiles

Read = Callable[..., list[list[int]]]
Check = Callable[[TokenSource, int], int]


def write(path: Path, tokens: list[int], magic: int = 20240520, version: int = 1, count: int | None = None) -> str:
    header = struct.pack("<256i", magic, version, len(tokens) if count is None else count, *[0] * 253)
    path.write_bytes(header + struct.pack(f"<{len(tokens)}{'I' if magic == 20240801 else 'H'}", *tokens))
    return str(path)


@pytest.mark.parametrize(
    ("magic", "version", "dtype", "largest"), [(20240520, 1, "uint16", 65535), (20240801, 7, "uint32", 2**32 - 1)]
)
def test_tokens_are_used_where_they_lie_as_the_header_says(
    tmp_path: Path, magic: int, version: int, dtype: str, largest: int
) -> None:
    path = write(tmp_path / "a.bin", [1, largest, 3], magic, version)
    (shard,) = LlmcFiles([path], 2**32).shards()
    assert isinstance(shard.tokens, np.memmap)
    assert (shard.tokens.dtype, shard.tokens.tolist(), shard.offsets.tolist()) == (dtype, [1, largest, 3], [0, 3])


def test_documents_stand_between_marks_and_can_be_entered_at_any_chunk(
    tmp_path: Path, documents_of: Read, check_resuming: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenfiles, "BLOCK", 2)
    paths = [
        write(tmp_path / "a.bin", [7, 1, 2, 3, 7, 7, 4, 5]),
        write(tmp_path / "b.bin", []),
        write(tmp_path / "c.bin", [7, 6]),
    ]
    source = LlmcFiles(paths, 7, eod=7)
    assert documents_of(source) == [[1, 2, 3], [4, 5], [6]]
    assert check_resuming(source, 1) > 3


def test_file_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.bin", [1, 2, 3])
    whole = (tmp_path / "a.bin").read_bytes()
    assert len(whole) == 1030
    for keep in [0, 1, 3, 4, 8, 12, 1023, 1024, 1025, 1027, 1028, 1029]:
        (tmp_path / "a.bin").write_bytes(whole[:keep])
        with pytest.raises(InputError, match=r"a\.bin: (truncated: \d+ bytes|the header says 3 tokens, but)"):
            LlmcFiles([path], 4)
    (tmp_path / "a.bin").write_bytes(whole + b"\0")
    with pytest.raises(InputError, match="says 3 tokens, but 1031 bytes hold 3 and a part of one"):
        LlmcFiles([path], 4)


@pytest.mark.parametrize(
    ("magic", "version", "count", "message"),
    [
        (20240522, 1, None, "not a token file of llm.c: it begins with 20240522, expected one of 20240520, 20240801"),
        (20240520, 7, None, "version 7 of the format, expected 1 for magic 20240520"),
        (20240801, 1, None, "version 1 of the format, expected 7 for magic 20240801"),
        (20240520, 1, 2, "the header says 2 tokens, but 1030 bytes hold 3"),
        (20240520, 1, 4, "the header says 4 tokens, but 1030 bytes hold 3"),
        (20240520, 1, -1, "the header says -1 tokens"),
    ],
)
def test_wrong_field_of_the_header_is_named(
    tmp_path: Path, magic: int, version: int, count: int | None, message: str
) -> None:
    path = write(tmp_path / "a.bin", [1, 2, 3], magic, version, count)
    with pytest.raises(InputError, match=rf"a\.bin: {message}"):
        LlmcFiles([path], 4)
