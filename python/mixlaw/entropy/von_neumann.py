"""`measure_vne`: the von Neumann entropy of every domain, from its tokens, its texts or vectors that there are.

One vector is a short document or a passage of a long one, and all count the same. Passages of a document stay in one
group of the jackknife, as they are not independent. The entropy is a proxy for a mixture in BiMix, arXiv 2405.14908.
"""

import itertools
import json
import os
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from mixlaw.corpus import Corpus, Domain, Offsets, Position
from mixlaw.entropy.checkpoint import CHECKPOINT_SECONDS, Place, VectorCheckpoint, VectorCheckpoints, domain_folder
from mixlaw.entropy.hashed_ngrams import HashedNgrams
from mixlaw.entropy.second_moment import GROUPS, SecondMoment
from mixlaw.entropy.text_models import TextModel
from mixlaw.entropy.vector_files import COLUMN, read_vectors
from mixlaw.errors import InputError
from mixlaw.vne_table import VneTable

# Passages that are embedded at a time: of tokens; and of text, which models need longer for.
BATCH = 2**13
TEXT_BATCH = 2**10
# Longest passage of text that a model is given, in characters: many read the first 256 to 512 tokens alone.
PASSAGE_CHARACTERS = 1000

Vectors = npt.NDArray[np.floating[Any]]
Groups = npt.NDArray[np.int64]
Given: TypeAlias = Vectors | str | os.PathLike[str] | Iterable[Vectors]


class Block(NamedTuple):
    """Some vectors of a stream, each one's group, where the next block begins, and passages that have no vector."""

    vectors: Vectors
    groups: Groups | None
    following: Place | None
    missing: int = 0


class _Stream(Protocol):
    """The vectors of a domain."""

    def identity(self) -> dict[str, Any] | None:
        """What they depend on, as JSON can hold it; None where that is not known."""
        ...

    def blocks(self, start: Place | None) -> Iterator[Block]:
        """Yield them in order from `start`, the beginning if it is None."""
        ...


def measure_vne(
    domains: Corpus | Mapping[str, Given],
    *,
    embedder: HashedNgrams | TextModel | None = None,
    column: str = COLUMN,
    checkpoint_dir: str | os.PathLike[str] | None = None,
) -> VneTable:
    """Measure the von Neumann entropy of every domain, in nats, with its standard error.

    The entropy is at most the logarithm of the number of vectors and of their dimension, and too low while vectors are
    few: compare domains at like numbers of vectors. A bar on stderr shows the
    progress where stderr is a terminal.

    Parameters
    ----------
    domains
        A corpus, which is embedded; or vectors, by the name of their domain: an array of shape (n, d), the path of a
        file (see `read_vectors`), or an iterable of such arrays. All must be of one embedding: entropies
        under different ones do not compare.
    embedder
        What embeds a corpus: `HashedNgrams` of its tokens, by default `HashedNgrams.suited(corpus.vocab_size)`; or a
        model (see `load_model`), which needs domains of text and is given passages of at most 1,000 characters.
    column
        Column of the vectors in files of Parquet and Arrow.
    checkpoint_dir
        Folder for checkpoints, one every 15 seconds, in a folder of the domain's name: the same call with the same
        folder goes on where an interrupted one stopped, and gives the same bits on the same number of threads. For
        vectors in files, and for domains of a corpus.yaml.

    Returns
    -------
    VneTable
        One row a domain. Empty documents have no vector, nor have passages of which a model knows nothing: a warning
        says how many.

    Raises
    ------
    InputError
        If a domain cannot be read or has no vectors, a vector is zero or not finite, dimensions differ, or a checkpoint
        is of something else; the message names domain and place.

    Examples
    --------
    >>> table = measure_vne({"one thing": np.ones((9, 2)), "two things": np.eye(2).repeat(9, axis=0)})
    >>> table.vne.round(9).tolist(), table.mixture()
    ([0.0, 0.693147181], Mixture({'one thing': 0.333333, 'two things': 0.666667}))
    """
    if not domains:
        raise InputError("von Neumann entropies need at least one domain")
    streams: dict[str, _Stream] = {}
    if isinstance(domains, Corpus):
        embedder = embedder or HashedNgrams.suited(domains.vocab_size)
        name = embedder.name
        for domain in domains.values():
            streams[domain.name] = (
                _OfTokens(domains, domain, embedder)
                if isinstance(embedder, HashedNgrams)
                else _OfTexts(domains, domain, embedder)
            )
    elif embedder is not None:
        raise InputError("an embedder is for a corpus: vectors are taken as they are")
    else:
        name = "given vectors"
        streams = {
            key: _File(given, column) if isinstance(given, str | os.PathLike) else _Arrays(given)
            for key, given in domains.items()
        }
    rows: dict[str, tuple[int, float, float]] = {}
    dimension = None
    for key, stream in streams.items():
        moment = _measure(key, stream, name, checkpoint_dir)
        dimension = dimension or moment.dimension
        if moment.dimension != dimension:
            raise InputError(
                f"the vectors of domain {next(iter(rows))!r} have {dimension} dimensions and those of {key!r} have "
                f"{moment.dimension}: embed all domains with one model, as entropies under different ones do not "
                "compare"
            )
        rows[key] = moment.count, moment.entropy(), moment.standard_error()
    assert dimension is not None
    vectors, vne, vne_se = zip(*rows.values(), strict=True)
    return VneTable(
        domains=tuple(rows),
        embedding=name,
        dimension=dimension,
        vectors=np.array(vectors),
        vne=np.array(vne),
        vne_se=np.array(vne_se),
    )


