"""``mixlaw baseline``: mixtures that need no runs."""

from collections.abc import Mapping
from pathlib import Path

import click

from mixlaw.cli.named import named
from mixlaw.cli.output import json_option, show
from mixlaw.design import temperature_mixture, unimax_mixture
from mixlaw.entropy_table import EntropyTable
from mixlaw.layout import aligned
from mixlaw.mixture import Mixture

SCHEMA = "mixlaw.baseline/1"
# Kind -> the options that it needs.
KINDS = {"natural": (), "uniform": (), "temperature": ("temperature",), "unimax": ("budget", "epochs")}


@click.command()
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.option(
    "--tokens", "counts", metavar="DOMAIN=N", multiple=True, help="Number of tokens of a domain; one for each domain."
)
@click.option(
    "--entropy",
    type=click.Path(path_type=Path),
    help="Take the tokens from this file, the entropy.json of `mixlaw entropy`.",
)
@click.option("--temperature", type=float, metavar="T", help="Of `temperature`: above 0; 1 is natural.")
@click.option("--budget", type=float, metavar="N", help="Of `unimax`: tokens of the run.")
@click.option("--epochs", type=float, metavar="N", help="Of `unimax`: how often a domain may be repeated at most.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the mixture to this file (JSON).")
@json_option
def baseline(
    kind: str,
    counts: tuple[str, ...],
    entropy: Path | None,
    temperature: float | None,
    budget: float | None,
    epochs: float | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Give a mixture that follows from the number of tokens of every domain.

    `natural` is proportional to them; `uniform` gives all domains the same; `temperature` is proportional to the tokens
    to the power of 1 / T; `unimax` is as uniform as a limit of the epochs over each domain allows.
    """
    if bool(counts) == (entropy is not None):
        raise click.UsageError("give the tokens of every domain by --tokens, or by --entropy")
    options = {"temperature": temperature, "budget": budget, "epochs": epochs}
    for name, value in options.items():
        if (value is not None) != (name in KINDS[kind]):
            raise click.UsageError(f"{kind} {'needs' if value is None else 'has no'} --{name}")
    tokens = named("--tokens", counts) if entropy is None else _counted(entropy)
    mixture = _mixture(kind, tokens, temperature, budget, epochs)
    if out is not None:
        mixture.write(out)
        click.echo(f"wrote {out}", err=True)
    used = {name: value for name, value in options.items() if value is not None}
    rows = [("domain", "tokens", "proportion"), *((d, f"{tokens[d]:.6g}", f"{mixture[d]:.6f}") for d in mixture)]
    show(as_json, SCHEMA, {"kind": kind, "tokens": tokens, **used, "mixture": dict(mixture)}, aligned(rows))


def _counted(entropy: Path) -> dict[str, float]:
    table = EntropyTable.read(entropy)
    return dict(zip(table.domains, map(float, table.tokens), strict=True))


def _mixture(
    kind: str, tokens: Mapping[str, float], temperature: float | None, budget: float | None, epochs: float | None
) -> Mixture:
    if temperature is not None:
        return temperature_mixture(tokens, temperature)
    if budget is not None and epochs is not None:
        return unimax_mixture(tokens, budget=budget, epochs=epochs)
    return Mixture.proportional(tokens if kind == "natural" else dict.fromkeys(tokens, 1.0))
