"""The plans of hot queries in a large backlog: rows come from an index, in its order.

With the statistics of an empty database, as they are when a crowd has just come, with those of the
backlog, and with those of a million rows. The planner is told of the million: on as few pages, so
reading them all looks cheaper than it is. GATEWAY_TEST_ROWS=1000000 lays that many, in a minute.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import asyncpg
import orjson
import pytest

from gateway.store.postgres import days
from gateway.store.postgres.engine import _SETTINGS
from gateway.store.postgres.statements import single
from tests.store.server import Databases, beside

NOW_MS = 1_800_000_000_000
ROWS = int(os.environ.get("GATEWAY_TEST_ROWS", "30000"))
IDS = [f"01a3185c-{number:04x}-7000-8000-000000000000" for number in range(500)]
ENDS = {"first": IDS[0], "last": IDS[-1]}
OURS = {"owner": "n1", "ticket": 1}

#: Of a few lanes and priorities; some rows kept for a provider, some waiting, some claimed.
FILL = f"""
    INSERT INTO queue (message, step, part, lane, pin, priority, rank, flow, weight, due_ms,
                       expires_ms, attempts, units, once, epoch, owner)
    SELECT (lpad(to_hex({NOW_MS} + n), 12, '0') || '7' || lpad(to_hex(n), 19, '0'))::uuid, 0, 0,
           (ARRAY['sms', 'email', 'push', 'webhook'])[1 + n % 4],
           CASE WHEN n % 4 = 3 THEN 'endpoint' || n % 999 WHEN n % 97 = 0 THEN 'acme' ELSE '' END,
           n / 7 % 4, CASE WHEN n % 10 = 3 THEN NULL ELSE n END, 'tenant' || n % 50, 1,
           {NOW_MS} + n, {NOW_MS} + 86400000 + n, 0, 1, n % 11 = 0, 0,
           CASE WHEN n % 1000 = 0 THEN 'n' || n % 3 END
    FROM generate_series(1, {ROWS}) n;
    INSERT INTO message (id, tenant, category, internal, endpoint, created_ms, body)
    SELECT message, flow, 'service', lane = 'webhook', nullif(pin, ''), due_ms,
           '{{"chain": []}}' FROM queue;
    INSERT INTO status (message, tenant, state, version, redrive, expires_ms)
    SELECT message, flow, CASE WHEN due_ms % 50 = 0 THEN 'failed' ELSE 'queued' END, 1, 0,
           expires_ms FROM queue;
    INSERT INTO attempt SELECT message, 0, 0, 0, 1, 'acme', 'accepted', '', '', 1, 2 FROM queue;
    INSERT INTO idempotency SELECT flow, message::text, '', message, due_ms FROM queue;
    INSERT INTO cap_use SELECT md5(message::text), 'c', message, '', due_ms, true, due_ms
    FROM queue;
    INSERT INTO cap_wait SELECT md5(message::text), 'c', message, due_ms, due_ms FROM queue;
    INSERT INTO recipient SELECT 'shop', message, '{{}}', 1 FROM queue;
    INSERT INTO recipient_address SELECT 'sms', md5(message::text), 'shop', message, '' FROM queue;
    INSERT INTO message_recipient SELECT 'shop', message, message FROM queue;
    INSERT INTO consent (tenant, category, channel, hash, source, at_ms)
    SELECT 'shop', 'news', 'sms', md5(message::text), 'form', 1 FROM queue;
    INSERT INTO suppression (tenant, category, channel, hash, sender, reason, detail, source, at_ms)
    SELECT CASE WHEN due_ms % 2 = 0 THEN 'shop' ELSE '' END, '', 'sms', md5(message::text), '',
           'hard_bounce', '', 'desk', 1 FROM queue;
    INSERT INTO latest SELECT 'shop', message, message, 1, 2 FROM queue;
    INSERT INTO habit SELECT md5(message::text), 'sms', 1, 1, 1 FROM queue;
    INSERT INTO contact SELECT 'acme', md5(message::text), message, 1 FROM queue"""

_NAMES = {"channel": ["sms"] * 500, "hash": IDS}
_KEYS = {"tenant": ["shop"] * 500, "category": ["news"] * 500, **_NAMES}

#: Those that look up some of a tenant's many, with what each must be found by.
LOOKUPS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "known_recipients": ("id", {"tenant": "shop", "id": IDS, "body": IDS}),
    "read_recipients": ("id", {"tenant": "shop", "id": IDS}),
    "drop_addresses": ("recipient", {"tenant": "shop", "id": IDS}),
    "lift_deaths": ("hash", {"tenant": "shop", "id": IDS, "reason": IDS, **_NAMES}),
    "find_recipients": ("hash", {"tenant": "shop", **_NAMES}),
    "named": ("recipient", {"tenant": "shop", "recipient": "li", "after": IDS[0], "limit": 100}),
    "suppressed": ("hash", {"now_ms": NOW_MS, **_NAMES}),
    "consented": ("hash", {"tenant": "shop", "category": "news", "now_ms": NOW_MS, **_NAMES}),
    "consents": ("hash", {"tenant": "shop", "now_ms": NOW_MS, **_NAMES}),
    "standings": ("hash", {"now_ms": NOW_MS, **_KEYS}),
    "drop_consents": ("hash", _KEYS),
    "drop_refusals": ("hash", _KEYS),
    "forget_consents": ("hash", {"tenant": "shop", **_NAMES}),
    "latest": ("key", {"tenant": ["shop"] * 500, "key": IDS}),
    "erase_words": ("key", {"tenant": ["shop"] * 500, "key": IDS, "message": IDS}),
    "habits": ("subject", {"subjects": IDS}),
}

#: Queries with values for their parameters.
QUERIES: Mapping[str, dict[str, Any]] = {
    "heads": {
        "lane": "sms",
        "provider": "acme",
        "lowest": 0,
        "highest": 3,
        "limit": 500,
        "unpinned": 500,
        "head_due_by_ms": NOW_MS,
        "startable": 100,
        **OURS,
    },
    "heads_of_pins": {
        "lane": "webhook",
        "pins": ["endpoint3", "endpoint7"],
        "wanted": [2, 2],
        "taker": "webhook",
        **OURS,
    },
    "ready_pins": {"lane": "webhook"},
    "expired": {"now_ms": NOW_MS + 86_500_000, "limit": 500, **OURS},
    "orphans": {"limit": 500, "dead_after": 6.0, **OURS},
    "due_rows": {"lane": "sms", "priority": 2, "now_ms": NOW_MS + 10_000, "limit": 500},
    "lane_overview": {"lanes": ["sms", "email"], "most": 5000},
    "unpin": {"lane": "sms", "provider": "acme", "limit": 500},
    "undo_claims": {"owner": "n1", "tickets": [1]},
    "cases": {"messages": IDS, **ENDS},
    "stale": {
        "message": IDS,
        "version": [0] * 500,
        "step": [0] * 500,
        "part": [0] * 500,
        "epoch": [1] * 500,
        "owner": "n1",
        **ENDS,
    },
    "being_sent": {"message": IDS, "step": [0] * 500, "part": [0] * 500, "place": [0] * 500},
    "set_statuses": {
        "message": IDS,
        "state": ["sent"] * 500,
        "redrive": [0] * 500,
        "ending": [None] * 500,
        "expires_ms": [9] * 500,
        **ENDS,
    },
    "drop_queue": {"message": IDS, "step": [0] * 500, "part": [0] * 500},
    "give_back": {
        "message": IDS,
        "step": [0] * 500,
        "part": [0] * 500,
        "epoch": [1] * 500,
        "due_ms": [None] * 500,
        "owner": "n1",
    },
    "promote": {"message": IDS, "step": [0] * 500, "part": [0] * 500, "rank": [1.0] * 500},
    "message_head": {"message": IDS[0], "tenant": "tenant1"},
    "list_messages": {
        "tenant": "tenant1",
        "first": IDS[0],
        "before": IDS[-1],
        "category": "",
        "state": "",
        "limit": 50,
    },
    "list_rare": {
        "tenant": "tenant1",
        "first": IDS[0],
        "before": IDS[-1],
        "category": "",
        "state": "failed",
        "limit": 50,
    },
    "dead_messages": {"tenant": "", "cursor": IDS[0], "limit": 50},
    "webhooks_of": {"endpoint": "endpoint3", "first": IDS[0], "only_failed": True, "limit": 50},
    "list_phase": {
        "tenant": "tenant1",
        "first": IDS[0],
        "before": IDS[-1],
        "category": "",
        "phase": "queued",
        "limit": 50,
    },
    "old_messages": {"before": IDS[-1], "limit": 500},
    "without_work": {"messages": IDS},
    "purge_keys": {"now_ms": NOW_MS, "limit": 500},
    "read_caps": {"subject": IDS, "cap": ["c"] * 500},
    "read_last_uses": {"subject": IDS, "cap": ["c"] * 500},
    "pass_caps": {"message": IDS, "heir": IDS},
    "free_caps": {"message": IDS, "channel": [""] * 500},
    "waiters": {"subject": IDS, "cap": ["c"] * 500, "limit": 500},
    "hold_waited": {"message": IDS},
    "end_waits": {"message": IDS},
    "wake": {"message": IDS, "until_ms": [NOW_MS] * 500, "now_ms": NOW_MS},
    "purge_waits": {"now_ms": NOW_MS, "limit": 500},
    "purge_caps": {"now_ms": NOW_MS, "limit": 500},
    "owners": {"hash": "a"},
    "note_death": {"tenant": ["shop"], "recipient": ["1"], "hash": "a", "reason": "gone"},
    **{name: values for name, (_, values) in LOOKUPS.items()},
}

#: Those whose order must be that of an index: nothing is sorted but what a limit let through.
ORDERED = ("heads", "heads_of_pins", "ready_pins", "expired", "due_rows", "lane_overview", "unpin")

PEOPLE = frozenset({"recipient", "suppression", "consent", "latest", "habit", "contact"})
LARGE = frozenset({"queue", "message", "status", "attempt", "idempotency", "cap"}) | PEOPLE

EMPTY, BACKLOG, MILLION = STATISTICS = (
    "of an empty database",
    "of the backlog",
    "of a million rows",
)

#: What brings them about, from one to the next.
CHANGES = {
    EMPTY: "SELECT 1",
    BACKLOG: "ANALYZE",
    MILLION: f"""UPDATE pg_class SET reltuples = reltuples * 1e6 / {ROWS}
                 WHERE relname ~ '^({"|".join(sorted(LARGE))})' AND reltuples > 0""",
}

Node = dict[str, Any]


async def plan_of(connection: "asyncpg.Connection[Any]", sql: str, *values: object) -> Node:
    text = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {sql}", *values)
    plan: Node = orjson.loads(text)[0]["Plan"]
    return plan


@pytest.fixture(scope="module")
def plans(databases: Databases, template: str) -> Iterator[Mapping[tuple[str, str], Node]]:
    """By (statistics, query)."""
    name = databases.create(template)
    found: dict[tuple[str, str], Node] = {}

    async def explain() -> None:
        settings = {**_SETTINGS, "statement_timeout": "0"}
        connection = await asyncpg.connect(databases.at(name), server_settings=settings)
        await days.make_ahead(connection, NOW_MS)
        await connection.execute("ANALYZE")
        await connection.execute(FILL)
        for statistics in STATISTICS:
            await connection.execute(CHANGES[statistics])
            found[statistics, "all"] = await plan_of(connection, "SELECT * FROM queue")
            for query, values in QUERIES.items():
                statement = single(query)
                found[statistics, query] = await plan_of(
                    connection, statement.sql, *statement.parameters(values)
                )
        await connection.close()

    beside(explain)
    yield found
    databases.drop(name)


def nodes(plan: Node) -> Iterator[Node]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def inputs(plan: Node) -> Iterator[Node]:
    """What a node reads, up to limits and tables that were made before (CTEs)."""
    for part in plan.get("Plans", ()):
        if "Subplan Name" not in part:
            yield part
            if part["Node Type"] != "Limit":
                yield from inputs(part)


def table(node: Node) -> str:
    """Without the name of the day, and to its first word."""
    return str(node.get("Relation Name", "")).partition("_")[0]


@pytest.mark.parametrize("statistics", STATISTICS)
@pytest.mark.parametrize("query", QUERIES)
def test_no_large_table_is_read_from_end_to_end(
    plans: Mapping[tuple[str, str], Node], statistics: str, query: str
) -> None:
    plan = plans[statistics, query]

    scans = [node for node in nodes(plan) if table(node) in LARGE and "Scan" in node["Node Type"]]

    assert scans
    for node in scans:
        if node["Node Type"] == "Tid Scan":  # of rows that were found before
            continue
        assert node["Node Type"] in ("Index Scan", "Index Only Scan"), node
        assert "Index Cond" in node, node


@pytest.mark.parametrize("statistics", STATISTICS)
@pytest.mark.parametrize("query", LOOKUPS)
def test_some_of_many_are_looked_up_one_by_one(
    plans: Mapping[tuple[str, str], Node], statistics: str, query: str
) -> None:
    """Not by reading all that the tenant has, which an index can give as well."""
    key = LOOKUPS[query][0]

    for node in nodes(plans[statistics, query]):
        if (table(node) in PEOPLE or query == "named") and "Index Name" in node:
            found = {f"({name} = " for name in (key, "id", "recipient")}
            assert any(one in node["Index Cond"] for one in found), str(node)


@pytest.mark.parametrize("statistics", STATISTICS)
@pytest.mark.parametrize("query", ORDERED)
def test_nothing_is_sorted_but_heads(
    plans: Mapping[tuple[str, str], Node], statistics: str, query: str
) -> None:
    plan = plans[statistics, query]

    for node in nodes(plan):
        if node["Node Type"] in ("Sort", "Incremental Sort"):
            assert not [one for one in inputs(node) if table(one) in LARGE], node


@pytest.mark.parametrize("statistics", STATISTICS)
@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("heads", "queue_ready"),
        ("heads_of_pins", "queue_ready"),
        ("ready_pins", "queue_ready"),
        ("lane_overview", "queue_ready"),
        ("lane_overview", "queue_waiting"),
        ("due_rows", "queue_waiting"),
        ("unpin", "queue_ready"),
        ("expired", "queue_expiry"),
        ("orphans", "queue_owned"),
        ("undo_claims", "queue_owned"),
        ("purge_keys", "idempotency_until"),
    ],
)
def test_index_finds_the_rows(
    plans: Mapping[tuple[str, str], Node], statistics: str, query: str, index: str
) -> None:
    plan = plans[statistics, query]

    assert index in {node.get("Index Name") for node in nodes(plan)}


def test_planner_knows_of_a_million(plans: Mapping[tuple[str, str], Node]) -> None:
    rows = {name: plans[name, "all"]["Plan Rows"] for name in STATISTICS}

    assert rows[MILLION] == pytest.approx(1_000_000, rel=0.1)
    assert rows[BACKLOG] == pytest.approx(ROWS, rel=0.1)


@pytest.mark.parametrize("query", ["cases", "stale", "set_statuses", "message_head", "list_rare"])
def test_only_days_that_are_asked_for_are_opened(
    plans: Mapping[tuple[str, str], Node], query: str
) -> None:
    plan = plans[BACKLOG, query]

    opened = {
        str(node["Relation Name"])
        for node in nodes(plan)
        if table(node) in {"message", "status"} and "Scan" in node["Node Type"]
    }

    day = days.day_of(NOW_MS).name
    assert opened
    assert all(one.endswith((day, "_other")) for one in opened), opened
