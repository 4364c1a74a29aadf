"""What commands print: results on stdout, complaints on stderr, JSON where it was asked for."""

import orjson
import typer

#: Indented; states as keys of a table are texts of their own kind.
_JSON = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS


def say(text: str = "") -> None:
    """A line of the result."""
    typer.echo(text)


def complain(text: str) -> None:
    """A line about trouble."""
    typer.echo(f"gateway: {text}", err=True)


def show_json(value: object) -> None:
    """A JSON document."""
    typer.echo(orjson.dumps(value, option=_JSON).decode())
