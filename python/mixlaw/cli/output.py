"""How a command shows its result: a text for people, or JSON alone on stdout."""

import json
from collections.abc import Mapping
from typing import Any

import click

from mixlaw.files import stamped

json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON alone on stdout.")


def show(as_json: bool, schema: str, content: Mapping[str, Any], text: str) -> None:
    """Print `content` as JSON under its schema name if `as_json`, else `text`."""
    if as_json:
        click.echo(json.dumps(stamped(schema, content), indent=2, allow_nan=False, ensure_ascii=False))
    else:
        click.echo(text)
