"""Options of every command that counts, and the count files that they share."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mixlaw.entropy.counter import NgramCounter
from mixlaw.errors import InputError

_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


class Size(click.ParamType[int]):
    """A number of bytes: 500000000, 500MB, 1.5GiB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Give the bytes that `value` says."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", value, re.IGNORECASE)
        unit = _UNITS.get(match[2].upper()) if match else None
        if match is None or unit is None:
            self.fail(f"{value!r} is no size; write it as 500000000, 500MB or 1.5GiB", param, ctx)
        return int(float(match[1]) * unit)


def open_counts(file: Path, threads: int | None, memory: int | None) -> tuple[str, NgramCounter]:
    """Open a count file: the domain that it counts, and its counts.

    Raises
    ------
    InputError
        If there is no such file, it is no count file or one of no domain, or `memory` is too small for it.
    """
    if not file.exists():
        raise InputError(f"{file}: there is no such file")
    try:
        counter = NgramCounter.read(file, threads=threads, memory_limit=memory)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{file}: {error}") from error
    if counter.domain is None:
        raise InputError(f"{file}: does not say which domain it counts")
    return counter.domain, counter


def _groups(ctx: click.Context, param: click.Parameter, value: int) -> int:
    if 1 < value < 8:
        raise click.BadParameter(f"{value}: error bars and curve need 8 groups or more; 1 leaves them out")
    return value


memory_option = click.option(
    "--memory",
    type=Size(),
    metavar="SIZE",
    help="Memory that counts may take, as 2GB or 512MiB; the rest goes to files.  [default: no limit]",
)


def counting_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --groups, --threads, --memory and --resume."""
    for option in (
        click.option(
            "--resume",
            type=click.Path(file_okay=False),
            metavar="DIR",
            help="Keep checkpoints in this folder, and go on from those that are there.",
        ),
        memory_option,
        click.option("--threads", type=click.IntRange(min=1), help="The most threads that count.  [default: all]"),
        click.option(
            "--groups",
            type=click.IntRange(1, 256),
            callback=_groups,
            default=32,
            show_default=True,
            help="Groups of documents that are counted apart, for error bars: 8 or more; 1 is several times as fast.",
        ),
    ):
        command = option(command)
    return command
