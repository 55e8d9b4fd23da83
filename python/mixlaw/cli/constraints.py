"""The options for constraints that `mixlaw optimize` and `mixlaw pareto` share, and their words as values."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from mixlaw.cli.named import bounds, named, number
from mixlaw.fitted import FittedLaw
from mixlaw.optimum import GroupBound, RatioBound
from mixlaw.optimum.constraints import ConstraintArguments

# Of the discount on repeated tokens: Muennighoff et al., 2023.
REPETITION = "15.39"

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--floor",
        "floors",
        metavar="[DOMAIN=]R",
        multiple=True,
        help="Least proportion of a domain, or of every domain that has none of its own; repeatable.",
    ),
    click.option(
        "--cap",
        "caps",
        metavar="[DOMAIN=]R",
        multiple=True,
        help="Largest proportion of a domain, or of every domain that has none of its own; repeatable.",
    ),
    click.option("--fix", "fixed", metavar="DOMAIN=R", multiple=True, help="Proportion of a domain; repeatable."),
    click.option(
        "--group",
        "groups",
        metavar="A,B,...=MIN:MAX",
        multiple=True,
        help="Bounds of what domains have together, of which one may be left out; repeatable.",
    ),
    click.option(
        "--ratio",
        "ratios",
        metavar="A,B=MIN:MAX",
        multiple=True,
        help="Bounds of the proportion of A divided by that of B, of which one may be left out; repeatable.",
    ),
    click.option(
        "--available",
        metavar="DOMAIN=TOKENS",
        multiple=True,
        help="Unique tokens that there are of a domain; repeatable. Others are unlimited.",
    ),
    click.option(
        "--max-epochs",
        metavar="[DOMAIN=]N",
        multiple=True,
        help="How often the tokens of a domain may be used, or those of every domain with --available; repeatable.",
    ),
    click.option("--budget", type=float, metavar="TOKENS", help="Tokens of the run; by default the value of --at."),
    click.option(
        "--repetition",
        type=float,
        is_flag=False,
        flag_value=REPETITION,
        metavar="[R]",
        help=f"Count repeated tokens for less, with this R*, or {REPETITION} without a number.",
    ),
)


def constraint_options(command: Command) -> Command:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def constraint_arguments(
    law: FittedLaw,
    *,
    floors: Sequence[str],
    caps: Sequence[str],
    fixed: Sequence[str],
    groups: Sequence[str],
    ratios: Sequence[str],
    available: Sequence[str],
    max_epochs: Sequence[str],
    budget: float | None,
    repetition: float | None,
) -> ConstraintArguments:
    """Arguments for `mixlaw.optimize` from the words of the options."""
    tokens = named("--available", available)
    return ConstraintArguments(
        floors=bounds("--floor", floors, law.train_domains),
        caps=bounds("--cap", caps, law.train_domains),
        fixed=named("--fix", fixed),
        groups=[GroupBound(names, **sides) for names, sides in _bounded("--group", groups)],
        ratios=[_ratio(names, sides) for names, sides in _bounded("--ratio", ratios)],
        available=tokens or None,
        max_epochs=bounds("--max-epochs", max_epochs, list(tokens)) if max_epochs else None,
        budget=budget,
        repetition=repetition,
    )


def _bounded(option: str, words: Sequence[str]) -> list[tuple[list[str], dict[str, float]]]:
    """``A,B=MIN:MAX`` words as names and bounds."""
    found = []
    for word in words:
        names, _, span = word.rpartition("=")
        low, colon, high = span.partition(":")
        if not (names and colon and (low or high)):
            raise click.BadParameter(f"{word!r} is not A,B=MIN:MAX", param_hint=option)
        sides = {"floor": low, "cap": high}
        found.append((names.split(","), {side: number(option, word, value) for side, value in sides.items() if value}))
    return found


def _ratio(names: Sequence[str], sides: dict[str, float]) -> RatioBound:
    if len(names) != 2:
        raise click.BadParameter(f"{','.join(names)!r} are not two domains", param_hint="--ratio")
    return RatioBound(names[0], names[1], **sides)
