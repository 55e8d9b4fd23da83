"""`measure_vne`: the von Neumann entropy of every domain, from its tokens, its texts or vectors that there are.

One vector is a short document or a passage of a long one, and all count the same. Passages of a document stay in one
group of the jackknife, as they are not independent. The entropy is a proxy for a mixture in BiMix, arXiv 2405.14908.
"""

import itertools
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from mixlaw.corpus import Corpus, Domain, Offsets
from mixlaw.entropy.hashed_ngrams import HashedNgrams
from mixlaw.entropy.second_moment import GROUPS, SecondMoment
from mixlaw.entropy.text_models import TextModel
from mixlaw.entropy.vector_files import read_vectors
from mixlaw.errors import InputError
from mixlaw.vne_table import VneTable

# Passages that are embedded at a time.
BATCH = 2**13
# Longest passage of text that a model is given, in characters: many read the first 256 to 512 tokens alone.
PASSAGE_CHARACTERS = 1000

Vectors = npt.NDArray[np.floating[Any]]
Groups = npt.NDArray[np.int64]
Block: TypeAlias = tuple[Vectors, Groups | None]
Given: TypeAlias = Vectors | str | os.PathLike[str] | Iterable[Vectors]


def measure_vne(domains: Corpus | Mapping[str, Given], *, embedder: HashedNgrams | TextModel | None = None) -> VneTable:
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

    Returns
    -------
    VneTable
        One row a domain. Empty documents have no vector, nor have passages of which a model knows nothing: a warning
        says how many.

    Raises
    ------
    InputError
        If a domain cannot be read or has no vectors, a vector is zero or not finite, or dimensions differ; the message
        names domain and place.

    Examples
    --------
    >>> table = measure_vne({"one thing": np.ones((9, 2)), "two things": np.eye(2).repeat(9, axis=0)})
    >>> table.vne.round(9).tolist(), table.mixture()
    ([0.0, 0.693147181], Mixture({'one thing': 0.333333, 'two things': 0.666667}))
    """
    if not domains:
        raise InputError("von Neumann entropies need at least one domain")
    if isinstance(domains, Corpus):
        embedder = embedder or HashedNgrams.suited(domains.vocab_size)
        name = embedder.name
        streams = {domain: _embedded(domains[domain], embedder) for domain in domains}
    elif embedder is not None:
        raise InputError("an embedder is for a corpus: vectors are taken as they are")
    else:
        name = "given vectors"
        streams = {domain: _given(vectors) for domain, vectors in domains.items()}
    moments: dict[str, SecondMoment] = {}
    for domain, blocks in streams.items():
        moments[domain] = _measure(domain, blocks)
        first = next(iter(moments))
        dimensions = moments[first].dimension, moments[domain].dimension
        if dimensions[0] != dimensions[1]:
            raise InputError(
                f"the vectors of domain {first!r} have {dimensions[0]} dimensions and those of {domain!r} have "
                f"{dimensions[1]}: embed all domains with one model, as entropies under different ones do not compare"
            )
    return VneTable(
        domains=tuple(moments),
        embedding=name,
        dimension=dimensions[0],
        vectors=np.array([moment.count for moment in moments.values()]),
        vne=np.array([moment.entropy() for moment in moments.values()]),
        vne_se=np.array([moment.standard_error() for moment in moments.values()]),
    )


def _measure(domain: str, blocks: Iterator[Block]) -> SecondMoment:
    """Second moment of the vectors of one domain."""
    moment: SecondMoment | None = None
    with tqdm(desc=domain, unit=" vectors", unit_scale=True, disable=None) as bar:
        try:
            for vectors, groups in blocks:
                moment = moment or _moment_for(vectors)
                _update(moment, vectors, groups)
                bar.update(len(vectors))
        except InputError as error:
            raise InputError(f"domain {domain!r}: {error}") from error
    if moment is None or not moment.count:
        raise InputError(f"domain {domain!r} has no vectors")
    return moment


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


def _given(vectors: Given) -> Iterator[Block]:
    if isinstance(vectors, str | os.PathLike):
        vectors = read_vectors(vectors)
    for block in [vectors] if isinstance(vectors, np.ndarray) else vectors:
        yield np.asarray(block), None


def _embedded(domain: Domain, embedder: HashedNgrams | TextModel) -> Iterator[Block]:
    if isinstance(embedder, HashedNgrams):
        return _of_tokens(domain, embedder)
    texts = getattr(domain.source, "texts", None)
    if texts is None:
        raise InputError(f"domain {domain.name!r} holds token ids, and {embedder.name} embeds text")
    return _of_texts(domain.name, texts(), embedder)


def _of_tokens(domain: Domain, embedder: HashedNgrams) -> Iterator[Block]:
    document = 0
    for chunk in domain.source.chunks(None, 0):
        borders, of = _passages(chunk.offsets, embedder.passage)
        groups = (document + of) % GROUPS
        for begin in range(0, len(groups), BATCH):
            part = borders[begin : begin + BATCH + 1]
            vectors = embedder.embed(chunk.tokens[part[0] : part[-1]], part - part[0])
            yield vectors, groups[begin : begin + BATCH]
        document += len(chunk.offsets) - 1


def _passages(offsets: Offsets, longest: int) -> tuple[Offsets, Groups]:
    """Cut documents into as few equal passages as `longest` allows: their borders, and each one's document."""
    lengths = np.diff(offsets)
    parts = -(-lengths // longest)
    of = np.repeat(np.arange(len(lengths)), parts)
    number = np.arange(len(of)) - np.repeat(np.cumsum(parts) - parts, parts)
    begins = offsets[of] + number * lengths[of] // np.maximum(parts[of], 1)
    return np.append(begins, offsets[-1]), of


def _of_texts(domain: str, texts: Iterator[str], model: TextModel) -> Iterator[Block]:
    pieces = ((piece, number % GROUPS) for number, text in enumerate(texts) for piece in _pieces(text))
    missing = total = 0
    while batch := list(itertools.islice(pieces, BATCH)):
        vectors = model.embed([piece for piece, _ in batch])
        if vectors.ndim != 2 or len(vectors) != len(batch):
            raise InputError(f"{model.name} made vectors of shape {vectors.shape} of {len(batch)} texts")
        known = np.isfinite(vectors).all(axis=1) & (vectors != 0).any(axis=1)
        total, missing = total + len(known), missing + int((~known).sum())
        yield vectors[known], np.array([group for _, group in batch], np.int64)[known]
    if missing:
        warnings.warn(
            f"domain {domain!r}: {missing} of {total} passages have no vector under {model.name} and are left out",
            stacklevel=2,
        )


def _pieces(text: str) -> Iterator[str]:
    """Cut a text into as few equal passages as `PASSAGE_CHARACTERS` allows; blank ones are left out."""
    parts = -(-len(text) // PASSAGE_CHARACTERS)
    for k in range(parts):
        piece = text[k * len(text) // parts : (k + 1) * len(text) // parts]
        if piece and not piece.isspace():
            yield piece
