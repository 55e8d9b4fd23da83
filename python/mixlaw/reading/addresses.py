"""Files at addresses (``s3://bucket/a.jsonl``): found and fetched through `fsspec`, for readers of local files."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from mixlaw.errors import InputError, MissingDependencyError, require
from mixlaw.reading.megatron import idx_path
from mixlaw.reading.tokenfiles import index_path


def is_address(path: str) -> bool:
    """Whether a path is an address, and no file of this machine."""
    return "://" in path


def find_addresses(pattern: str) -> list[str]:
    """Addresses of the files that an address, which may be a pattern, names.

    Raises
    ------
    InputError
        If they cannot be listed.
    MissingDependencyError
        If `fsspec`, or the library for this kind of address, is not installed.
    """
    files, path = file_system(pattern)
    with _worded(pattern):
        if files.isfile(path):  # whatever brackets its name has
            return [files.unstrip_protocol(path)]
        found = files.glob(path, detail=True)
        return [files.unstrip_protocol(name) for name, info in found.items() if info["type"] == "file"]


def address_size(address: str) -> int:
    """Bytes of the file at an address."""
    files, path = file_system(address)
    with _worded(address):
        return int(files.size(path))


def address_version(address: str) -> str:
    """What changes when the file at an address does, as far as its store tells."""
    files, path = file_system(address)
    with _worded(address):
        return str(files.ukey(path))


def fetch(address: str, kind: str, folder: str) -> str:
    """Copy the file at an address, with the index that its format keeps beside it, to a folder of this machine.

    Parameters
    ----------
    address
        The file.
    kind
        Its format, as in ``corpus.yaml``.
    folder
        Where the copy goes, under the same name.

    Returns
    -------
    str
        Path of the copy.
    """
    files, path = file_system(address)
    copy = os.path.join(folder, os.path.basename(path))
    with _worded(address):
        files.get_file(path, copy)
        index = {"npy": index_path, "megatron": idx_path}.get(kind)
        if index is not None and files.isfile(index(path)):
            files.get_file(index(path), index(copy))
    return copy


def file_system(address: str) -> tuple[Any, str]:
    """The `fsspec` file system of an address or path, and the path in it."""
    try:
        found: tuple[Any, str] = require("fsspec.core", "ray").url_to_fs(address)
    except ValueError as error:
        raise InputError(f"{address}: no address that fsspec knows ({error})") from error
    except ImportError as error:
        raise MissingDependencyError(f"{address}: {error}") from error
    return found


@contextlib.contextmanager
def _worded(address: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{address}: cannot be read ({error.strerror or error})") from error
