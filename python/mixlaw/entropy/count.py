"""`count_domain`: the n-grams of one domain, in one pass that shows its progress and can be taken up again."""

import os
import time
from typing import Any

from tqdm import tqdm

from mixlaw.corpus import Domain, Position
from mixlaw.entropy.checkpoint import CHECKPOINT_SECONDS, domain_folder
from mixlaw.entropy.counter import NgramCounter
from mixlaw.entropy.inputs import difference
from mixlaw.errors import InputError


def count_domain(
    domain: Domain,
    vocab_size: int,
    *,
    order: int = 2,
    groups: int = 1,
    threads: int | None = None,
    memory_limit: int | None = None,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    tokenizer: str | None = None,
) -> NgramCounter:
    """Count the n-grams of a domain, n = 1 .. `order`, exactly.

    A bar on stderr shows the progress where stderr is a terminal.

    Parameters
    ----------
    domain
        Where the tokens come from.
    vocab_size, order, groups, threads, memory_limit, tokenizer
        As of `NgramCounter`.
    checkpoint_dir
        Folder for checkpoints, one every 15 seconds, in a folder of the domain's name. Counting that was interrupted
        goes on from the last one; counting that was finished is not repeated.

    Returns
    -------
    NgramCounter
        The counts. Of a checkpoint folder it holds the lock as long as it lives.

    Raises
    ------
    InputError
        If the domain cannot be read or has a token id outside the vocabulary, an argument is out of range, or the
        checkpoint is of other input; the message names domain, file and place.
    """
    folder = None
    if checkpoint_dir is not None:
        if domain.fingerprint is None or not domain.files:
            raise InputError(
                f"domain {domain.name!r}: nothing tells whether its tokens are those of a checkpoint, as they are of "
                "no files of a corpus.yaml: count without checkpoints"
            )
        folder = domain_folder(checkpoint_dir, domain.name)
    try:
        counter = NgramCounter(
            vocab_size,
            order=order,
            groups=groups,
            threads=threads,
            memory_limit=memory_limit,
            checkpoint_dir=folder,
            tokenizer=tokenizer,
            domain=domain.name,
        )
    except InputError:
        raise
    except ValueError as error:
        raise InputError(str(error)) from error
    note: Any = counter.note or {"input": domain.fingerprint, "next": None}
    if not isinstance(note, dict) or note.keys() != {"input", "next"}:
        raise InputError(f"{folder} holds a checkpoint that is not one of a domain: choose another folder")
    if note["input"] != domain.fingerprint:  # which is JSON, as the note is
        raise InputError(
            f"{folder} holds counts of domain {domain.name!r} before its files, or how they are read, changed "
            f"({difference(note['input'], domain.fingerprint)}): choose another folder, or delete it"
        )
    if note["next"] == "finished":
        return counter
    try:
        start = None if note["next"] is None else domain.from_number(*note["next"])
    except (TypeError, ValueError) as error:
        raise InputError(f"{folder} holds a checkpoint of no place ({error}): choose another folder") from error
    last = time.monotonic()
    with tqdm(desc=domain.name, unit=" tokens", unit_scale=True, initial=counter.total(1), disable=None) as bar:
        for chunk in domain.chunks(start, context=order - 1):
            if folder is not None and time.monotonic() - last > CHECKPOINT_SECONDS:
                counter.checkpoint(
                    {"input": domain.fingerprint, "next": domain.to_number(Position(chunk.source, chunk.start))}
                )
                last = time.monotonic()
            try:
                counter.update(chunk.tokens, chunk.offsets, context=chunk.context)
            except ValueError as error:
                first = chunk.start - chunk.context
                place = chunk.source if first == 0 else f"{chunk.source}, counted from token {first}"
                raise InputError(f"domain {domain.name!r}: {place}: {error}") from error
            bar.update(len(chunk.tokens) - chunk.context)
    if folder is not None:
        counter.checkpoint({"input": domain.fingerprint, "next": "finished"})
    elif memory_limit is not None:
        counter._spill()  # the next domain's counter has the limit for itself
    return counter
