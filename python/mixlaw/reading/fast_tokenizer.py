"""A ``tokenizer.json`` in the hands of `gigatoken`, which is many times faster than `tokenizers`, as long as ids agree.

`tokenizers` defines what the ids are. Before `gigatoken` is used it has to give the same on a sample of what tokenizers
trip over and on every added token; after that, on a piece of every batch. Documents in which the two may differ because
they know different versions of Unicode are left to `tokenizers`.
"""

import importlib.util
import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mixlaw.corpus import Offsets, Tokens
from mixlaw.errors import require
from mixlaw.reading.documents import Bytes, borders_of
from mixlaw.reading.tokenizer import ByteTokenizer, FileTokenizer, Tokenizer, token_dtype

# What is compared of every batch, in bytes: `tokenizers` takes a hundredth of the time of a batch for it.
GLANCE = 2**10
# Bytes behind which the library starts anew: it remembers every word that it has seen, without bound.
RENEW = 2**32
# Characters of a text that a notice shows.
SHOWN = 60
SAMPLE = (
    "",
    " ",
    "It's a test: don't, WE'LL and I'Ve, x'S 'ſ.",
    "one  two   three\t\tfour\r\nfive\r\n\r\n   six \n\n\n seven \u00a0eight\u2009nine\u3000ten\u2028eleven\x85",
    "def f(x_1, *args):\n    if x > 0:\n\t\treturn [x**2 for x in range(10)]  # note\n\n\nf(1_000, 3.14e-10)\n",
    "https://a.example/b?c=d&e=f#g, name@host.example: 50 % of $1,234,567.89 (2020-01-01T00:00:00Z)",
    "½ ² Ⅷ ٣٤٥ 1 12 123 1234 12345678901",
    "Façade façade ﬁn Å Å Å naïve Straße STRASSE İstanbul ıI ǆ ẛ̣ a\u0315\u0300\u05ae\u0301b",
    "Привет, мир! Γειά σου Κόσμε. שלום עולם مرحبا بالعالم नमस्ते दुनिया สวัสดีชาวโลก",
    "你好，世界。こんにちは、世界！안녕하세요 각 각",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308 \U0001f1e9\U0001f1ea "
    "\U0001f44d\U0001f3fd \U0001d4d0\U0001d7d8 \U00020000",
    "\x00\x01\x1c\x1f\x7f \ufeff\ufffd\u200b\u00ad\U0010ffff\ue000",
    "camelCase HTTPServer snake_case kebab-case UPPER lower MiXeD a1b2c3 x=-y; a->b; {}[]();:,.<>/?!@#$%^&*-+=|~`'\"\\",
    "a" * 1271 + " " * 255 + "=" * 255 + "\n" * 63 + "ab" * 63 + " x" * 63,
    "\u2581 a\u2581b \u2581\u2581 <0x41> <unk> <s></s> [UNK] <|endoftext|>",
)


