"""Keeps the tables of README.md and of gateway/providers/README.md what the code says.

`python -m gateway.cli.reference` rewrites the marked regions; `make reference` does the same.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from gateway.cli import provider_reference
from gateway.settings import ReferenceRow, reference

BEGIN = "<!-- settings: generated, see `make reference` -->"
END = "<!-- end of settings -->"
PROVIDERS = "<!-- providers: generated, see `make reference` -->"
PROVIDERS_END = "<!-- end of providers -->"


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
    return _replaced(text, BEGIN, table(), END)


def refreshed_providers(text: str) -> str:
    """The same for the tables of provider kinds."""
    return _replaced(text, PROVIDERS, provider_reference.tables(), PROVIDERS_END)


def _replaced(text: str, begin: str, region: str, end: str) -> str:
    head, found, rest = text.partition(begin)
    _, ended, tail = rest.partition(end)
    if not found or not ended:
        raise ValueError("the marks of the table are missing")
    return f"{head}{begin}\n\n{region}\n\n{end}{tail}"


def main(arguments: Sequence[str]) -> None:
    """Rewrite the tables in a checkout, this one unless another folder is named."""
    folder = Path(arguments[0] if arguments else ".")
    for name, fresh in (
        ("README.md", refreshed),
        ("gateway/providers/README.md", refreshed_providers),
    ):
        file = folder / name
        file.write_text(fresh(file.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
