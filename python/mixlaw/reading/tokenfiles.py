"""Files of token ids, memory-mapped: ``.npy`` with or without an index of documents, and raw binary.

symbol   meaning                                                                shape  unit
is_mark  which tokens of a chunk are end-of-document ids                        (n,)   bool
marks    indices of those ids in a chunk, behind its history                    (k,)   tokens
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import numpy.typing as npt

from mixlaw.corpus import MAX_CHUNK, TOKEN_DTYPES, Offsets, Position, TokenChunk, Tokens, TokenShard, cut
from mixlaw.errors import InputError
from mixlaw.reading.documents import remaining

# Tokens of a file with end-of-document ids that are read at a time.
BLOCK = 2**24
# What numpy raises on a file that is truncated or whose header, a Python literal, is damaged.
_BROKEN_NPY = (ValueError, TypeError, SyntaxError, OverflowError, TokenError)


class TokenFiles(ABC):
    """A source of tokens in files that are opened one at a time: each memory map holds a file descriptor.

    Parameters
    ----------
    paths
        The files, in reading order.
    vocab_size
        Token ids are below it.
    eod
        The id that marks the end of a document, itself no token of one, beside the borders that the file's format has;
        None where there is none, and then a file without borders is one document.

    Raises
    ------
    InputError
        If a file cannot be opened, or is not what it should be.
    """

    def __init__(self, paths: Sequence[str], vocab_size: int, eod: int | None = None) -> None:
        self._paths = paths
        self._vocab_size = vocab_size
        self._eod = eod
        # Before anything is mapped, so that a file that is shorter later is one that has shrunk.
        self._sizes = {path: file_size(path) for path in paths}
        for path in paths:
            self._open(path)

    @abstractmethod
    def _open(self, path: str) -> TokenShard: ...

    def chunks(self, start: Position | None, context: int) -> Iterator[TokenChunk]:
        """See `TokenSource.chunks`; `start.offset` counts tokens of the file, end-of-document ids among them."""
        for path, first in remaining(self._paths, start):
            check_size(path, self._sizes[path], f"token {first}")
            shard = self._open(path)
            # Taking the marks out copies the rest.
            size = MAX_CHUNK if self._eod is None else context + BLOCK
            for chunk in cut(shard, first, context, size):
                check_size(path, self._sizes[path], f"token {chunk.start}")
                chunk = checked(chunk, self._vocab_size, self._eod)
                if len(chunk.tokens) > chunk.context:
                    yield chunk

    def shards(self) -> list[TokenShard]:
        """See `TokenSource.shards`; refused where documents are marked."""
        refuse_marks(self._eod)
        return [self._open(path) for path in self._paths]


class NpyFiles(TokenFiles):
    """One-dimensional ``.npy`` files; ``x.offsets.npy`` beside ``x.npy`` or ``x.tokens.npy`` holds their documents."""

    def _open(self, path: str) -> TokenShard:
        tokens = _map_npy(path)
        if tokens.dtype not in TOKEN_DTYPES:
            known = ", ".join(dtype.__name__ for dtype in TOKEN_DTYPES)
            raise InputError(f"{path}: holds {tokens.dtype}, expected token ids of dtype {known}")
        index = index_path(path)
        if not Path(index).exists():
            return TokenShard(tokens, _one_document(tokens), path)
        return TokenShard(tokens, _read_index(index, len(tokens)), path)


class RawFiles(TokenFiles):
    """Raw binary files of token ids in the byte order of the machine, without a header.

    Parameters
    ----------
    paths, vocab_size, eod
        As for `NpyFiles`.
    dtype
        What the files hold, one of `TOKEN_DTYPES`.
    """

    def __init__(self, paths: Sequence[str], vocab_size: int, dtype: str, eod: int | None = None) -> None:
        self._dtype = np.dtype(dtype)
        super().__init__(paths, vocab_size, eod)

    def _open(self, path: str) -> TokenShard:
        size = file_size(path)
        if size % self._dtype.itemsize:
            raise InputError(
                f"{path}: its {size} bytes are no multiple of the {self._dtype.itemsize} of dtype {self._dtype}: "
                "it is truncated, or of another dtype"
            )
        tokens = map_tokens(path, self._dtype, 0, size // self._dtype.itemsize)
        return TokenShard(tokens, _one_document(tokens), path)


def index_path(path: str) -> str:
    """Where the document borders of a ``.npy`` file stand, if it has any."""
    return path.removesuffix(".npy").removesuffix(".tokens") + ".offsets.npy"


def checked(chunk: TokenChunk, vocab_size: int, eod: int | None = None) -> TokenChunk:
    """Refuse ids outside the vocabulary, and take out those that mark the end of a document.

    Parameters
    ----------
    chunk
        Tokens, of which `start` counts those of `source`.
    vocab_size
        Token ids are below it, except marks.
    eod
        The mark; None where there is none, and then the chunk is returned as it is.
    """
    is_mark = None if eod is None else chunk.tokens == eod
    index = find_bad(chunk.tokens, vocab_size, is_mark)
    if index is not None:
        raise InputError(
            f"{chunk.source}: token {chunk.start - chunk.context + index} is {chunk.tokens[index]}, "
            f"which is no id of a vocabulary of {vocab_size}"
        )
    return chunk if is_mark is None else without_marks(chunk, is_mark)


def find_bad(tokens: Tokens, vocab_size: int, is_mark: npt.NDArray[np.bool_] | None = None) -> int | None:
    """Index of the first id that is outside the vocabulary and no mark; None if there is none."""
    # Unsigned, a negative id is a huge one: one pass finds both kinds.
    ids = tokens.view(f"u{tokens.itemsize}")
    if not len(ids) or ids.max() < vocab_size:
        return None
    bad = ids >= vocab_size
    if is_mark is not None:
        bad &= ~is_mark
    return int(bad.argmax()) if bad.any() else None


def without_marks(chunk: TokenChunk, is_mark: npt.NDArray[np.bool_]) -> TokenChunk:
    """Take the marked tokens out of a chunk and divide its documents there; history ends at its last mark."""
    marks = np.flatnonzero(is_mark)
    ended = int(np.searchsorted(marks, chunk.context))
    first = int(marks[ended - 1]) + 1 if ended else 0
    marks = marks[ended:] - first
    borders = np.maximum(chunk.offsets - first, 0)
    # A border moves by the marks that stood in front of it.
    moved = [borders - np.searchsorted(marks, borders), marks - np.arange(len(marks))]
    # Two sorted runs are merged by a stable sort many times faster than `np.unique` finds what is in them.
    offsets = np.sort(np.concatenate(moved), kind="stable")
    offsets = offsets[np.concatenate([[True], offsets[1:] > offsets[:-1]])]
    tokens = chunk.tokens[first:][~is_mark[first:]]
    return TokenChunk(tokens, offsets, chunk.context - first, chunk.source, chunk.start)


def refuse_marks(eod: int | None) -> None:
    """Refuse random access to tokens among which there are marks."""
    if eod is not None:
        raise InputError(
            f"documents that end with a mark (eod: {eod}) have no token shards: write them with "
            "`mixlaw tokenize` and use the corpus.yaml it makes"
        )


def file_size(path: str) -> int:
    """Bytes of a file; `InputError` if it is not there."""
    try:
        return os.stat(path).st_size
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def read_head(path: str, size: int) -> bytes:
    """The first `size` bytes of a file, or all if it has fewer."""
    try:
        with open(path, "rb") as file:
            return file.read(size)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def check_size(path: str, size: int, place: str) -> None:
    """Refuse a file that is gone or has lost bytes since it had `size`: what a memory map has lost ends the process."""
    try:
        now = os.stat(path).st_size
    except OSError as error:
        raise InputError(f"{path}: cannot be read on at {place} ({error.strerror or error})") from error
    if now < size:
        raise InputError(f"{path}: shrank from {size} to {now} bytes while it was in use, found at {place}")


def map_tokens(path: str, dtype: npt.DTypeLike, offset: int, count: int) -> Tokens:
    """Map `count` values of a file from byte `offset` on."""
    if not count:
        return np.empty(0, dtype)  # nothing cannot be mapped
    try:
        return np.memmap(path, dtype, "r", offset, (count,))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error


def _map_npy(path: str) -> Tokens:
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except _BROKEN_NPY as error:
        raise InputError(f"{path}: not a whole .npy file ({error})") from error
    if array.ndim != 1:
        raise InputError(f"{path}: expected an array of one dimension, found shape {array.shape}")
    return array


def _read_index(path: str, length: int) -> Offsets:
    """Read the document borders of a file of `length` tokens."""
    offsets = _map_npy(path)
    if offsets.dtype.kind not in "iu":
        raise InputError(f"{path}: expected document borders of dtype int64, found {offsets.dtype}")
    check_borders(offsets, length, path, "tokens")
    return offsets.astype(np.int64, copy=False)


def check_borders(borders: npt.NDArray[Any], length: int, path: str, unit: str) -> None:
    """Refuse document borders that do not begin with 0, fall, or do not end at `length`, the number of `unit`."""
    if not len(borders) or borders[0] != 0:
        raise InputError(f"{path}: document borders begin with 0, these {'do not' if len(borders) else 'are none'}")
    if borders[-1] != length:
        raise InputError(f"{path}: the borders end at {borders[-1]} but the file holds {length} {unit}")
    falls = borders[1:] < borders[:-1]
    if falls.any():
        index = int(falls.argmax())
        raise InputError(
            f"{path}: the borders never fall, but at index {index + 1} {borders[index + 1]} follows {borders[index]}"
        )


def _one_document(tokens: Tokens) -> Offsets:
    return np.array([0, len(tokens)], np.int64)