class FastTokenizer:
    """Gives the ids of a `FileTokenizer` in less time; where ids turn out to differ, a warning, and those of the other.

    Parameters
    ----------
    slow
        The tokenizer; its ids are the right ones.

    Raises
    ------
    MissingDependencyError
        If `gigatoken` is not installed.
    DifferentIdsError
        If `gigatoken` cannot read the file, or gives other ids for the sample.
    """

    def __init__(self, slow: FileTokenizer) -> None:
        self._gigatoken = require("gigatoken", "fast-tokenizer")
        self._awkward = require("awkward", "fast-tokenizer")
        self._slow = slow
        self._dtype = token_dtype(slow.vocab_size)
        self.name = slow.name
        self.vocab_size = slow.vocab_size
        self._fast: Any = None
        self._given = 0
        self._start()
        tokens = slow.added_tokens()
        texts = (*SAMPLE, *(f"a{token}b {token} {token}{token}\n{token}1" for token in tokens))
        self._compare([text.encode() for text in texts])

    def encode(self, data: Bytes, borders: Offsets) -> tuple[Tokens, Offsets]:
        """See `Tokenizer.encode`."""
        if self._fast is None or len(borders) == 1:
            return self._slow.encode(data, borders)
        middle = (len(borders) - 1) // 2
        glance = data[borders[middle] : borders[middle + 1]][:GLANCE].tobytes()
        try:
            # Without the rest of a character that was cut.
            self._compare([glance.decode(errors="ignore").encode()])
        except DifferentIdsError as error:
            warnings.warn(f"{_notice(error)}; what came before it was not seen to differ", stacklevel=2)
            self._fast = None
            return self._slow.encode(data, borders)
        if self._given > RENEW:
            self._start()
        self._given += len(data)
        tokens, offsets = self._encode(data, borders)
        unsure = documents_with_young_scripts(data, borders)
        if not len(unsure):
            return tokens, offsets
        texts = [data[borders[k] : borders[k + 1]] for k in unsure]
        right, edges = self._slow.encode(np.concatenate(texts), borders_of([len(text) for text in texts]))
        return _with_replaced(tokens, offsets, unsure, right, edges)

    def _start(self) -> None:
        try:
            self._fast = self._gigatoken.Tokenizer.from_json(self._slow.content.decode())
        except Exception as error:
            raise DifferentIdsError(f"it cannot read this tokenizer.json ({str(error).splitlines()[0]})") from error
        self._given = 0

    def _encode(self, data: Bytes, borders: Offsets) -> tuple[Tokens, Offsets]:
        contents = self._awkward.contents
        characters = contents.NumpyArray(data, parameters={"__array__": "char"})
        index = self._awkward.index.Index64(borders)
        texts = contents.ListOffsetArray(index, characters, parameters={"__array__": "string"})
        ids = self._fast.encode_batch(self._awkward.Array(texts))
        tokens = self._awkward.to_numpy(self._awkward.flatten(ids)).astype(self._dtype, copy=False)
        return tokens, borders_of(self._awkward.to_numpy(self._awkward.num(ids)))

    def _compare(self, texts: Sequence[bytes]) -> None:
        data, borders = np.frombuffer(b"".join(texts), np.uint8), borders_of([len(text) for text in texts])
        expected, right = self._slow.encode(data, borders)
        found, ours = self._encode(data, borders)
        if np.array_equal(ours, right) and np.array_equal(found, expected):
            return
        for text, a, b, c, d in zip(texts, right[:-1], right[1:], ours[:-1], ours[1:], strict=True):
            if not np.array_equal(found[c:d], expected[a:b]):
                raise DifferentIdsError(f"it gives other ids for {_difference(text, expected[a:b], found[c:d])}")


class DifferentIdsError(ValueError):
    """`gigatoken` is not the same tokenizer as `tokenizers`."""


def documents_with_young_scripts(data: Bytes, borders: Offsets) -> npt.NDArray[np.int64]:
    """Indices of the documents with a character of the planes 1 to 3 whose kind a new version of Unicode may set.

    These are U+10000 to 1CFFF, 1E000 to 1EFFF and 2F000 to 3FFFF, where scripts are added: what one library takes for a
    letter, the other does not know. Between them are mathematical letters, symbols (emoji) and Chinese, which stay.
    """
    leads = np.flatnonzero(data == 0xF0)
    seconds = data[leads + 1]
    settled = (seconds == 0x9D) | (seconds == 0x9F) | ((seconds >= 0xA0) & (seconds <= 0xAE))
    return np.unique(np.searchsorted(borders, leads[~settled], side="right") - 1)


def _with_replaced(
    tokens: Tokens, offsets: Offsets, documents: npt.NDArray[np.int64], others: Tokens, edges: Offsets
) -> tuple[Tokens, Offsets]:
    """Put the ids of other documents, with borders `edges`, in the place of those of `documents`."""
    parts = []
    done = 0
    for k, document in enumerate(documents):
        parts += [tokens[done : offsets[document]], others[edges[k] : edges[k + 1]]]
        done = offsets[document + 1]
    lengths = np.diff(offsets)
    lengths[documents] = np.diff(edges)
    return np.concatenate([*parts, tokens[done:]]), borders_of(lengths)


def load_tokenizer(name: str | os.PathLike[str]) -> Tokenizer:
    """Make a tokenizer: ``"bytes"``, or the path of a ``tokenizer.json``, which `gigatoken` reads if it can."""
    if name == ByteTokenizer.name:
        return ByteTokenizer()
    slow = FileTokenizer(name)
    if importlib.util.find_spec("gigatoken") is None:
        return slow
    try:
        return FastTokenizer(slow)
    except DifferentIdsError as error:
        warnings.warn(_notice(error), stacklevel=2)
        return slow


def _notice(reason: DifferentIdsError) -> str:
    return f"gigatoken is not used, and text is tokenised by `tokenizers`, which is slower: {reason}"


def _difference(text: bytes, expected: Tokens, found: Tokens) -> str:
    """Word where the ids of a text differ first."""
    shown = text.decode()
    shown = repr(shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}…")
    same = min(len(expected), len(found))
    first = next((k for k in range(same) if expected[k] != found[k]), same)
    ids = [tokens[first : first + 3].tolist() for tokens in (found, expected)]
    return f"{shown} (at token {first}: {ids[0]} and not {ids[1]})"
