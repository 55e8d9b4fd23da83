"""Exact counts of tokens and token pairs, and the entropies that they give.

symbol  meaning                                                        shape  unit
c       how often each token or pair was counted                       (k,)   -
N       their sum                                                      -      tokens, pairs
H       plug-in entropy, sum over c of (c / N) log(N / c)              -      nats
SE      H of the tokens (shannon)                                      -      nats
JE      H of the pairs of adjacent tokens inside a document (joint)    -      nats
CE      JE - H of the first tokens of those pairs (conditional)        -      nats
"""

import json
import os
import tempfile
import threading
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mixlaw.compiled import _core
from mixlaw.corpus import Tokens
from mixlaw.entropy.checkpoint import CountCheckpoints
from mixlaw.entropy.inputs import InputRange, joined_inputs, read_inputs
from mixlaw.errors import InputError
from mixlaw.files import replaced_file

# How n-grams end: none crosses the border of a document. Counts made by another rule could not be merged with these.
BOUNDARY = "document"


class Entropies(NamedTuple):
    """Plug-in entropies of a token stream, in nats.

    Attributes
    ----------
    shannon
        Entropy of the tokens.
    joint
        Entropy of the pairs of adjacent tokens inside a document; NaN where only tokens were counted.
    conditional
        Entropy of a pair's second token given its first, ``joint`` less the entropy of the pairs' first tokens; NaN
        where only tokens were counted. It is ``joint - shannon`` only up to the tokens that end documents.
    """

    shannon: float
    joint: float
    conditional: float


