"""Keeps the settings table of README.md what the models say.

`python -m gateway.cli.reference` rewrites the marked region; `make reference` does the same.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from gateway.settings import ReferenceRow, reference

BEGIN = "<!-- settings: generated, see `make reference` -->"
END = "<!-- end of settings -->"


def row(one: ReferenceRow) -> str:
    """One line of the table."""
    default = f"`{one.default}`" if one.default and one.default != "required" else one.default
    cells = (f"`{one.key}`", one.type, default, one.description.replace("|", "\\|"))
    return f"| {' | '.join(cells)} |".replace("  |", " |")


def table() -> str:
    """The whole region, between the marks."""
    lines = ["| Key | Type | Default | Meaning |", "|---|---|---|---|"]
    return "\n".join([*lines, *map(row, reference())])


def refreshed(text: str) -> str:
    """The text with the region between the marks made new. Raises ValueError without marks."""
    head, found, rest = text.partition(BEGIN)
    _, ended, tail = rest.partition(END)
    if not found or not ended:
        raise ValueError("the marks of the settings table are missing")
    return f"{head}{BEGIN}\n\n{table()}\n\n{END}{tail}"


def main(arguments: Sequence[str]) -> None:
    """Rewrite the table in a file, `README.md` unless another one is named."""
    file = Path(arguments[0] if arguments else "README.md")
    file.write_text(refreshed(file.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
