"""The run table that several commands read, and the options that say how."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import click

from mixlaw.errors import InputError
from mixlaw.runs import RunTable

_PARAMETERS = (
    click.argument("runs", type=click.Path(path_type=Path)),
    click.option("--metrics", type=click.Path(path_type=Path), help="Second file, where the losses are not in RUNS."),
    click.option("--key", help="Column that names the run in both files."),
    click.option(
        "--missing",
        type=click.Choice(["error", "drop"]),
        default="error",
        show_default=True,
        help="What becomes of a row that lacks a loss.",
    ),
    click.option("--without", metavar="COLUMN", multiple=True, help="Leave out a column of the file; repeatable."),
    click.option("--params", type=float, metavar="N", help="Use only the runs of models with N parameters."),
)
x_option = click.option(
    "--x",
    type=click.Choice(["tokens", "steps"]),
    default="tokens",
    show_default=True,
    help="What the length of training is measured in.",
)


def reads_runs(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the argument RUNS and its options; it is called with `path` and `table` in their place."""

    @functools.wraps(command)
    def reading(
        runs: Path,
        metrics: Path | None,
        key: str | None,
        missing: Literal["error", "drop"],
        without: tuple[str, ...],
        params: float | None,
        **rest: object,
    ) -> None:
        table = RunTable.read(runs, metrics=metrics, key=key, columns=dict.fromkeys(without), missing=missing)
        if params is not None:
            if not (table.params == params).any():
                raise InputError(f"{runs}: no run has {params:g} parameters")
            table = table.select(table.params == params)
        command(path=runs, table=table, **rest)

    for parameter in reversed(_PARAMETERS):
        reading = parameter(reading)
    return reading
