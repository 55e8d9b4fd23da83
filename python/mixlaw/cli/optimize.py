"""``mixlaw optimize``: the best mixture under a fitted law."""

from pathlib import Path
from typing import Any

import click

from mixlaw import laws
from mixlaw.cli.constraints import constraint_arguments, constraint_options
from mixlaw.cli.named import weight_option
from mixlaw.cli.output import json_option, show
from mixlaw.mixture import Mixture
from mixlaw.optimum import optimize as find_optimum
from mixlaw.optimum.problem import DRAWS
from mixlaw.optimum.result import SCHEMA


@click.command()
@click.argument("law", type=click.Path(path_type=Path))
@click.option("--at", type=float, required=True, metavar="X", help="Length of training, in the unit of the law.")
@click.option("--params", type=float, metavar="N", help="Model size in parameters; by default that of the runs.")
@weight_option
@click.option("--worst-case", is_flag=True, help="Minimise the largest weighted loss, not the mean.")
@click.option(
    "--risk",
    type=float,
    default=0.0,
    metavar="K",
    help="Add K standard deviations of the mean loss under the posterior of the law.",
)
@click.option("--prior", type=click.Path(path_type=Path), help="Mixture to stay near to (JSON); needs --pull.")
@click.option("--pull", type=float, default=0.0, metavar="W", help="Weight of the divergence KL(mixture || prior).")
@constraint_options
@click.option(
    "--baseline",
    "baselines",
    metavar="NAME=FILE",
    multiple=True,
    help="Mixture to compare with (JSON); repeatable. The uniform one and the best of the runs' are always there.",
)
@click.option(
    "--draws",
    type=int,
    default=DRAWS,
    show_default=True,
    metavar="N",
    help="Laws drawn from the posterior, for error bars; 0 for none.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all that is drawn.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the mixture to this file (JSON).")
@json_option
def optimize(
    law: Path,
    at: float,
    params: float | None,
    weights: dict[str, float] | None,
    worst_case: bool,
    risk: float,
    prior: Path | None,
    pull: float,
    baselines: tuple[str, ...],
    draws: int,
    seed: int,
    out: Path | None,
    as_json: bool,
    **constraints: Any,
) -> None:
    """Find the mixture with the lowest predicted loss under constraints.

    LAW is a file that `mixlaw fit --out` wrote. Prints the mixture with error bars, the predicted losses beside those
    of other mixtures, the constraints that hold it and what they cost, and how good the minimum is.
    """
    fitted = laws.read(law)
    best = find_optimum(
        fitted,
        at=at,
        params=params,
        weights=weights,
        worst_case=worst_case,
        risk=risk,
        prior=None if prior is None else Mixture.read(prior),
        pull=pull,
        baselines=_mixtures(baselines),
        draws=draws,
        seed=seed,
        **constraint_arguments(fitted, **constraints),
    )
    if out is not None:
        best.mixture.write(out)
        click.echo(f"wrote {out}", err=True)
    show(as_json, SCHEMA, best.content(), best.to_text())


def _mixtures(words: tuple[str, ...]) -> dict[str, Mixture]:
    """``NAME=FILE`` words as mixtures by name."""
    found: dict[str, Mixture] = {}
    for word in words:
        name, _, path = word.partition("=")
        if not (name and path):
            raise click.BadParameter(f"{word!r} is not NAME=FILE", param_hint="--baseline")
        if name in found:
            raise click.BadParameter(f"{name!r} is given twice", param_hint="--baseline")
        found[name] = Mixture.read(path)
    return found
