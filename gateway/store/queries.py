"""Loads named SQL. A file holds queries, each headed `-- name: <name>` and lines of purpose."""

import re
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable

_HEADER = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load(engine: str, fragments: Mapping[str, str]) -> Mapping[str, str]:
    """All queries of an engine by name, with `{fragment}` placeholders filled in."""
    queries: dict[str, str] = {}
    for file in sorted(_folder(engine).iterdir(), key=lambda file: file.name):
        if not file.name.endswith(".sql"):
            continue
        parts = _HEADER.split(file.read_text("utf-8"))
        for name, sql in zip(parts[1::2], parts[2::2], strict=True):
            if name in queries:
                raise ValueError(f"query {name} is defined twice")
            queries[name] = _fill(_without_comments(sql), fragments)
    return queries


def migrations(engine: str) -> list[tuple[int, str]]:
    """(number, script), in order."""
    files = sorted(
        (file for file in _folder(engine).joinpath("migrations").iterdir()),
        key=lambda file: file.name,
    )
    return [(int(file.name.split("_")[0]), file.read_text("utf-8")) for file in files]


def _folder(engine: str) -> Traversable:
    return resources.files("gateway.store").joinpath("sql", engine)


def _without_comments(sql: str) -> str:
    lines = [line for line in sql.splitlines() if not line.startswith("--")]
    return "\n".join(lines).strip().rstrip(";")


def _fill(sql: str, fragments: Mapping[str, str]) -> str:
    for name, text in fragments.items():
        sql = sql.replace("{" + name + "}", text)
    return sql
