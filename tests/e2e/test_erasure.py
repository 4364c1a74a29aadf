"""Erasure, told from the tables: every column of the schema is looked at, on both engines, so that
one that is added later must be thought of, too."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.e2e.stores import Sql

ID, PHONE, EMAIL = "person-7f3a", "+447700900177", "li.lei.7f3a@example.com"
TOKEN, NAME, WORD = "token7f3atoken", "Li Lei 7f3a", "spring-sale-person-7f3a"
#: What says who somebody is. Ours: a repeated request must find its first answer for a day.
MARKS = (ID, PHONE, PHONE[1:], EMAIL, TOKEN, NAME)
REPEATS = "idempotency.key"

TABLES = {
    "categories": {
        "offers": {"consent": True, "order": "best", "chain": [{"channel": "sms"}]},
        "deals": {"yields_to": ["service"], "yields_for": "2h", "chain": [{"channel": "sms"}]},
        "updates": {"chain": [{"channel": "sms"}]},
    },
    "caps": {
        "offers": {"most": 9, "within": "1d", "categories": ["offers"]},
        "updates": {
            "most": 1,
            "within": "1h",
            "categories": ["updates"],
            "over": "merge",
            "digest": "round-up",
        },
    },
    "templates": {"round-up": {"sms": {"text": "{{ count }}"}}},
}
PERSON = {
    "phone": PHONE,
    "email": EMAIL,
    "push": [{"app": "ios", "token": TOKEN}],
    "attributes": {"name": NAME},
}

#: Names of things that are configured, of kinds, states and results; numbers and ids of our own;
#: and what a tenant says of itself. None of it is about a person.
_NOBODY = """
    attempt.code attempt.message attempt.outcome attempt.provider
    bucket.account
    cap_use.cap cap_use.channel cap_use.message
    cap_wait.cap cap_wait.message
    consent.category consent.channel consent.tenant
    contact.message contact.provider
    dedupe.message dedupe.tenant
    endpoint.events endpoint.id endpoint.reason endpoint.secrets endpoint.tenant endpoint.url
    event.channel event.detail event.event event.message event.provider
    flow.flow flow.lane
    habit.channel
    idempotency.message idempotency.tenant
    inbound.provider
    latest.message latest.tenant
    message.category message.endpoint message.id message.tenant
    message_recipient.message message_recipient.tenant
    meta.key meta.value
    node.id
    pause.account pause.reason
    queue.flow queue.lane queue.message queue.owner queue.pin queue.taker
    quota.day quota.provider
    receipt.code receipt.event receipt.message receipt.provider receipt.segment
    recipient.tenant
    recipient_address.channel recipient_address.reason recipient_address.tenant
    reference.message reference.provider
    status.ending status.message status.state status.tenant
    suppression.category suppression.channel suppression.reason suppression.sender
    suppression.tenant
    tenant_key.hash tenant_key.id tenant_key.scopes tenant_key.tenant
"""
#: What is said of a person, or a keyed hash of who it is: gone, or overwritten.
_SOMEBODY = """
    attempt.detail
    cap_use.digest cap_use.subject cap_wait.subject
    consent.hash consent.proof consent.source
    contact.hash
    dedupe.key
    habit.subject
    latest.key
    message.body
    message_recipient.recipient
    receipt.detail
    recipient.addresses recipient.body recipient.id
    recipient_address.hash recipient_address.recipient
"""
#: What stays although it may be of a person: bans as hashes; and for a while, the hash by which
#: other nodes know that somebody is forgotten, and, since nobody knows whose it is, what a repeated
#: request, reply or early receipt is known by.
_STAYS = """
    forgotten.subject
    idempotency.fingerprint idempotency.key
    inbound.key
    reference.parked reference.reference
    suppression.detail suppression.hash suppression.source
