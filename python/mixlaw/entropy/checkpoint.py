"""Folders of checkpoints: those of counters, and those of second moments.

``manifest.json`` names the files that hold the last checkpoint, runs of counts (``run-*.mlc``) or a second moment
(``checkpoint-moment-*.npz``), and is replaced in one rename when the next one is complete. Files of such names that it
does not hold are of an interrupted process, and are removed.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from mixlaw.entropy.inputs import InputRange, difference, read_inputs
from mixlaw.entropy.second_moment import SecondMoment
from mixlaw.errors import InputError
from mixlaw.files import check_schema, read_json, write_json

if TYPE_CHECKING:
    from mixlaw._core import Saved

# What an interruption may cost, at most, and the time to count one more chunk, or to embed one more batch.
CHECKPOINT_SECONDS = 15.0
KINDS = ("ngrams", "tails", "history")
# Totals stand for every order, 0 above the counter's.
MAX_ORDER = 5


class Checkpoint(NamedTuple):
    """What a manifest says: where the counts are, of what, and the note that was left with them."""

    saved: "Saved"
    inputs: tuple[InputRange, ...]
    note: Any


class Place(NamedTuple):
    """Where vectors go on: behind `skip` of those of what begins at `offset` of a file, by its number, with `document`.

    `offset` is that of `Position`, and rows of a file of vectors; `document` counts those of the domain.
    """

    file: int
    offset: int
    skip: int
    document: int


class VectorCheckpoint(NamedTuple):
    """What a manifest says of vectors.

    Attributes
    ----------
    moment
        Their second moment.
    following
        Where they go on; None where all are in it.
    missing
        How many passages had no vector.
    """

    moment: SecondMoment
    following: Place | None
    missing: int


class CheckpointFolder:
    """A folder that belongs to one counter, or one measurement of vectors, as long as that exists.

    Parameters
    ----------
    folder
        Made if it is not there.

    Raises
    ------
    InputError
        If another counter or measurement, of this process or another one, uses it.
    """

    # Schema of the manifest, the key of what was counted in it, and how the files of checkpoints are called.
    schema: str
    subject: str
    pattern: str

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._manifest = self.folder / "manifest.json"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = open(self.folder / "lock", "w")  # noqa: SIM115 - held as long as this object lives
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise InputError(f"{self.folder}: in use, by this process or another one") from None

    def close(self) -> None:
        """Leave the folder to others."""
        self._lock.close()

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # where the constructor failed
            self.close()

    def _content(self) -> dict[str, Any] | None:
        """What the manifest holds; None if there is none."""
        if not self._manifest.exists():
            return None
        return check_schema(self._manifest, read_json(self._manifest), self.schema)

    def _not_a_manifest(self, error: Exception) -> InputError:
        return InputError(f"{self._manifest}: not a manifest of {self.subject} ({error!r})")

    def _check(self, found: dict[str, Any], identity: dict[str, Any]) -> None:
        """Refuse a checkpoint of something else."""
        for key, value in identity.items():
            if found[key] != value:
                what = f"{key} {found[key]!r}, not {value!r}"
                if isinstance(value, dict):
                    what = f"other {key} ({difference(found[key], value)})"
                raise InputError(
                    f"{self.folder} holds a checkpoint of {self.subject} with {what}: choose another folder, or "
                    "delete it"
                )

    def _write(self, identity: dict[str, Any], content: dict[str, Any]) -> None:
        write_json(self._manifest, self.schema, {self.subject: identity, **content})

    def _remove_others(self, kept: Iterable[str]) -> None:
        """Remove the files of an interrupted process: those that are not `kept`, and those that are not whole."""
        names = set(kept)
        for pattern in (self.pattern, f".{self.pattern}.*.part", f".{self._manifest.name}.*.part"):
            for path in self.folder.glob(pattern):
                if path.name not in names:
                    path.unlink()


class CountCheckpoints(CheckpointFolder):
    """Checkpoints of a counter."""

    schema = "mixlaw.checkpoint/1"
    subject = "counts"
    pattern = "run-*.mlc"

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
        content = self._content()
        if content is None:
            return None
        try:
            counts = {key: content["counts"][key] for key in identity}
            tables = [self._table(table, counts["order"]) for table in content["tables"]]
            found = Checkpoint((_totals(content["totals"]), tables), read_inputs(content["inputs"]), content["note"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._not_a_manifest(error) from error
        self._check(counts, identity)
        return found

    def remove_others(self, saved: "Saved | None") -> None:
        """Remove the files of an interrupted process: those that are not `saved`."""
        self._remove_others(os.path.basename(file) for _, _, files in (saved[1] if saved else ()) for file in files)

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
        self._write(
            identity,
            {
                "totals": totals,
                "tables": [
                    {"kind": kind, "order": order, "files": [os.path.basename(file) for file in files]}
                    for kind, order, files in tables
                ],
                "inputs": [list(item) for item in inputs],
                "note": note,
            },
        )


class VectorCheckpoints(CheckpointFolder):
    """Checkpoints of the second moment of a domain's vectors."""

    schema = "mixlaw.vector-checkpoint/1"
    subject = "vectors"
    pattern = "checkpoint-moment-*.npz"

    def read(self, identity: dict[str, Any]) -> VectorCheckpoint | None:
        """Give the last checkpoint, None if there is none; files of an interrupted process are removed.

        Parameters
        ----------
        identity
            What is measured; the checkpoint must be of the same.

        Raises
        ------
        InputError
            If the manifest is none, the checkpoint is of something else, or its second moment is gone or damaged.
        """
        content = self._content()
        if content is None:
            self._remove_others(())
            return None
        try:
            vectors = {key: content["vectors"][key] for key in identity}
            name, missing = content["moment"], content["missing"]
            following = None if content["next"] is None else Place(*content["next"])
            if type(name) is not str or os.path.basename(name) != name:
                raise ValueError(f"{name!r} is no name of a file")
            if any(type(number) is not int or number < 0 for number in (missing, *(following or ()))):
                raise ValueError(f"{[missing, following]} are no numbers")
        except (KeyError, TypeError, ValueError) as error:
            raise self._not_a_manifest(error) from error
        self._check(vectors, identity)
        found = VectorCheckpoint(SecondMoment.read(self.folder / name), following, missing)
        self._remove_others([name])
        return found

    def write(self, checkpoint: VectorCheckpoint, identity: dict[str, Any]) -> None:
        """Make `checkpoint` the last one, atomically."""
        # The same number of vectors is the same moment.
        name = f"checkpoint-moment-{checkpoint.moment.count}.npz"
        checkpoint.moment.write(self.folder / name)
        self._write(identity, {"moment": name, "next": checkpoint.following, "missing": checkpoint.missing})
        self._remove_others([name])


def domain_folder(checkpoint_dir: str | os.PathLike[str], domain: str) -> str:
    """Folder for the checkpoints of a domain, whatever characters its name has."""
    # A name of dots would be another folder.
    name = domain.replace(".", "%2E") if not domain.strip(".") else quote(domain, safe="")
    return os.path.join(checkpoint_dir, name)


def _totals(content: Any) -> list[int]:
    if type(content) is not list or len(content) != MAX_ORDER:
        raise ValueError(f"{content!r} are no totals")
    if any(type(total) is not int or not 0 <= total < 2**64 for total in content):
        raise ValueError(f"{content!r} are no totals")
    return content
