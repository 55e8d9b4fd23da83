"""`HashedNgrams`: vectors of token n-grams by signed feature hashing, for want of a model.

symbol  meaning                                                              shape  unit
f       features of a passage: its distinct n-grams                          -      -
h       hash of an n-gram and its length                                     -      64 bits
j       coordinate of the n-gram, the top 31 bits of h times d / 2**31       -      -
s       its sign, by a lower bit of h                                        -      -1 or 1
c       how often the passage holds the n-gram                               -      n-grams
x       vector of the passage: x_j is the sum of s sqrt(c) over its f at j   (d,)   -

Feature hashing with signs: Weinberger et al., arXiv 0902.2206. The hash is made of the finaliser of splitmix64, in
integers alone, so that coordinates and signs are the same on every machine.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from mixlaw.corpus import Offsets, Tokens
from mixlaw.errors import InputError

Floats = npt.NDArray[np.float64]
Hashes = npt.NDArray[np.uint64]

# Bits of a hash that tell the n-grams of one passage apart; the rest of a 64-bit word holds the passage's number.
_BITS = 44
MAX_PASSAGES = 2 ** (64 - _BITS)


class HashedNgrams:
    """Embed passages by the n-grams of tokens in them: needs no model, and sees no meaning.

    Square roots keep frequent tokens from making all passages alike. Different n-grams share a coordinate by chance,
    with signs that make the expected product of two vectors that of the counts that they stand for.

    Parameters
    ----------
    dimension
        d, at most 2**31.
    order
        N-grams of 1 to `order` tokens, at most 16.
    passage
        Tokens of a passage, at most: longer documents are cut into equal passages by whoever embeds them.

    Raises
    ------
    InputError
        If an argument is out of range.

    Examples
    --------
    >>> vectors = HashedNgrams(64).embed(np.array([1, 2, 3, 3, 2, 1, 9], np.uint16), np.array([0, 3, 6, 7]))
    >>> (vectors @ vectors.T).round(3).tolist()
    [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """

    def __init__(self, dimension: int = 512, order: int = 1, *, passage: int = 256) -> None:
        for name, value, most in (("dimension", dimension, 2**31), ("order", order, 16), ("passage", passage, 2**31)):
            if not isinstance(value, int | np.integer) or not 1 <= value <= most:
                raise InputError(f"{name} must be a whole number from 1 to {most}, not {value!r}")
        self.dimension = int(dimension)
        self.order = int(order)
        self.passage = int(passage)

    @classmethod
    def suited(cls, vocab_size: int) -> "HashedNgrams":
        """What came closest to a model: order 1 for subwords, and for bytes n-grams about as long as a subword."""
        return cls(order=4, passage=1024) if vocab_size <= 256 else cls()

    @property
    def name(self) -> str:
        """What it is, for the record: equal names mean equal vectors."""
        return f"hashed n-grams of up to {self.order} tokens in passages of up to {self.passage}"

    def embed(self, tokens: Tokens, offsets: Offsets) -> Floats:
        """Vectors of length 1, one a passage, shape (passages, d).

        Parameters
        ----------
        tokens
            Token ids, shape (n,).
        offsets
            Borders of at most 2**20 passages, int64, shape (passages + 1,), from 0 to n; none is empty.

        Raises
        ------
        InputError
            If a passage is empty, or there are more.
        """
        lengths = np.diff(offsets)
        if len(lengths) > MAX_PASSAGES:
            raise InputError(f"{len(lengths)} passages are more than the {MAX_PASSAGES} that are embedded at a time")
        if (lengths < 1).any():
            raise InputError(f"passage {int((lengths < 1).argmax())} holds no tokens, so it has no vector")
        vectors = np.zeros((len(lengths), self.dimension))
        for features in _features(tokens.astype(np.uint64), offsets, self.order):
            self._add(vectors, features)
        squares = np.einsum("ij,ij->i", vectors, vectors)
        # N-grams of one coordinate and opposite signs may leave nothing; such a passage is taken for its first token.
        for row in np.flatnonzero(squares == 0.0):
            first = tokens[offsets[row] : offsets[row] + 1].astype(np.uint64)
            self._add(vectors[row : row + 1], next(_features(first, np.array([0, 1]), 1)))
            squares[row] = 1.0
        vectors /= np.sqrt(squares)[:, None]
        return vectors

    def _add(self, vectors: Floats, features: Hashes) -> None:
        """Add s sqrt(c) for n-grams of one length, each with its passage in the upper bits."""
        features = np.sort(features)
        begins = np.flatnonzero(np.concatenate([[True], features[1:] != features[:-1]]))
        counts = np.diff(begins, append=len(features))
        passages, bits = features[begins] >> np.uint64(_BITS), features[begins] & np.uint64(2**_BITS - 1)
        cells = (bits >> np.uint64(_BITS - 31)) * np.uint64(self.dimension) >> np.uint64(31)
        signs = 1.0 - 2.0 * (bits & np.uint64(1))
        places = passages * np.uint64(self.dimension) + cells
        vectors += np.bincount(places.astype(np.int64), signs * np.sqrt(counts), vectors.size).reshape(vectors.shape)


def _features(ids: Hashes, offsets: Offsets, order: int) -> Iterator[Hashes]:
    """Hashes of all n-grams of each length from 1 to `order`, where there are any, behind the number of the passage."""
    lengths = np.diff(offsets)
    ends = np.repeat(offsets[1:], lengths)
    passages = np.repeat(np.arange(len(lengths), dtype=np.uint64) << np.uint64(_BITS), lengths)
    hashes = np.zeros(len(ids), np.uint64)
    for n in range(1, order + 1):
        # The hash of an n-gram goes on from that of its first n - 1 tokens.
        hashes = _mix(hashes[: len(ids) - n + 1] ^ _mix(ids[n - 1 :] + np.uint64(n)))
        inside = np.flatnonzero(np.arange(n, len(ids) + 1) <= ends[: len(hashes)])
        if not len(inside):
            return
        yield passages[inside] | (hashes[inside] >> np.uint64(64 - _BITS))


def _mix(words: Hashes) -> Hashes:
    """One step of splitmix64: a bijection of 64-bit words in which every bit of the input moves every other."""
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
