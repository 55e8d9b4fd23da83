"""Megatron's indexed datasets: ``x.bin`` holds token ids, ``x.idx`` where sequences and documents begin.

The index, little-endian and packed (Megatron-LM, megatron/core/datasets/indexed_dataset.py; GPT-NeoX,
Megatron-DeepSpeed and datatrove write the same):

field      type    shape  meaning
magic      byte    (9,)   b"MMIDIDX" and two zeros
version    uint64  -      1
code       uint8   -      type of the token ids
S          uint64  -      number of sequences
D          uint64  -      length of `documents`, the number of documents + 1
sizes      int32   (S,)   tokens of each sequence
pointers   int64   (S,)   byte at which each sequence begins in the .bin file
documents  int64   (D,)   sequence with which each document begins; the last is S
"""

import struct

import numpy as np
import numpy.typing as npt

from mixlaw.corpus import TOKEN_DTYPES, Offsets, TokenShard
from mixlaw.errors import InputError
from mixlaw.reading.tokenfiles import TokenFiles, check_borders, file_size, map_tokens, read_head

MAGIC = b"MMIDIDX\x00\x00"
HEADER = struct.Struct("<9sQBQQ")
# Code -> type. 6 and 7 are floating-point types, in one order or the other; 9 and 10 are Megatron-DeepSpeed's alone.
CODES = {1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 8: "uint16", 9: "uint32", 10: "uint64"}
# Sequences whose places are checked at a time.
BLOCK = 2**20


class MegatronFiles(TokenFiles):
    """The ``.bin`` files of Megatron's indexed datasets, each with its ``.idx`` beside it, which holds the documents.

    The sequences have to stand in the order of the index and without gaps, as every writer leaves them: then the file
    is used as it lies. The borders of documents are held in memory, 8 bytes each.
    """

    def _open(self, path: str) -> TokenShard:
        if not path.endswith(".bin"):
            raise InputError(f"{path}: a dataset of Megatron is named by its .bin file")
        index = idx_path(path)
        dtype, sequences, documents = _read_header(index)
        place = HEADER.size
        sizes = map_tokens(index, "<i4", place, sequences)
        pointers = map_tokens(index, "<i8", place + 4 * sequences, sequences)
        starts = map_tokens(index, "<i8", place + 12 * sequences, documents)
        length = _check_sequences(index, sizes, pointers, dtype.itemsize)
        check_borders(starts, sequences, index, "sequences")
        size = file_size(path)
        if size != length * dtype.itemsize:
            raise InputError(
                f"{path}: holds {size} bytes, but {index} describes {length} tokens of {dtype.itemsize} bytes, "
                f"{length * dtype.itemsize} in all: one of them is truncated, or of another dataset"
            )
        return TokenShard(map_tokens(path, dtype, 0, length), _borders(starts, pointers, length, dtype.itemsize), path)


def idx_path(path: str) -> str:
    """Where the index of a ``.bin`` file stands."""
    return path.removesuffix(".bin") + ".idx"


def _read_header(index: str) -> tuple[np.dtype[np.integer], int, int]:
    """Type of the tokens, number of sequences and length of the document index, which fill the file exactly."""
    head = read_head(index, HEADER.size)
    if not head.startswith(MAGIC):
        raise InputError(f"{index}: not an index of Megatron: it begins with {head[: len(MAGIC)]!r}, not {MAGIC!r}")
    if len(head) < HEADER.size:
        raise InputError(f"{index}: truncated: {len(head)} bytes, of which the header alone takes {HEADER.size}")
    _, version, code, sequences, documents = HEADER.unpack(head)
    if version != 1:
        raise InputError(f"{index}: version {version} of the format, expected 1")
    known = [dtype.__name__ for dtype in TOKEN_DTYPES]
    if CODES.get(code) not in known:
        raise InputError(
            f"{index}: dtype code {code} ({CODES.get(code, 'no integer type')}), expected that of {', '.join(known)}"
        )
    expected = HEADER.size + 12 * sequences + 8 * documents
    size = file_size(index)
    if size != expected:
        what = "it is truncated" if size < expected else "it is multimodal, or something was appended"
        raise InputError(
            f"{index}: {sequences} sequences and a document index of {documents} take {expected} bytes, "
            f"found {size}: {what}"
        )
    return np.dtype(CODES[code]), sequences, documents


def _check_sequences(index: str, sizes: npt.NDArray[np.int32], pointers: Offsets, itemsize: int) -> int:
    """Check that the sequences follow each other without gaps; the tokens that they hold together."""
    length = 0
    for first in range(0, len(sizes), BLOCK):
        lengths = sizes[first : first + BLOCK].astype(np.int64)
        if lengths.min() < 0:
            at = int(lengths.argmin())
            raise InputError(f"{index}: the sequence at index {first + at} has {lengths[at]} tokens")
        ends = length + np.cumsum(lengths)
        begins = (ends - lengths) * itemsize
        found = pointers[first : first + BLOCK]
        wrong = found != begins
        if wrong.any():
            at = int(wrong.argmax())
            raise InputError(
                f"{index}: the sequence at index {first + at} begins at byte {found[at]} and not at {begins[at]}, "
                "where the one before it ends: only datasets whose sequences follow each other without gaps are read"
            )
        length = int(ends[-1])
    return length


def _borders(starts: Offsets, pointers: Offsets, length: int, itemsize: int) -> Offsets:
    """Token at which each document begins, and their end."""
    inside = starts < len(pointers)
    borders = np.full(len(starts), length, np.int64)
    borders[inside] = pointers[starts[inside]] // itemsize
    return borders
