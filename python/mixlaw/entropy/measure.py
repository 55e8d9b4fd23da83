"""`measure_entropies`: count every domain of a corpus in one pass, and take the plug-in entropies of the counts.

Entropies of tokens and of adjacent pairs are proxies for a mixture in BiMix, arXiv 2405.14908, Eq. 13.
"""

from typing import Any

import numpy as np
from tqdm import tqdm

from mixlaw.corpus import Corpus, Domain
from mixlaw.entropy.counter import NgramCounter
from mixlaw.entropy_table import EntropyTable
from mixlaw.errors import InputError


def measure_entropies(corpus: Corpus, *, threads: int | None = None) -> EntropyTable:
    """Measure Shannon, conditional and joint entropy of every domain, in nats.

    Tokens and pairs of adjacent tokens inside a document are counted exactly. The plug-in estimate takes their relative
    frequencies for probabilities, so it depends on how much was counted: compare domains at like sizes, and see the
    table's coverage. A bar on stderr shows the progress where stderr is a terminal.

    Parameters
    ----------
    corpus
        The domains.
    threads
        The most threads that count; as many as there are processors if not given.

    Returns
    -------
    EntropyTable
        One row a domain. Where no document has two tokens there are no pairs, and `ce` and `je` are 0.

    Raises
    ------
    InputError
        If a domain cannot be read, has no tokens or a token id outside the vocabulary, or an argument is out of range;
        the message names domain, file and place.

    Examples
    --------
    >>> import numpy as np
    >>> corpus = Corpus({"a": np.array([0, 1, 0, 1, 0], np.uint8), "b": np.arange(4, dtype=np.uint8)}, vocab_size=4)
    >>> table = measure_entropies(corpus)
    >>> table.ce.round(4).tolist(), table.mixture("se")
    ([0.0, 0.0], Mixture({'a': 0.328908, 'b': 0.671092}))
    """
    rows = [_measure(domain, corpus.vocab_size, threads) for domain in corpus.values()]
    columns: dict[str, Any] = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return EntropyTable(
        domains=tuple(corpus),
        tokenizer=corpus.tokenizer,
        vocab_size=corpus.vocab_size,
        estimator="plugin",
        **columns,
    )


def _measure(domain: Domain, vocab_size: int, threads: int | None) -> dict[str, float]:
    """Counts and entropies of one domain, under their names in an `EntropyTable`."""
    counter = _count(domain, vocab_size, 2, threads)
    if not counter.total(1):
        raise InputError(f"domain {domain.name!r} holds no tokens")
    if counter.total(2):
        se, je, ce = counter.entropies()
    else:
        # Pairs that are not there have no entropy; that of the tokens is counted alone.
        se, je, ce = _count(domain, vocab_size, 1, threads).entropies().shannon, 0.0, 0.0
    return {
        "tokens": counter.total(1),
        "types": counter.distinct(1),
        "token_singletons": _singletons(counter, 1),
        "pairs": counter.total(2),
        "pair_types": counter.distinct(2),
        "pair_singletons": _singletons(counter, 2),
        "se": se,
        "ce": ce,
        "je": je,
    }


def _count(domain: Domain, vocab_size: int, order: int, threads: int | None) -> NgramCounter:
    try:
        counter = NgramCounter(vocab_size, order=order, threads=threads)
    except ValueError as error:
        raise InputError(str(error)) from error
    with tqdm(desc=domain.name, unit=" tokens", unit_scale=True, disable=None) as bar:
        for chunk in domain.chunks(context=order - 1):
            try:
                counter.update(chunk.tokens, chunk.offsets, context=chunk.context)
            except ValueError as error:
                first = chunk.start - chunk.context
                place = chunk.source if first == 0 else f"{chunk.source}, counted from token {first}"
                raise InputError(f"domain {domain.name!r}: {place}: {error}") from error
            bar.update(len(chunk.tokens) - chunk.context)
    return counter


def _singletons(counter: NgramCounter, n: int) -> int:
    counts, occurrences = counter.count_of_counts(n)
    return int(occurrences[counts == 1].sum())
