"""What one machine of a cluster does: count some files, merge some count files, finish a domain.

Every task may be repeated, or run twice at once: it writes one file, whole, and always the same one.
"""

import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from mixlaw.engine.count_files import count_file_name, count_files, summary
from mixlaw.engine.folder import Folder
from mixlaw.engine.plan import InputFile
from mixlaw.entropy.counter import NgramCounter
from mixlaw.entropy.inputs import InputRange, joined_inputs
from mixlaw.errors import InputError, MixlawError
from mixlaw.reading.addresses import fetch, is_address
from mixlaw.reading.config import CorpusConfig, DomainConfig
from mixlaw.reading.load import open_corpus


@dataclass(frozen=True)
class Job:
    """What all tasks of a domain share.

    Attributes
    ----------
    config
        The corpus, with the domain, whose files are left out, as its only one.
    tokenizer
        Content of its ``tokenizer.json``, so that no other machine needs to see the file; None if there is none.
    out
        Path or address of the folder of the result.
    order, groups, threads, memory_limit
        As of `NgramCounter`.
    """

    config: CorpusConfig
    tokenizer: bytes | None
    out: str
    order: int
    groups: int
    threads: int
    memory_limit: int | None

    @property
    def domain(self) -> DomainConfig:
        """The domain."""
        return self.config.domains[0]

    @property
    def result(self) -> str:
        """Name of the count file of the whole domain."""
        return count_file_name(self.domain.name)

    @property
    def parts(self) -> Folder:
        """Folder of the count files that are on the way to the result."""
        return Folder(self.out) / f"{self.result.removesuffix('.mlc')}.parts"


def count_part(job: Job, files: Sequence[InputFile], name: str) -> None:
    """Count files into one count file; those at addresses are copied to this machine first.

    Raises
    ------
    InputError
        If a file cannot be read or is not what it should be.
    """
    with tempfile.TemporaryDirectory() as scratch:
        config = job.config
        if job.tokenizer is not None:
            path = os.path.join(scratch, "tokenizer.json")
            with open(path, "wb") as file:
                file.write(job.tokenizer)
            config = replace(config, tokenizer=path)
        here = []
        for number, item in enumerate(files):
            if is_address(item.path):
                folder = os.path.join(scratch, str(number))
                os.mkdir(folder)
                here.append(fetch(item.path, job.domain.format, folder))
            else:
                here.append(item.path)
        domain = replace(job.domain, files=tuple(here))
        try:
            counter = count_files(
                open_corpus(replace(config, domains=(domain,))),
                domain,
                [item.name for item in files],
                order=job.order,
                groups=job.groups,
                threads=job.threads,
                memory_limit=job.memory_limit,
            )
        except InputError as error:
            text = str(error)
            for item, copy in zip(files, here, strict=True):
                text = text.replace(copy, item.path)
            raise InputError(text) from error
        job.parts.write(counter, name)


def merge_parts(job: Job, names: Sequence[str], name: str, *_after: object) -> None:
    """Merge count files into one, after the tasks that make them.

    Raises
    ------
    InputError
        If one is damaged, or counted what another one counted.
    """
    with ExitStack() as stack:
        job.parts.write(_merged(job, names, stack), name)


def finish(job: Job, names: Sequence[str], plan: str, inputs: Sequence[InputRange], *_after: object) -> dict[str, Any]:
    """Make the count file of the domain, and the note by which a repeated command knows that it is there.

    Parameters
    ----------
    job
        The job.
    names
        The last count files to merge; none if the domain was finished before.
    plan
        Name of the plan's root.
    inputs
        All that should have been counted.

    Returns
    -------
    dict
        What ``mixlaw count`` says of the file, but for where it is.

    Raises
    ------
    MixlawError
        If something else was counted than should be.
    """
    out = Folder(job.out)
    with ExitStack() as stack:
        if names:
            counter = _merged(job, names, stack)
        else:
            counter = NgramCounter.read(stack.enter_context(out.here(job.result)), threads=job.threads)
        if counter.inputs != joined_inputs(inputs):
            raise MixlawError(f"{out.path(job.result)}: counts something else than was to be counted: delete it")
        if names:
            out.remove([note(job)])
            size = out.write(counter, job.result)
            out.write_text(note(job), plan)
        else:
            size = os.path.getsize(stack.enter_context(out.here(job.result)))
        return summary(counter, size)


def note(job: Job) -> str:
    """Name of the file that says of which plan the result is."""
    return f"{job.result}.plan"


def _merged(job: Job, names: Sequence[str], stack: ExitStack) -> NgramCounter:
    files = [stack.enter_context(job.parts.here(name)) for name in names]
    counter = NgramCounter.read(files[0], threads=job.threads, memory_limit=job.memory_limit)
    for file in files[1:]:
        counter.merge_file(file)
    return counter
