"""`plan`: how the files of a domain are divided among tasks, and in which tree their counts are merged.

Every node of the tree is one count file, whose name is a hash of what it is made of: its files with their sizes and
versions, how they are read, and what is counted. A file of that name is therefore what the node would make, and a
command that is repeated makes the missing ones alone.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from mixlaw.entropy.inputs import InputRange
from mixlaw.errors import InputError
from mixlaw.files import package_version
from mixlaw.reading.addresses import address_version, is_address
from mixlaw.reading.config import DomainConfig, file_bytes

# Count files that one task merges.
FAN_IN = 8


class InputFile(NamedTuple):
    """A file to count.

    Attributes
    ----------
    path
        Its absolute path or its address.
    name
        What it is called in the record: its path from the folder of ``corpus.yaml``, or its address.
    size
        Its bytes.
    version
        What changes when it does.
    """

    path: str
    name: str
    size: int
    version: str


@dataclass(frozen=True)
class Node:
    """A count file of the tree, made of input files or of other count files.

    Attributes
    ----------
    name
        Hash of what it is made of.
    files
        The input files that it counts; none where it merges.
    children
        The count files that it merges; none where it counts.
    """

    name: str
    files: tuple[InputFile, ...] = ()
    children: tuple["Node", ...] = ()

    def __iter__(self) -> Iterator["Node"]:
        """Give this node and all below it."""
        yield self
        for child in self.children:
            yield from child

    @property
    def inputs(self) -> list[InputRange]:
        """What it counts, as its count file records it."""
        return [InputRange(file.name, 0, file.size) for node in self for file in node.files]


def plan(domain: DomainConfig, folder: Path, task_bytes: int, settings: Any, fan_in: int = FAN_IN) -> Node:
    """Divide the files of a domain, in their order, into tasks, and make the tree that merges them.

    Parameters
    ----------
    domain
        The domain; a file of it is never divided.
    folder
        The folder of ``corpus.yaml``.
    task_bytes
        A task gets so many bytes of files at most, unless one file has more.
    settings
        What else the counts depend on, as JSON can hold it.
    fan_in
        Count files that one task merges, at least 2.

    Returns
    -------
    Node
        The root, which always merges.

    Raises
    ------
    InputError
        If a file is not there.
    """
    how = [asdict(replace(domain, files=())), settings, package_version()]
    tasks = _divided([_input(file, folder) for file in domain.files], task_bytes)
    level = [Node(_hash([how, [file[1:] for file in files]]), files=tuple(files)) for files in tasks]
    while True:
        above = []
        for first in range(0, len(level), fan_in):
            children = tuple(level[first : first + fan_in])
            above.append(Node(_hash([child.name for child in children]), children=children))
        if len(above) == 1:
            return above[0]
        level = above


def _input(file: str, folder: Path) -> InputFile:
    if is_address(file):
        return InputFile(file, file, file_bytes(file), address_version(file))
    try:
        status = os.stat(file)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror or error})") from error
    return InputFile(os.path.abspath(file), os.path.relpath(file, folder), status.st_size, str(status.st_mtime_ns))


def _divided(files: Sequence[InputFile], task_bytes: int) -> list[list[InputFile]]:
    tasks: list[list[InputFile]] = []
    room = -1
    for file in files:
        if file.size > room:
            tasks.append([])
            room = task_bytes
        tasks[-1].append(file)
        room -= file.size
    return tasks


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
