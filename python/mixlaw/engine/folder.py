"""`Folder`: where the count files of a job are, which may be a disk that all machines share or an object store."""

import contextlib
import os
import posixpath
import tempfile
from collections.abc import Iterable, Iterator

from mixlaw.entropy.counter import NgramCounter
from mixlaw.errors import InputError
from mixlaw.files import atomic_write
from mixlaw.reading.addresses import file_system, is_address


class Folder:
    """A folder of count files.

    Whatever is written takes its place whole: on a disk by renaming, in an object store by its own rule.

    Parameters
    ----------
    place
        Path, or address that `fsspec` knows.
    """

    def __init__(self, place: str) -> None:
        self.place = place if is_address(place) else os.path.abspath(place)
        self._is_local = not is_address(place)

    def __truediv__(self, name: str) -> "Folder":
        return Folder(posixpath.join(self.place, name))

    def path(self, name: str) -> str:
        """Path or address of a file in it."""
        return posixpath.join(self.place, name)

    def make(self) -> None:
        """Make the folder, where there is such a thing."""
        if self._is_local:
            os.makedirs(self.place, exist_ok=True)
        else:
            files, path = file_system(self.place)
            files.makedirs(path, exist_ok=True)

    def names(self) -> set[str]:
        """Names of the files in it; none if there is no such folder."""
        try:
            if self._is_local:
                return set(os.listdir(self.place))
            files, path = file_system(self.place)
            files.invalidate_cache()
            return {posixpath.basename(found) for found in files.ls(path, detail=False)}
        except FileNotFoundError:
            return set()

    def write(self, counter: NgramCounter, name: str) -> int:
        """Write a count file, and give its bytes."""
        if self._is_local:
            counter.write(self.path(name))
            return os.path.getsize(self.path(name))
        with tempfile.TemporaryDirectory() as scratch:
            copy = os.path.join(scratch, "counts.mlc")
            counter.write(copy)
            files, path = file_system(self.path(name))
            files.put_file(copy, path)
            return os.path.getsize(copy)

    @contextlib.contextmanager
    def here(self, name: str) -> Iterator[str]:
        """Give the path of a file of the folder on this machine, which may be a copy that vanishes.

        Raises
        ------
        InputError
            If there is no such file.
        """
        if self._is_local:
            if not os.path.isfile(self.path(name)):
                raise InputError(f"{self.path(name)}: is not there: every machine must see the folder {self.place}")
            yield self.path(name)
            return
        with tempfile.TemporaryDirectory() as scratch:
            files, path = file_system(self.path(name))
            copy = os.path.join(scratch, "counts.mlc")
            files.get_file(path, copy)
            yield copy

    def read_text(self, name: str) -> str:
        """Content of a small file; nothing if it is not there."""
        try:
            if self._is_local:
                with open(self.path(name), encoding="utf-8") as file:
                    return file.read()
            files, path = file_system(self.path(name))
            files.invalidate_cache()
            return str(files.cat_file(path).decode())
        except FileNotFoundError:
            return ""

    def write_text(self, name: str, text: str) -> None:
        """Write a small file."""
        if self._is_local:
            with atomic_write(self.path(name)) as part:
                part.write(text)
        else:
            files, path = file_system(self.path(name))
            files.pipe_file(path, text.encode())

    def remove(self, names: Iterable[str]) -> None:
        """Remove those of the files that are there."""
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                if self._is_local:
                    os.remove(self.path(name))
                else:
                    files, path = file_system(self.path(name))
                    files.rm_file(path)

    def clear(self) -> None:
        """Remove the folder, in which there are files alone."""
        self.remove(self.names())
        if self._is_local:
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(self.place)
