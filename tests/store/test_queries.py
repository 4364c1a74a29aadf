"""Named SQL: every query is used, says what it is for, and is the same set in each engine."""

import re
from pathlib import Path

import pytest

import gateway.store
from gateway.store import queries

FOLDER = Path(gateway.store.__file__).parent
FRAGMENTS = ("case", "claimed", "listed", "life", "parts", "phase")
ONLY = {"sqlite": "Only SQLite", "postgres": "Only PostgreSQL"}
ENGINES = sorted(folder.name for folder in (FOLDER / "sql").iterdir())


def sources(engine: str) -> list[tuple[str, str]]:
    """(name, text with comments) of an engine's queries."""
    found = []
    for file in sorted((FOLDER / "sql" / engine).glob("*.sql")):
        parts = re.split(r"^-- name: (\w+)$", file.read_text("utf-8"), flags=re.MULTILINE)
        found += list(zip(parts[1::2], parts[2::2], strict=True))
    return found


@pytest.mark.parametrize("engine", ENGINES)
def test_every_query_is_used(engine: str) -> None:
    files = [*FOLDER.glob("*.py"), *(FOLDER / engine).glob("*.py")]
    code = "".join(file.read_text("utf-8") for file in files)
    made = {f"purge_{table}" for table in re.findall(r'"(\w+)"', code)}

    unused = {name for name, _ in sources(engine) if f'"{name}"' not in code} - made

    assert unused == set()


@pytest.mark.parametrize("engine", ENGINES)
def test_every_query_says_what_it_is_for(engine: str) -> None:
    silent = {name for name, text in sources(engine) if not text.lstrip("\n").startswith("-- ")}

    assert silent == set()


def test_engines_have_the_same_queries_or_say_why_not() -> None:
    names = [{name for name, _ in sources(engine)} for engine in ENGINES]
    shared = set.intersection(*names)

    for engine in ENGINES:
        alone = {name for name, text in sources(engine) if f"\n-- {ONLY[engine]}: " in text}
        assert {name for name, _ in sources(engine)} == shared | alone
        assert not shared & alone


@pytest.mark.parametrize("engine", ENGINES)
def test_no_placeholder_is_left(engine: str) -> None:
    loaded = queries.load(engine, dict.fromkeys(FRAGMENTS, "1"))

    assert {name for name, _ in sources(engine)} == set(loaded)
    assert not [name for name, sql in loaded.items() if re.search(r"\{\w+\}", sql)]
    assert not [name for name, sql in loaded.items() if "--" in sql]


@pytest.mark.parametrize("engine", ENGINES)
def test_migrations_count_from_one_without_a_gap(engine: str) -> None:
    numbers = [number for number, _ in queries.migrations(engine)]

    assert numbers == list(range(1, len(numbers) + 1))
