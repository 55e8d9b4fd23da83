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

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # where the constructor failed
            self._lock.close()

    def read(self, identity: dict[str, Any]) -> Checkpoint | None:
        """Give the last checkpoint, None if there is none, and remove files that it does not name.

        Parameters
        ----------
        identity
            What the counter counts; the checkpoint must be of the same.

        Raises
        ------
        InputError
            If the manifest is none, a file that it names is gone, or the checkpoint is of something else.
        """
        found, names = None, set()
        if self._manifest.exists():
            content = check_schema(self._manifest, read_json(self._manifest), SCHEMA)
            try:
                for key, value in identity.items():
                    if content["counts"][key] != value:
                        raise InputError(
                            f"{self.folder} holds a checkpoint of counts with {key} {content['counts'][key]!r}, not "
                            f"{value!r}: choose another folder, or delete it"
                        )
                tables = [(table["kind"], table["order"], list(table["files"])) for table in content["tables"]]
                names = {name for _, _, files in tables for name in files}
                saved = (
                    list(content["totals"]),
                    [(kind, order, [str(self.folder / name) for name in files]) for kind, order, files in tables],
                )
                found = Checkpoint(saved, read_inputs(content["inputs"]), content["note"])
            except (KeyError, TypeError) as error:
                raise InputError(f"{self._manifest}: not a manifest of counts ({error!r})") from error
        for path in self.folder.glob("run-*.mlc"):
            if path.name not in names:
                path.unlink()
        return found

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
