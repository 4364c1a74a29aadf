"""What commands print: results on stdout, complaints on stderr, JSON where it was asked for."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

#: Indented; states as keys of a table are texts of their own kind.
_JSON = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS

#: Columns of tables where there is no terminal to fit into.
_WIDE = 160


def say(text: str = "") -> None:
    """A line of the result."""
    typer.echo(text)


def complain(text: str) -> None:
    """A line about trouble."""
    typer.echo(f"gateway: {text}", err=True)


def show_json(value: object) -> None:
    """A JSON document."""
    typer.echo(orjson.dumps(value, option=_JSON).decode())


def console() -> Console:
    """The terminal, or a wide page where there is none."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=_WIDE)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> Table:
    """A plain table; texts are shown as they are, never read as markup. Numbers to the right."""
    rows = [list(row) for row in rows]
    made = Table(title=title or None, title_justify="left", header_style="bold", box=None)
    for place, name in enumerate(columns):
        numbers = bool(rows) and all(isinstance(row[place], int | float) for row in rows)
        made.add_column(name, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        made.add_row(*(_cell(value) for value in row))
    return made


def _cell(value: object) -> str:
    text = f"{value:.1f}" if isinstance(value, float) else str(value)
    return text.replace("[", r"\[")


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> None:
    console().print(table(columns, rows, title))


def timeline(message: Mapping[str, Any]) -> Table:
    """What happened to a message, as the API gives it; times of day in UTC."""
    rows = [
        (entry["at"][11:23], entry["event"], entry["channel"], entry["provider"], entry["detail"])
        for entry in message["timeline"]
    ]
    title = f"{message['id']}  {message['state']}  ({message['category']})"
    return table(("time (UTC)", "event", "channel", "provider", "detail"), rows, title)
