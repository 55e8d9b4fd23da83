"""Tokenizers: a ``tokenizer.json`` of the `tokenizers` library, or bytes as they are.

Neither adds tokens of its own: no beginning or end of a document, whatever the file's post-processor says.
"""

import hashlib
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mixlaw.corpus import Offsets, Tokens
from mixlaw.errors import InputError, require
from mixlaw.reading.documents import Bytes, borders_of, decoded

# Documents that `tokenizers` encodes at a time; it needs about 100 bytes a token and more a document.
BATCH = 2**14


class Tokenizer(Protocol):
    """What turns texts into token ids.

    Attributes
    ----------
    name
        What it is, for the record: equal names mean equal tokenizers.
    vocab_size
        All ids are below it.
    """

    name: str
    vocab_size: int

    def encode(self, data: Bytes, borders: Offsets) -> tuple[Tokens, Offsets]:
        """Encode documents: ids, shape (n,), and where documents begin and end in them, int64, shape (d + 1,).

        Parameters
        ----------
        data
            UTF-8 text of all documents, end to end, uint8.
        borders
            Where they begin and end in `data`, shape (d + 1,), bytes.
        """
        ...


class ByteTokenizer:
    """Every byte of the UTF-8 text is a token: vocabulary 256, dtype uint8, no extras needed."""

    name = "bytes"
    vocab_size = 256

    def encode(self, data: Bytes, borders: Offsets) -> tuple[Tokens, Offsets]:
        """See `Tokenizer.encode`."""
        return data, borders


class FileTokenizer:
    """A ``tokenizer.json``; batches are encoded in parallel by the library.

    Truncation and padding that the file asks for are switched off: tokens are counted, not shaped. `content` is what
    the file holds.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    InputError
        If the file cannot be read or is no tokenizer.
    MissingDependencyError
        If `tokenizers` is not installed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.content = read_bytes(path)
        tokenizers = require("tokenizers", "data")
        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(self.content.decode())
        except Exception as error:  # the library raises nothing more precise
            raise InputError(f"{path}: not a tokenizer.json ({error})") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        ids = self._tokenizer.get_vocab(with_added_tokens=True).values()
        if not ids:
            raise InputError(f"{path}: the tokenizer has an empty vocabulary")
        # The library's own vocabulary size counts entries, which is too small where ids have gaps.
        self.vocab_size: int = max(ids) + 1
        self.name = record(self.content)
        self._dtype = token_dtype(self.vocab_size)

    def encode(self, data: Bytes, borders: Offsets) -> tuple[Tokens, Offsets]:
        """See `Tokenizer.encode`."""
        parts = []
        for first in range(0, len(borders) - 1, BATCH):
            texts = decoded(data, borders[first : first + BATCH + 1])
            encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
            parts += [np.array(encoding.ids, self._dtype) for encoding in encodings]
        return (np.concatenate(parts) if parts else np.empty(0, self._dtype)), borders_of([len(part) for part in parts])

    def added_tokens(self) -> list[str]:
        """Texts that are one token wherever they stand."""
        return [token.content for token in self._tokenizer.get_added_tokens_decoder().values()]


def record(content: bytes) -> str:
    """Name a ``tokenizer.json`` by the hash of its content, wherever it lies."""
    return f"tokenizer.json sha256:{hashlib.sha256(content).hexdigest()}"


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Content of a tokenizer file.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: the tokenizer cannot be read ({error.strerror or error})") from error


def token_dtype(vocab_size: int) -> npt.DTypeLike:
    """Smallest dtype that holds every id below `vocab_size`."""
    dtypes: list[type[Any]] = [np.uint8, np.uint16, np.uint32]
    return next((dtype for dtype in dtypes if vocab_size - 1 <= np.iinfo(dtype).max), np.int64)
