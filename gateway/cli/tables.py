"""Tables for people, on a terminal or in a file."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from gateway.cli import output
from gateway.clock import isoformat

#: Columns of tables where there is no terminal to fit into.
_WIDE = 160


def console() -> Console:
    """The terminal, or a wide page where there is none."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=_WIDE)


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    title: str = "",
    *,
    whole: Collection[str] = ("id",),
    gap: int = 2,
) -> Table:
    """A plain table; texts are shown as they are, never read as markup. Numbers to the right.

    whole: columns that a narrow terminal does not break; they are there to be copied.
    gap: blanks between columns.
    """
    rows = [list(row) for row in rows]
    made = Table(
        title=title or None,
        title_justify="left",
        header_style="bold",
        box=None,
        pad_edge=False,
        padding=(0, gap - 1, 0, 1),
    )
    for place, name in enumerate(columns):
        numbers = bool(rows) and all(isinstance(row[place], int | float) for row in rows)
        made.add_column(
            name,
            justify="right" if numbers else "left",
            overflow="fold",
            no_wrap=name in whole,
            vertical="bottom" if "\n" in "".join(columns) else "top",
        )
    for row in rows:
        made.add_row(*(_cell(value) for value in row))
    return made


def _cell(value: object) -> str:
    text = f"{value:.1f}" if isinstance(value, float) else str(value)
    return text.replace("[", r"\[")


def show(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str = "There are none."
) -> None:
    """empty: what to say where there are no rows."""
    if rows:
        console().print(table(columns, rows))
    else:
        output.say(empty)


def moment(at_ms: int) -> str:
    """A point in time for people, to the second, in UTC."""
    return isoformat(at_ms)[:19].replace("T", " ")


def timeline(message: Mapping[str, Any]) -> Table:
    """What happened to a message, as the API gives it; times of day in UTC."""
    rows = [
        (entry["at"][11:23], entry["event"], entry["channel"], entry["provider"], entry["detail"])
        for entry in message["timeline"]
    ]
    title = f"{message['id']}  {message['state']}  ({message['category']})"
    columns = ("time (UTC)", "event", "channel", "provider", "detail")
    return table(columns, rows, title, whole=columns[:-1])