def _measure(
    domain: str, stream: _Stream, embedding: str, checkpoint_dir: str | os.PathLike[str] | None
) -> SecondMoment:
    """Second moment of the vectors of one domain."""
    try:
        if checkpoint_dir is None:
            found = _sum(domain, stream, None, {})
        else:
            identity = stream.identity()
            if identity is None:
                raise InputError(
                    "nothing tells whether its vectors are those of a checkpoint, as they are of no file and no "
                    "corpus.yaml: measure without checkpoints"
                )
            with closing(VectorCheckpoints(domain_folder(checkpoint_dir, domain))) as folder:
                found = _sum(domain, stream, folder, identity)
    except InputError as error:
        raise InputError(f"domain {domain!r}: {error}") from error
    if found is None:
        raise InputError(f"domain {domain!r} has no vectors")
    if found.missing:
        warnings.warn(
            f"domain {domain!r}: {found.missing} of {found.missing + found.moment.count} passages have no vector under "
            f"{embedding} and are left out",
            stacklevel=3,
        )
    return found.moment


def _sum(
    domain: str, stream: _Stream, folder: VectorCheckpoints | None, identity: dict[str, Any]
) -> VectorCheckpoint | None:
    """Add up a stream, from the last checkpoint in `folder` on; None if it has no vectors."""
    found = folder.read(identity) if folder else None
    if found and found.following is None:
        return found
    moment, start, missing = found or (None, None, 0)
    last = time.monotonic()
    count = moment.count if moment else 0
    with tqdm(desc=domain, unit=" vectors", unit_scale=True, initial=count, disable=None) as bar:
        for block in stream.blocks(start):
            moment = moment or _moment_for(block.vectors)
            _update(moment, block.vectors, block.groups)
            missing += block.missing
            bar.update(len(block.vectors))
            if folder and time.monotonic() - last > CHECKPOINT_SECONDS:
                folder.write(VectorCheckpoint(moment, block.following, missing), identity)
                last = time.monotonic()
    if moment is None or not moment.count:
        return None
    done = VectorCheckpoint(moment, None, missing)
    if folder:
        folder.write(done, identity)
    return done


def _moment_for(vectors: Vectors) -> SecondMoment:
    if vectors.ndim != 2:
        raise InputError(f"expected vectors of shape (n, d), found shape {vectors.shape}")
    return SecondMoment(vectors.shape[1])


def _update(moment: SecondMoment, vectors: Vectors, groups: Groups | None) -> None:
    try:
        moment.update(vectors, groups)
    except InputError as error:
        # A row is counted from the beginning of its block.
        start = f"vectors from number {moment.count} on: " if moment.count else ""
        raise InputError(f"{start}{error}") from error


class _Arrays:
    """Vectors in memory."""

    def __init__(self, given: Vectors | Iterable[Vectors]) -> None:
        self._arrays = [given] if isinstance(given, np.ndarray) else given

    def identity(self) -> None:
        """See `_Stream.identity`."""

    def blocks(self, start: Place | None) -> Iterator[Block]:
        """See `_Stream.blocks`."""
        assert start is None
        for array in self._arrays:
            yield Block(np.asarray(array), None, None)


class _File:
    """Vectors in a file."""

    def __init__(self, path: str | os.PathLike[str], column: str) -> None:
        self._path = path
        self._column = column

    def identity(self) -> dict[str, Any]:
        """See `_Stream.identity`."""
        try:
            status = os.stat(self._path)
        except OSError as error:
            raise InputError(f"{self._path}: cannot be read ({error.strerror or error})") from error
        name = os.path.basename(self._path)
        content = {"column": self._column, "files": [[name, status.st_size, status.st_mtime_ns]]}
        return {"embedding": "given vectors", "tokenizer": None, "input": content}

    def blocks(self, start: Place | None) -> Iterator[Block]:
        """See `_Stream.blocks`."""
        row = start.offset if start else 0
        for vectors in read_vectors(self._path, self._column, row):
            row += len(vectors)
            yield Block(vectors, None, Place(0, row, 0, row))


class _Embedded:
    """What both streams of a corpus have in common."""

    def __init__(self, corpus: Corpus, domain: Domain) -> None:
        self._corpus = corpus
        self._domain = domain

    def _identity(self, embedding: Any) -> dict[str, Any] | None:
        domain = self._domain
        if domain.fingerprint is None or not domain.files:
            return None
        return {"embedding": embedding, "tokenizer": self._corpus.tokenizer, "input": domain.fingerprint}

    def _position(self, start: Place | None) -> Position | None:
        return None if start is None else self._domain.from_number(start.file, start.offset)

    def _place(self, position: Position, skip: int, document: int) -> Place | None:
        return Place(*self._domain.to_number(position), skip, document) if self._domain.files else None


