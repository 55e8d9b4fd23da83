"""Options that were given though nothing would come of them."""

import click
from click.core import ParameterSource


def refuse(**reasons: str) -> None:
    """Refuse options that have no effect here, where they were given, be it with the value of their default.

    Parameters
    ----------
    reasons
        Parameter of the command that runs, such as ``embedding_column``, to what is said behind the option's name.

    Raises
    ------
    click.UsageError
        If one of them was given.
    """
    context = click.get_current_context()
    for name, reason in reasons.items():
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"--{name.replace('_', '-')} {reason}")
