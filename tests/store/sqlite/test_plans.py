"""The plans of hot queries: rows come from an index, in its order; only merged heads are sorted."""

import re
from collections.abc import Iterator
from typing import Any

import apsw
import pytest

from gateway.store import queries
from gateway.store.sqlite.engine import QUERIES

#: Parameters that hold lists; the values of the others do not matter to the planner.
LISTS = frozenset({"rows", "pins", "lanes", "providers"})

#: Tables that grow without bound.
LARGE = (
    "queue",
    "message",
    "status",
    "attempt",
    "receipt",
    "event",
    "reference",
    "consent",
    "suppression",
    "cap_use",
    "cap_wait",
)


@pytest.fixture(scope="module")
def connection() -> Iterator[apsw.Connection]:
    """An empty database with as many rows, so it is told, as a busy gateway has."""
    connection = apsw.Connection(":memory:")
    for _, script in queries.migrations("sqlite"):
        connection.execute(script)
    connection.execute("ANALYZE")
    connection.execute(
        "INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES "
        "('queue', 'queue', '1000000 1 1 1'), "
        "('queue', 'queue_ready', '900000 300000 300000 100000 1'), "
        "('queue', 'queue_waiting', '100000 30000 10000 1'), "
        "('queue', 'queue_expiry', '1000000 10'), "
        "('message', 'message', '10000000 1'), "
        "('status', 'status', '10000000 1')"
    )
    connection.execute("ANALYZE sqlite_schema")
    yield connection
    connection.close()


def plan_of(connection: apsw.Connection, name: str) -> list[str]:
    sql = QUERIES[name]
    names = set(re.findall(r":([a-z_]+)", sql))
    values: dict[str, Any] = {name: "[]" if name in LISTS else 1 for name in names}
    return [str(row[3]) for row in connection.execute("EXPLAIN QUERY PLAN " + sql, values)]


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("head_due", "queue_ready"),
        ("heads", "queue_ready"),
        ("heads_of_pins", "queue_ready"),
        ("ready_pins", "queue_ready"),
        ("lane_overview", "queue_ready"),
        ("lane_overview", "queue_waiting"),
        ("due_rows", "queue_waiting"),
        ("unpin", "queue_ready"),
        ("expired", "queue_expiry"),
        ("list_rare", "status_rare"),
        ("webhooks_of", "message_endpoint"),
    ],
)
def test_index_finds_the_rows(connection: apsw.Connection, name: str, index: str) -> None:
    plan = plan_of(connection, name)

    assert any(f"USING INDEX {index}" in line or f"INDEX {index} " in line for line in plan), plan


@pytest.mark.parametrize(
    "name", ["head_due", "any_ready", "heads", "heads_of_pins", "due_rows", "expired", "ready_pins"]
)
def test_nothing_is_sorted_but_heads(connection: apsw.Connection, name: str) -> None:
    """Sorted are at most the rows of the limit: two merged heads, and the aggregate's own."""
    plan = plan_of(connection, name)
    limited = {"SCAN (subquery-1)", "SCAN (subquery-3)", "SCAN h"}

    for line, follower in zip(["", *plan], plan, strict=False):
        if "TEMP B-TREE FOR ORDER BY" in follower:
            assert line in limited, plan


@pytest.mark.parametrize(
    "name",
    [
        "head_due",
        "any_ready",
        "heads",
        "heads_of_pins",
        "ready_pins",
        "take",
        "give_back",
        "expired",
        "adopt",
        "cases",
        "stale",
        "being_sent",
        "set_statuses",
        "drop_queue",
        "due_rows",
        "promote",
        "unpin",
        "seen_keys",
        "seen_dedupe",
        "free_dedupe",
        "known_references",
        "consented",
        "suppressed",
        "consents",
        "standings",
        "drop_consents",
        "drop_refusals",
        "lift",
        "list_suppressions",
        "purge_suppressions",
        "purge_consents",
        "purge_reference",
        "purge_event",
        "read_caps",
        "read_last_uses",
        "pass_caps",
        "free_caps",
        "waiters",
        "end_waits",
        "wake",
        "purge_waits",
        "purge_caps",
    ],
)
def test_no_large_table_is_read_from_end_to_end(connection: apsw.Connection, name: str) -> None:
    aliases = {"q", "m", "s", "a", "c", "l", "x", "i", "d", "f", "u", "w"}

    scanned = {line.split()[1] for line in plan_of(connection, name) if line.startswith("SCAN")}

    assert not scanned & {*LARGE, *aliases}


def test_consents_are_looked_up_by_address(connection: apsw.Connection) -> None:
    plan = plan_of(connection, "consented")

    assert any("category=? AND channel=? AND hash=?" in line for line in plan), plan


def test_list_begins_and_ends_in_the_index(connection: apsw.Connection) -> None:
    plan = plan_of(connection, "list_messages")

    assert any("message_tenant (tenant=? AND id>? AND id<?)" in line for line in plan), plan
    assert not any("TEMP B-TREE" in line for line in plan), plan