class NgramCounter(_core.NgramCounter):
    """Count n-grams exactly, from any number of arrays, files and machines.

    Results depend on what was counted alone, to the last bit: not on the number of threads, the cut of the input into
    calls, or the order of the calls. One counter may be used from several threads.

    Parameters
    ----------
    vocab_size
        Token ids are below this; from 1 to 2**31, with order 5 to 2**25.
    order
        Length of the longest n-grams that are counted, from 1 to 5; all shorter ones are counted, too.
    groups
        Documents are counted in so many groups, from 1 to 256, which a hash of their tokens chooses, so that
        `weighted_counts_of_counts` can tell how the counts vary from document to document. Documents of more than
        65,536 tokens are divided among groups. It takes several times as much time and room, and which group a part of
        a document is in depends on how that document was cut into calls; sums over groups do not.
    threads
        The most threads that one call uses; None takes as many as there are processors to run on.
    memory_limit
        Bytes of memory that the counter takes at most; what does not fit goes to files in `spill_dir`, compressed.
        Memory-mapped files, its own and those it reads, are not within the limit: the system drops their pages when it
        needs memory. None: no limit, and no files.
    spill_dir
        Folder for those files, which have no names and vanish with the process. None: the system's folder for
        temporary files.
    checkpoint_dir
        Folder in which the counter lives: its files have names there, and `checkpoint` makes sure that all counts are
        among them. A counter that is made with a folder of such goes on with the counts of the last checkpoint. Made if
        it is not there; used instead of `spill_dir`.
    tokenizer
        What made the token ids, for the record: counters merge only where it is the same.
    domain
        What was counted, for the record.

    Attributes
    ----------
    tokenizer, domain
        See above.
    inputs
        What was counted, as far as `add_input` was told; sorted.
    note
        What the last checkpoint was given; None where there is none.

    Raises
    ------
    ValueError
        If an argument is out of its range, or `memory_limit` too small for the others.
    InputError
        If `checkpoint_dir` holds counts of another order, vocabulary or tokenizer, is in use, or is damaged.

    Examples
    --------
    >>> counter = NgramCounter(3)
    >>> counter.update(np.array([0, 1, 0, 1, 2], np.uint16), np.array([0, 3, 5]))
    >>> counter.counts(2)
    (array([[0, 1],
           [1, 0],
           [1, 2]], dtype=uint32), array([1, 1, 1], dtype=uint64))
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        order: int = 2,
        groups: int = 1,
        threads: int | None = None,
        memory_limit: int | None = None,
        spill_dir: str | os.PathLike[str] | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        tokenizer: str | None = None,
        domain: str | None = None,
    ) -> None:
        if spill_dir is not None and checkpoint_dir is not None:
            raise ValueError("spill_dir and checkpoint_dir cannot both be given: files go to the checkpoint's folder")
        if spill_dir is not None and memory_limit is None:
            raise ValueError("spill_dir without memory_limit would never be used: give both")
        folder = spill_dir if checkpoint_dir is None else os.path.abspath(checkpoint_dir)
        # Where no folder can be written to, a counter that writes none does not mind.
        if folder is None:
            folder = "" if memory_limit is None else tempfile.gettempdir()
        super().__init__(
            vocab_size,
            order=order,
            groups=groups,
            threads=threads,
            memory_limit=memory_limit,
            folder=os.fspath(folder),
            lasting=checkpoint_dir is not None,
        )
        self.tokenizer = tokenizer
        self.domain = domain
        self.inputs: tuple[InputRange, ...] = ()
        self.note: Any = None
        # What is recorded beside the counts changes together with them.
        self._lock = threading.RLock()
        self._checkpoints = None
        if checkpoint_dir is not None:
            checkpoints = CountCheckpoints(folder)
            try:
                self._resume(checkpoints)
            except BaseException:
                checkpoints.close()
                raise
            self._checkpoints = checkpoints

    def add_input(self, source: str, start: int, stop: int) -> None:
        """Record that [start, stop) of `source` is among the counts, in whatever unit the source is cut by.

        Raises
        ------
        InputError
            If some of it is recorded already.
        """
        with self._lock:
            self.inputs = joined_inputs((*self.inputs, InputRange(source, start, stop)))

    def merge(self, other: _core.NgramCounter) -> None:
        """Add what another counter has counted; the other one is unchanged.

        Parameters
        ----------
        other
            A counter of the same order, vocabulary and tokenizer. It may be this one, if it has no recorded inputs: its
            counts double.

        Raises
        ------
        ValueError
            If order or vocabulary size differ.
        InputError
            If the tokenizers differ, or both counted the same input.
        OverflowError
            If a total would exceed 64 bits.
        """
        with self._lock:
            inputs = self.inputs
            if isinstance(other, NgramCounter):
                inputs = self._merged_inputs(other.tokenizer, other.inputs, "the other counter")
            super().merge(other)
            self.inputs = inputs

    def top(self, n: int, k: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint64]]:
        """Give the `k` most frequent n-grams, most frequent first; equally frequent ones in lexicographic order.

        Parameters
        ----------
        n
            Length of the n-grams, from 1 to the order.
        k
            How many; at least 1.

        Returns
        -------
        ngrams, counts
            uint32, shape (j, n); and uint64, shape (j,); j is `k`, or the number of different n-grams if that is less.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        ngrams, counts = np.empty((0, n), np.uint32), np.empty(0, np.uint64)
        for piece, piece_counts in self.iter_counts(n):
            ngrams, counts = np.concatenate([ngrams, piece]), np.concatenate([counts, piece_counts])
            # Rows are in lexicographic order, which a stable sort keeps among equals.
            best = np.argsort(~counts, kind="stable")[:k]
            ngrams, counts = ngrams[best], counts[best]
        return ngrams, counts

    def entropies(self) -> Entropies:
        """Shannon, joint and conditional plug-in entropy of what was counted, in nats.

        Relative errors are below 1e-15.

        Raises
        ------
        ValueError
            If no tokens were counted or, by a counter of order 2 or more, no pairs.
        """
        return Entropies(*super().entropies())

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write all counts to a count file (``.mlc``), atomically; docs/count-format.md describes it.

        Its bytes depend on the counts, the tokenizer, the domain and the inputs alone: not on threads, memory limits,
        or the order in which things were counted and merged.

        Raises
        ------
        InputError
            If there is no such folder.
        OSError
            If the disk is full or the folder forbids it; what was there before is unchanged.
        """
        content = {
            "boundary": BOUNDARY,
            "tokenizer": self.tokenizer,
            "domain": self.domain,
            "inputs": [list(item) for item in self.inputs],
        }
        with replaced_file(path) as part:
            self._write(part, json.dumps(content, separators=(",", ":"), sort_keys=True).encode())

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        *,
        threads: int | None = None,
        memory_limit: int | None = None,
        spill_dir: str | os.PathLike[str] | None = None,
    ) -> "NgramCounter":
        """Open a count file as a counter, which can be asked, merged and counted on with.

        The file is mapped, not loaded, and every block is checked before it is first used. It must not be changed
        meanwhile: `write` replaces files and changes none.

        Parameters
        ----------
        path
            What `write` made.
        threads, memory_limit, spill_dir
            As for a new counter.

        Raises
        ------
        InputError
            If the file is truncated, damaged or no count file; the message names the offset and the reason. Damage to a
            block of counts is found, in the same way, by the first method that uses them.
        """
        file, record = _open(path)
        counter = cls(
            file.vocab_size,
            order=file.order,
            groups=file.groups,
            threads=threads,
            memory_limit=memory_limit,
            spill_dir=spill_dir,
            tokenizer=record.tokenizer,
            domain=record.domain,
        )
        counter._add_file(file)
        counter.inputs = record.inputs
        return counter

    def merge_file(self, path: str | os.PathLike[str]) -> None:
        """Add the counts of a count file, which is read where it lies.

        Raises
        ------
        InputError
            If the file is no count file, its order, vocabulary or tokenizer is another one, or some of its inputs were
            counted already.
        OverflowError
            If a total would exceed 64 bits.
        """
        file, record = _open(path)
        with self._lock:
            inputs = self._merged_inputs(record.tokenizer, record.inputs, str(path))
            try:
                self._add_file(file)
            except ValueError as error:
                raise InputError(f"{path}: {error}") from error
            self.inputs = inputs

    def checkpoint(self, note: Any = None) -> None:
        """Make sure that all counts, and `note`, are on disk: a counter made with the same folder goes on from here.

        Whatever happens, the folder holds the counts of this checkpoint or, until it returns, of the last one.

        Parameters
        ----------
        note
            What else is to be known there, as JSON can hold it: how far the input was read, for example.

        Raises
        ------
        ValueError
            If the counter has no `checkpoint_dir`.
        OSError
            If the disk is full or the folder forbids it; the last checkpoint stands.
        """
        if self._checkpoints is None:
            raise ValueError("a counter without checkpoint_dir has no checkpoints")
        with self._lock:
            saved = self._save()
            self._checkpoints.write(saved, self._identity(), self.inputs, note)
            self.note = note
            self._forget_others(saved)

    def _resume(self, checkpoints: CountCheckpoints) -> None:
        found = checkpoints.read(self._identity())
        if found is not None:
            try:
                self._restore(found.saved)
            except FileNotFoundError as error:
                raise InputError(f"{error.filename}: is gone, and counts of the last checkpoint with it") from error
            self.inputs, self.note = found.inputs, found.note
        # Not before all was found to be in order: what a damaged manifest does not name may be what it should.
        checkpoints.remove_others(found.saved if found else None)

    def _identity(self) -> dict[str, Any]:
        return {
            "order": self.order,
            "vocab_size": self.vocab_size,
            "groups": self.groups,
            "tokenizer": self.tokenizer,
            "boundary": BOUNDARY,
        }

    def _merged_inputs(
        self, tokenizer: str | None, inputs: tuple[InputRange, ...], whose: str
    ) -> tuple[InputRange, ...]:
        if tokenizer != self.tokenizer:
            raise InputError(
                f"{whose} has counts of {_named(tokenizer)}, these are of {_named(self.tokenizer)}: "
                "counts of different tokenizers cannot be merged"
            )
        return joined_inputs((*self.inputs, *inputs))


def entropies(tokens: Tokens, vocab_size: int, offsets: npt.NDArray[np.int64] | None = None) -> Entropies:
    """Shannon, joint and conditional plug-in entropy of one array of token ids, in nats.

    Parameters
    ----------
    tokens
        Token ids, shape (k,), contiguous; uint8, uint16, uint32, int32 or int64.
    vocab_size
        Token ids are below this.
    offsets
        Document borders, int64, shape (documents + 1,), from 0 to k; no pair crosses one. None: one document.

    Raises
    ------
    TypeError
        If an array is of the wrong dtype, has several dimensions, or is not contiguous.
    ValueError
        If a token or an offset is out of range, or there is no pair to count.

    Examples
    --------
    >>> entropies(np.array([0, 1, 0, 1, 0], np.uint8), 2).conditional
    0.0
    """
    counter = NgramCounter(vocab_size)
    counter.update(tokens, offsets)
    return counter.entropies()


class _Record(NamedTuple):
    """What a count file says of its counts."""

    tokenizer: str | None
    domain: str | None
    inputs: tuple[InputRange, ...]


def _open(path: str | os.PathLike[str]) -> tuple[_core.CountFile, _Record]:
    """Open a count file: it, and what it says of its counts."""
    file = _core.CountFile(os.fspath(path))
    try:
        content = json.loads(file.metadata)
        boundary, record = (
            content["boundary"],
            _Record(content["tokenizer"], content["domain"], read_inputs(content["inputs"])),
        )
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(f"{path}: the metadata is not that of counts ({error!r})") from error
    if boundary != BOUNDARY:
        raise InputError(f"{path}: counts by the boundary rule {boundary!r}, known is {BOUNDARY!r}")
    for what, name in (("tokenizer", record.tokenizer), ("domain", record.domain)):
        if name is not None and not isinstance(name, str):
            raise InputError(f"{path}: the {what} is {name!r}, no name")
    return file, record


def _named(tokenizer: str | None) -> str:
    return "an unnamed tokenizer" if tokenizer is None else f"tokenizer {tokenizer!r}"
