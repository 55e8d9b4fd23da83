"""``mixlaw``: the command group, and the exit codes of every command.

0 done, 1 failed, 2 bad usage or bad input, 130 interrupted. With ``--json`` a command prints JSON alone on stdout;
notices, progress and errors go to stderr.
"""

import importlib
import sys
import warnings
from typing import TextIO

import click

from mixlaw.errors import InputError, MixlawError

# Command -> its line in `mixlaw --help`; the module mixlaw.cli.<command> is imported when the command is used.
COMMANDS = {
    "entropy": "Entropies of every domain of a corpus, and the mixtures that follow from them.",
    "count": "Count the n-grams of a corpus, or of a shard of it, into count files.",
    "merge": "Add up count files of shards.",
    "tokenize": "Write a text corpus as token shards, for training.",
    "train": "Train small proxy models on several mixtures and record their losses.",
    "diagnose": "Say what is wrong with proxy runs, or limits what a law can say of them.",
    "compare": "Compare mixing laws on runs that they have not seen, and name the one to use.",
    "fit": "Fit a mixing law to the losses of proxy runs.",
    "predict": "Predict the loss of every domain for a mixture.",
    "optimize": "Find the mixture with the lowest predicted loss under constraints.",
    "pareto": "Find the mixtures that trade two groups of losses off against each other.",
    "propose": "Propose mixtures to train proxies on next.",
    "baseline": "Mixtures from the number of tokens of every domain alone.",
}


class _Commands(click.Group):
    """Lists the commands without importing them, so that ``mixlaw --help`` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(f"mixlaw.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="mixlaw")
def commands() -> None:
    """Choose the data mixture for pretraining a language model, by measurement."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code.

    Parameters
    ----------
    arguments
        Words of the command line; those of the process if not given.
    """
    warnings.showwarning = _notice
    try:
        commands.main(args=arguments, prog_name="mixlaw", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("mixlaw: interrupted", err=True)
        sys.exit(130)
    except (MixlawError, OSError) as error:
        click.echo(f"mixlaw: {error}", err=True)
        sys.exit(2 if isinstance(error, InputError) else 1)


def _notice(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    click.echo(f"mixlaw: {message}", err=True)
