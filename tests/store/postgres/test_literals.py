"""Columns reach the server as they were, whatever their texts hold."""

from typing import Any

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.store.postgres import literals
from gateway.store.postgres.statements import joined, single
from tests.store.server import Databases, beside

#: Anything but halves of surrogate pairs, and more often what has a meaning to somebody.
TEXTS = st.text(
    st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from('\x00\x1a\x1f01"\\{},N\n')),
    max_size=12,
)


async def echoed(url: str, columns: list[tuple[str, Any]]) -> list[Any]:
    """Columns, each of a type, as the server has understood them."""
    connection = await asyncpg.connect(url)
    try:
        return [
            await connection.fetchval(
                f"SELECT $1::text::{type_}[]", literals.column(values, of_texts=type_ == "text")
            )
            for type_, values in columns
        ]
    finally:
        await connection.close()


def test_texts_come_back(databases: Databases) -> None:
    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.lists(st.one_of(TEXTS, st.none()), max_size=5), min_size=20, max_size=40))
    def check(columns: list[list[str | None]]) -> None:
        found = beside(lambda: echoed(databases.at("postgres"), [("text", one) for one in columns]))

        back = [
            [one if one is None else literals.original(one) for one in column] for column in found
        ]
        assert back == columns

    check()


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        ("bigint", [1, -(2**63), 2**63 - 1, None]),
        ("float8", [0.1, 1e300, -1 / 3, 5.0]),
        ("boolean", [True, False, None]),
        ("integer", []),
    ],
)
def test_numbers_come_back(databases: Databases, type_: str, values: list[Any]) -> None:
    (found,) = beside(lambda: echoed(databases.at("postgres"), [(type_, values)]))

    assert found == values


@given(TEXTS, TEXTS)
def test_different_texts_are_stored_differently(one: str, other: str) -> None:
    assert (literals.text(one) == literals.text(other)) == (one == other)


def test_parameters_are_numbered_and_columns_known() -> None:
    statement = single("give_back")

    assert statement.names == ["message", "step", "part", "epoch", "due_ms", "owner"]
    assert list(statement.columns) == ["message", "step", "part", "epoch", "due_ms"]
    assert "$1::text::uuid[]" in statement.sql
    assert "= $6" in statement.sql
    assert ":" not in statement.sql.replace("::", "")


def test_queries_are_joined_with_their_parameters_in_turn() -> None:
    sql = joined(("drop_queue", "free_dedupe"))

    assert sql.startswith("WITH drop_queue AS (DELETE FROM queue")
    assert "message = ANY($4::text::uuid[])" in sql
