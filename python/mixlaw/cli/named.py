"""Words of the form DOMAIN=NUMBER on the command line, and the option `--weight` that several commands have."""

from collections.abc import Sequence

import click


def named(option: str, words: Sequence[str]) -> dict[str, float]:
    """``DOMAIN=NUMBER`` words as a mapping; a name may hold ``=`` itself."""
    values: dict[str, float] = {}
    for word in words:
        domain, _, text = word.rpartition("=")
        if not domain:
            raise click.BadParameter(f"{word!r} is not DOMAIN=NUMBER", param_hint=option)
        if domain in values:
            raise click.BadParameter(f"{domain!r} is given twice", param_hint=option)
        values[domain] = number(option, word, text)
    return values


def number(option: str, word: str, text: str) -> float:
    """`text`, which stands in `word`, as a number."""
    try:
        return float(text)
    except ValueError as error:
        raise click.BadParameter(f"{word!r}: {text!r} is not a number", param_hint=option) from error


def bounds(option: str, words: Sequence[str], domains: Sequence[str]) -> dict[str, float]:
    """``DOMAIN=NUMBER`` words, and at most one bare ``NUMBER`` for all other domains, as a mapping."""
    bare = [word for word in words if "=" not in word]
    if len(bare) > 1:
        raise click.BadParameter(f"{bare[0]!r} and {bare[1]!r} are both for every domain", param_hint=option)
    every = dict.fromkeys(domains, number(option, bare[0], bare[0])) if bare else {}
    return every | named(option, [word for word in words if "=" in word])


def _weights(context: click.Context, parameter: click.Parameter, words: Sequence[str]) -> dict[str, float] | None:
    return named("--weight", words) if words else None


weight_option = click.option(
    "--weight",
    "weights",
    metavar="DOMAIN=W",
    multiple=True,
    callback=_weights,
    help="Weight of an evaluation domain in the objective, in any scale; repeatable. Domains without one then count "
    "for nothing. Without this option all count the same.",
)