class _OfTokens(_Embedded):
    """Hashed n-grams of the tokens of a domain, which are cut into passages chunk by chunk."""

    def __init__(self, corpus: Corpus, domain: Domain, embedder: HashedNgrams) -> None:
        super().__init__(corpus, domain)
        self._embedder = embedder

    def identity(self) -> dict[str, Any] | None:
        """See `_Stream.identity`."""
        return self._identity(f"{self._embedder.name}, {self._embedder.dimension} dimensions")

    def blocks(self, start: Place | None) -> Iterator[Block]:
        """See `_Stream.blocks`."""
        skip, document = (start.skip, start.document) if start else (0, 0)
        for chunk in self._domain.source.chunks(self._position(start), 0):
            borders, of = _passages(chunk.offsets, self._embedder.passage)
            groups = (document + of) % GROUPS
            position = Position(chunk.source, chunk.start)
            for begin in range(skip, len(groups), BATCH):
                end = min(begin + BATCH, len(groups))
                part = borders[begin : end + 1]
                vectors = self._embedder.embed(chunk.tokens[part[0] : part[-1]], part - part[0])
                yield Block(vectors, groups[begin:end], self._place(position, end, document))
            skip, document = 0, document + len(chunk.offsets) - 1


class _OfTexts(_Embedded):
    """Vectors of the passages of a domain's texts under a model, which is given the same batches wherever it begins."""

    def __init__(self, corpus: Corpus, domain: Domain, model: TextModel) -> None:
        super().__init__(corpus, domain)
        self._model = model
        self._texts = getattr(domain.source, "texts", None)
        if self._texts is None:
            raise InputError(f"domain {domain.name!r} holds token ids, and {model.name} embeds text")

    def identity(self) -> dict[str, Any] | None:
        """See `_Stream.identity`."""
        fingerprint = getattr(self._model, "fingerprint", self._model.name)
        try:
            # As it comes back from a checkpoint, where a tuple is a list.
            text = json.dumps(fingerprint, allow_nan=False, ensure_ascii=False).encode()
        except (TypeError, ValueError) as error:
            raise InputError(
                f"a checkpoint cannot hold the fingerprint of {self._model.name}, {fingerprint!r} ({error}): make it "
                "of strings, finite numbers, lists and objects, as JSON is"
            ) from error
        return self._identity(json.loads(text))

    def blocks(self, start: Place | None) -> Iterator[Block]:
        """See `_Stream.blocks`."""
        passages = self._passages(start)
        while batch := list(itertools.islice(passages, TEXT_BATCH)):
            vectors = self._model.embed([piece for piece, _, _ in batch])
            if vectors.ndim != 2 or len(vectors) != len(batch):
                raise InputError(f"{self._model.name} made vectors of shape {vectors.shape} of {len(batch)} texts")
            known = np.isfinite(vectors).all(axis=1) & (vectors != 0).any(axis=1)
            groups = np.array([group for _, group, _ in batch], np.int64)
            yield Block(vectors[known], groups[known], batch[-1][2], int((~known).sum()))

    def _passages(self, start: Place | None) -> Iterator[tuple[str, int, Place | None]]:
        """Yield passages from `start` on, with their groups, and where the next one begins."""
        assert self._texts is not None
        skip, document = (start.skip, start.document) if start else (0, 0)
        for position, texts in self._texts(self._position(start)):
            # Once for all passages, as it looks for the file among all.
            place = self._place(position, 0, document)
            pieces = ((piece, document + k) for k, text in enumerate(texts) for piece in _pieces(text))
            for number, (piece, of) in enumerate(pieces, 1):
                if number > skip:
                    yield piece, of % GROUPS, place and place._replace(skip=number)
            skip, document = 0, document + len(texts)


def _passages(offsets: Offsets, longest: int) -> tuple[Offsets, Groups]:
    """Cut documents into as few equal passages as `longest` allows: their borders, and each one's document."""
    lengths = np.diff(offsets)
    parts = -(-lengths // longest)
    of = np.repeat(np.arange(len(lengths)), parts)
    number = np.arange(len(of)) - np.repeat(np.cumsum(parts) - parts, parts)
    begins = offsets[of] + number * lengths[of] // np.maximum(parts[of], 1)
    return np.append(begins, offsets[-1]), of


def _pieces(text: str) -> Iterator[str]:
    """Cut a text into as few equal passages as `PASSAGE_CHARACTERS` allows; blank ones are left out."""
    parts = -(-len(text) // PASSAGE_CHARACTERS)
    for k in range(parts):
        piece = text[k * len(text) // parts : (k + 1) * len(text) // parts]
        if piece and not piece.isspace():
            yield piece