"""
#: What the other engine does not have.
_ONLY = {
    "postgres": "recipient.addresses",
    "sqlite": "bucket.account message.endpoint node.id pause.account pause.reason",
}


async def columns(sql: Sql, engine: str) -> Sequence[str]:
    """All columns that hold texts, as `table.column`; parts of tables are of these."""
    if engine == "postgres":
        found = await sql(
            "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
            "WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') "
            "AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped "
            "AND a.atttypid::regtype::text !~ '^(small|big)?int|double|timestamp|bool|real'"
        )
    else:
        found = await sql(
            "SELECT t.name, c.name FROM sqlite_schema t JOIN pragma_table_xinfo(t.name) c "
            "WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' "
            "AND c.type NOT IN ('INTEGER', 'REAL')"
        )
    return sorted(f"{table}.{column}" for table, column in found)


async def holders(sql: Sql, names: Sequence[str], marks: Sequence[str]) -> dict[str, str]:
    """Which columns hold one of the marks, and one that does."""
    sought = re.compile("|".join(map(re.escape, marks)), re.I)
    held: dict[str, str] = {}
    for name in names:
        table, _, column = name.partition(".")
        for (value,) in await sql(f"SELECT CAST({column} AS text) FROM {table}"):
            if value is not None and sought.search(value):
                held[name] = value
    return held


async def hashes(sql: Sql) -> Sequence[str]:
    """By which the person is counted and found."""
    found: set[str] = set()
    for query in (
        "SELECT hash FROM recipient_address",
        "SELECT hash FROM consent",
        "SELECT hash FROM contact",
        "SELECT subject FROM cap_use",
        "SELECT digest FROM cap_use WHERE digest <> ''",
        "SELECT subject FROM cap_wait",
        "SELECT subject FROM habit",
    ):
        found |= {hash_ for (hash_,) in await sql(query)}
    return sorted(found)


async def test_every_column_of_the_schema_has_been_thought_of(
    url: str, stand: Any, sql: Sql, engine: str
) -> None:
    await stand.start({"store": {"url": url}})

    found = set(await columns(sql, engine))

    known = {*_NOBODY.split(), *_SOMEBODY.split(), *_STAYS.split()}
    assert found <= known, "does it say who somebody is? Then erasure must see to it"
    assert known - found == set(_ONLY[engine].split())


async def test_nothing_is_left_of_who_somebody_was(
    url: str, stand: Any, sql: Sql, engine: str, eventually: Any
) -> None:
    gateway = await stand.start({"store": {"url": url}, **TABLES})
    await live(gateway, sql, eventually)
    names = await columns(sql, engine)
    known_by = await hashes(sql)
    before = await holders(sql, names, [*MARKS, *known_by])

    status, erased = await gateway.call("DELETE", f"/v1/recipients/{ID}")

    assert (status, erased["messages"]) == (200, 7)
    left = await holders(sql, names, MARKS)
    assert set(left) <= {REPEATS}, left
    hashed = await holders(sql, names, known_by)
    assert set(hashed) == {"suppression.hash", "forgotten.subject"}
    assert set(_SOMEBODY.split()) & set(names) <= set(before), "or this proves nothing"


async def live(gateway: Any, sql: Sql, eventually: Any) -> None:
    """Whatever can be kept of somebody happens once."""
    to, now = {"recipient": ID}, datetime.now(UTC)
    text = {"text": f"Dear {NAME}", "subject": NAME}

    async def ask(method: str, path: str, body: object) -> Any:
        status, answer = await gateway.call(method, path, body)
        assert status < 300, answer
        return answer

    await ask("PUT", f"/v1/recipients/{ID}", PERSON)
    for whom in (to, {"phone": PHONE}):
        agreed = {
            "to": whom,
            "category": "offers",
            "source": f"shop of {NAME}",
            "at": now.isoformat(),
            "proof": f"signed by {EMAIL}",
        }
        await ask("PUT", "/v1/consents", [agreed])
    offer = await gateway.send(
        to=to,
        category="offers",
        content=text,
        replaces=WORD,
        dedupe={"key": ID, "window": "1d"},
        metadata={"mail": EMAIL},
        headers={"Idempotency-Key": f"welcome-{ID}"},
    )
    await gateway.until(offer, "sent", "delivered")
    for channel, whom in (("email", {"email": EMAIL}), ("push", to)):
        other = await gateway.send(
            to=whom, content={**text, "title": NAME}, chain=[{"channel": channel}]
        )
        await gateway.until(other, "sent", "delivered")
    later = (now + timedelta(days=9)).isoformat()
    await gateway.send(to=to, content=text, chain=[{"channel": "sms"}], send_at=later)
    await gateway.send(to=to, category="deals", content=text)  # waits, as it gives way
    await eventually(lambda: sql("SELECT 1 FROM cap_wait"))
    for _ in range(2):  # of which one waits to leave with others
        await gateway.send(to=to, category="updates", content=text)
    await eventually(lambda: sql("SELECT 1 FROM cap_use WHERE digest <> ''"))
    ban = {"to": {"phone": PHONE}, "reason": "complaint"}
    await ask("PUT", "/v1/suppressions", [ban])

    async def is_all_there() -> bool:
        counts = [
            (await sql(f"SELECT count(*) FROM {table}"))[0][0]
            for table in ("habit", "contact", "cap_use", "receipt")
        ]
        return all(counts)

    await eventually(is_all_there)
    await eventually(lambda: all_is_reported(sql))
    for table in ("attempt", "receipt"):  # as providers name an address that they refuse
        await sql(
            f"UPDATE {table} SET detail = '550 5.1.1 <{EMAIL}>: unknown' "
            "WHERE message IN (SELECT id FROM message WHERE NOT internal)"
        )


async def all_is_reported(sql: Sql) -> bool:
    """What is under way is written when all is erased: it has to be over."""
    return await sql("SELECT 1 FROM queue WHERE lane = 'webhook' LIMIT 1") == []
