"""What every file that mixlaw writes has in common: atomic replacement, a schema name and the package version.

A JSON file of ours is an object with ``"schema": "mixlaw.<noun>/<number>"`` and ``"mixlaw_version"``.
"""

import contextlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

from mixlaw.errors import InputError


def package_version() -> str:
    """Version of the installed package; ``"unknown"`` in a checkout on the path that nobody installed."""
    try:
        return version("mixlaw")
    except PackageNotFoundError:
        return "unknown"


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file that replaces `path` only when the block ends without an error.

    The bytes go to a temporary file beside `path`, are synced to disk, and take its name in one rename: a reader, or a
    crash, sees the old file or the new one, never half of it.

    Parameters
    ----------
    path
        The file to write.
    mode
        ``"w"`` for UTF-8 text whose line ends stay as written, ``"wb"`` for bytes.

    Raises
    ------
    InputError
        If the folder does not exist, or `path` is a folder, a device or a pipe.
    OSError
        If the disk is full or the folder forbids it; `path` is as it was.
    """
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    with replaced_file(path) as part, open(part, mode.replace("w", "x"), **text) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def replaced_file(path: str | os.PathLike[str]) -> Iterator[str]:
    """Give the path of a file to make, and sync to disk, that then takes the place of `path` in one rename.

    Raises
    ------
    InputError
        If the folder does not exist, or `path` is a folder, a device or a pipe.
    OSError
        If the folder forbids it; `path` is as it was.
    """
    # Through links, so that the file they lead to is replaced and not the link.
    target = Path(path).resolve()
    if not target.parent.is_dir():
        raise InputError(f"{path}: cannot be written, there is no folder {target.parent}")
    if target.exists() and not target.is_file():
        raise InputError(f"{path}: cannot be written, it is no regular file")
    part = target.parent / f".{target.name[:40]}.{secrets.token_hex(8)}.part"
    try:
        yield str(part)
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Put a rename on disk too; some network file systems cannot, and the file is whole all the same."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: str | os.PathLike[str], schema: str, content: Mapping[str, Any]) -> None:
    """Write `content` atomically as JSON under the schema name `schema` (for example ``"mixlaw.mixture/1"``).

    Raises
    ------
    ValueError
        If a number in `content` is NaN or infinite: JSON has no such numbers.
    """
    with atomic_write(path) as file:
        json.dump(stamped(schema, content), file, indent=2, allow_nan=False, ensure_ascii=False)
        file.write("\n")


def stamped(schema: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """`content` with the two keys that every JSON object of ours carries in front."""
    return {"schema": schema, "mixlaw_version": package_version(), **content}


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file.

    Raises
    ------
    InputError
        If the file is absent, is no UTF-8, is no JSON, or repeats a key; the message names the file and the place.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            return json.load(file, object_pairs_hook=_object)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}, column {error.colno}: not JSON ({error.msg})") from error
    except (RecursionError, ValueError) as error:  # nested too deeply, a number of too many digits, a repeated key
        raise InputError(f"{path}: {error}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} stands twice")
    return made


def check_schema(path: str | os.PathLike[str], content: Any, schema: str) -> dict[str, Any]:
    """Return `content` as a dict if it carries the schema name `schema`.

    Raises
    ------
    InputError
        If it is no JSON object, or is one of another kind or of a newer version.
    """
    found = content.get("schema") if isinstance(content, dict) else None
    if found != schema:
        raise InputError(f"{path}: expected a file of schema {schema!r}, found {found!r}")
    assert isinstance(content, dict)
    return content
