"""The folder of a counter's checkpoints.

``manifest.json`` names the files (``run-*.mlc``) that hold the counts of the last checkpoint, and is replaced in one
rename when the next one is complete. Files that it does not name are of an interrupted process, and are removed.
"""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mixlaw.entropy.inputs import InputRange, read_inputs
from mixlaw.errors import InputError
from mixlaw.files import check_schema, read_json, write_json

if TYPE_CHECKING:
    from mixlaw._core import Saved

SCHEMA = "mixlaw.checkpoint/1"
KINDS = ("ngrams", "tails", "history")
# Totals stand for every order, 0 above the counter's.
MAX_ORDER = 5


class Checkpoint(NamedTuple):
    """What a manifest says: where the counts are, of what, and the note that was left with them."""

    saved: "Saved"
    inputs: tuple[InputRange, ...]
    note: Any


class CheckpointFolder:
    """A folder that belongs to one counter as long as that exists.

    Parameters
    ----------
    folder
        Made if it is not there.

    Raises
    ------
    InputError
        If another counter, of this process or another one, uses it.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._manifest = self.folder / "manifest.json"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = open(self.folder / "lock", "w")  # noqa: SIM115 - held as long as this object lives
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise InputError(f"{self.folder}: another counter is at work there") from None

    def close(self) -> None:
        """Leave the folder to others."""
        self._lock.close()

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # where the constructor failed
            self.close()

    def read(self, identity: dict[str, Any]) -> Checkpoint | None:
        """Give the last checkpoint, None if there is none.

        Parameters
        ----------
        identity
            What the counter counts; the checkpoint must be of the same.

        Raises
        ------
        InputError
            If the manifest is none, or the checkpoint is of something else.
        """
        if not self._manifest.exists():
            return None
        content = check_schema(self._manifest, read_json(self._manifest), SCHEMA)
        try:
            counts = {key: content["counts"][key] for key in identity}
            tables = [self._table(table, counts["order"]) for table in content["tables"]]
            found = Checkpoint((_totals(content["totals"]), tables), read_inputs(content["inputs"]), content["note"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{self._manifest}: not a manifest of counts ({error!r})") from error
        for key, value in identity.items():
            if counts[key] != value:
                raise InputError(
                    f"{self.folder} holds a checkpoint of counts with {key} {counts[key]!r}, not {value!r}: "
                    "choose another folder, or delete it"
                )
        return found

    def remove_others(self, saved: "Saved | None") -> None:
        """Remove the files of an interrupted process: those that are not `saved`."""
        kept = {file for _, _, files in saved[1] for file in files} if saved else set()
        for path in self.folder.glob("run-*.mlc"):
            if str(path) not in kept:
                path.unlink()

    def _table(self, table: Any, order: int) -> tuple[str, int, list[str]]:
        kind, length, files = table["kind"], table["order"], table["files"]
        if kind not in KINDS or type(length) is not int or not 1 <= length <= order:
            raise ValueError(f"no table of {kind!r}, order {length!r}")
        if (kind == "ngrams") != (length == order):
            raise ValueError(f"no table of {kind!r} has order {length}")
        if type(files) is not list or any(type(name) is not str or os.path.basename(name) != name for name in files):
            raise ValueError(f"{files!r} are no names of files")
        return kind, length, [str(self.folder / name) for name in files]

    def write(self, saved: "Saved", identity: dict[str, Any], inputs: tuple[InputRange, ...], note: Any) -> None:
        """Make `saved` the last checkpoint, atomically."""
        totals, tables = saved
        write_json(
            self._manifest,
            SCHEMA,
            {
                "counts": identity,
                "totals": totals,
                "tables": [
                    {"kind": kind, "order": order, "files": [os.path.basename(file) for file in files]}
                    for kind, order, files in tables
                ],
                "inputs": [list(item) for item in inputs],
                "note": note,
            },
        )


def _totals(content: Any) -> list[int]:
    if type(content) is not list or len(content) != MAX_ORDER:
        raise ValueError(f"{content!r} are no totals")
    if any(type(total) is not int or not 0 <= total < 2**64 for total in content):
        raise ValueError(f"{content!r} are no totals")
    return content
