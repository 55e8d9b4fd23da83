"""`count_files`: the files of one domain counted by one process, with a record of what was counted."""

import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from mixlaw.corpus import Corpus
from mixlaw.entropy.count import count_domain
from mixlaw.entropy.counter import NgramCounter
from mixlaw.reading.config import DomainConfig


def count_files(
    opened: Corpus,
    domain: DomainConfig,
    names: Sequence[str],
    *,
    order: int,
    groups: int,
    threads: int | None,
    memory_limit: int | None,
    checkpoint_dir: str | os.PathLike[str] | None = None,
) -> NgramCounter:
    """Count the n-grams of the files of one domain.

    Parameters
    ----------
    opened
        The corpus that has the domain.
    domain
        Its files, which lie on this machine.
    names
        What each of them is called in the record, by which merging tells what was counted twice.
    order, groups, threads, memory_limit, checkpoint_dir
        As of `count_domain`.

    Returns
    -------
    NgramCounter
        The counts, with the files, by their bytes, as its inputs.
    """
    counter = count_domain(
        opened[domain.name],
        opened.vocab_size,
        order=order,
        groups=groups,
        threads=threads,
        memory_limit=memory_limit,
        checkpoint_dir=checkpoint_dir,
        tokenizer=opened.tokenizer,
    )
    for name, file in zip(names, domain.files, strict=True):
        counter.add_input(name, 0, os.path.getsize(file))
    return counter


def count_file_name(domain: str, suffix: str = "") -> str:
    """Name of the count file of a domain, whatever characters its own name has."""
    return f"{quote(domain, safe='')}{suffix}.mlc"


def summary(counter: NgramCounter, size: int) -> dict[str, Any]:
    """What ``mixlaw count`` says of a count file of so many bytes."""
    orders = range(1, counter.order + 1)
    return {
        "counted": [counter.total(n) for n in orders],
        "distinct": [counter.distinct(n) for n in orders],
        "bytes": size,
    }
