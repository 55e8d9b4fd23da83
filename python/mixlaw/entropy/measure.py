"""`measure_entropies`: count every domain of a corpus in one pass, and take the entropies of the counts.

Entropies of tokens and of adjacent pairs are proxies for a mixture in BiMix, arXiv 2405.14908, Eq. 13.
"""

import os

from mixlaw.corpus import Corpus
from mixlaw.entropy.count import count_domain
from mixlaw.entropy.tabulate import tabulate
from mixlaw.entropy_table import EntropyTable
from mixlaw.errors import InputError

# Groups of documents that are counted apart for error bars and the curve.
GROUPS = 32


def measure_entropies(
    corpus: Corpus,
    *,
    estimator: str = "plugin",
    equalize: str | None = None,
    groups: int = GROUPS,
    threads: int | None = None,
    memory_limit: int | None = None,
    checkpoint_dir: str | os.PathLike[str] | None = None,
) -> EntropyTable:
    """Measure Shannon, conditional and joint entropy of every domain, in nats.

    Tokens and pairs of adjacent tokens inside a document are counted exactly. The plug-in estimate takes their relative
    frequencies for probabilities, so it depends on how much was counted: see the table's coverage and curve,
    `estimator` and `equalize`, and docs/entropy.md. A bar on stderr shows the progress where stderr is a terminal.

    Parameters
    ----------
    corpus
        The domains.
    estimator, equalize
        As of `mixlaw.entropy.tabulate.tabulate`.
    groups
        Documents are counted in so many groups, for standard errors and the curve; 1 leaves these out, and is several
        times as fast. From 8 to 256 else.
    threads
        The most threads that count; as many as there are processors if not given.
    memory_limit
        Bytes of memory that counting takes at most, for one domain at a time; the rest goes to files. None: no limit.
    checkpoint_dir
        Folder of checkpoints: the same call with the same folder goes on where an interrupted one stopped.

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
    if groups != 1 and groups < 8:
        raise InputError(f"groups must be 1, or at least 8 for an eighth of them, not {groups}")
    counters = {
        domain.name: count_domain(
            domain,
            corpus.vocab_size,
            groups=groups,
            threads=threads,
            memory_limit=memory_limit,
            checkpoint_dir=checkpoint_dir,
            tokenizer=corpus.tokenizer,
        )
        for domain in corpus.values()
    }
    return tabulate(counters, estimator=estimator, equalize=equalize)
