"""Storing new messages, unless earlier ones stand for them.

Other nodes store at the same time, so keys are not looked up but taken: of two that take one at
once, the second waits for the first and then finds it taken.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import orjson

from gateway.model.case import NewMessage, QueueRow
from gateway.model.state import State
from gateway.store import base, earlier
from gateway.store import rows as shapes
from gateway.store.postgres.literals import original
from gateway.store.postgres.ranks import Ranks, Turn, turn_of
from gateway.store.postgres.session import Session

Batches = dict[str, list[tuple[Any, ...]]]


def with_webhooks(messages: Iterable[NewMessage]) -> list[NewMessage]:
    """Messages, and those that are stored with them."""
    found = list(messages)
    return found + list(chain.from_iterable(one.webhooks for one in found))


def turns_of(messages: Sequence[NewMessage]) -> list[Turn]:
    """The turns of their rows that are due."""
    now_ms = max(one.created_ms for one in messages)
    return [turn_of(row) for one in messages for row in one.rows if row.due_ms <= now_ms]


async def accept(
    session: Session, messages: Sequence[NewMessage], ranks: Ranks
) -> Sequence[base.Acceptance]:
    verdicts, moved = await _earlier(session, messages)
    batches = stored(with_webhooks(earlier.to_store(verdicts)), ranks)
    batches["put_keys"] = moved
    await session.write(batches)
    return earlier.acceptances(verdicts)


def stored(messages: Sequence[NewMessage], ranks: Ranks) -> Batches:
    """What to write to store messages that nothing stands for, and whose keys are taken."""
    if not messages:
        return {}
    now_ms = max(one.created_ms for one in messages)
    return {
        "accept_messages": [
            (
                one.id,
                one.tenant,
                one.category,
                one.internal,
                _endpoint(one),
                one.created_ms,
                one.body,
            )
            for one in messages
        ],
        "accept_statuses": [
            (one.id, one.state, one.ending, one.expires_ms, "" if one.internal else one.tenant)
            for one in messages
        ],
        "put_queue": queue_values([row for one in messages for row in one.rows], ranks, now_ms),
        "put_events": [
            shapes.event_values(one.id, event) for one in messages for event in one.events
        ],
        "put_latest": shapes.latest_values(messages),
        "put_named": [(one.tenant, one.recipient, one.id) for one in messages if one.recipient],
    }


def queue_values(rows: Sequence[QueueRow], ranks: Ranks, now_ms: int) -> list[tuple[Any, ...]]:
    """As `put_queue` takes them; those that are due with a rank."""
    return [
        shapes.queue_values(row, ranks.next(turn_of(row)) if row.due_ms <= now_ms else None)
        for row in rows
    ]


def _endpoint(one: NewMessage) -> str | None:
    """Where a webhook goes; None for a tenant's message."""
    if not one.internal:
        return None
    endpoint: str | None = orjson.loads(one.body)["chain"][0]["parts"][0].get("endpoint")
    return endpoint


async def _earlier(
    session: Session, messages: Sequence[NewMessage]
) -> tuple[Sequence[base.Acceptance | NewMessage], list[tuple[Any, ...]]]:
    """For each message what stands for it or what is to be stored, and the keys that are to name
    another message than the one they were taken for."""
    if all(one.idempotency is None and one.dedupe is None for one in messages):
        return messages, []
    by_key, freed = await _taken_keys(session, messages)
    by_content = await _taken_contents(session, messages, by_key)
    verdicts = earlier.find(messages, by_key, by_content)
    moved = []
    for one, verdict in zip(messages, verdicts, strict=True):
        duplicate = isinstance(verdict, base.Existing) and not verdict.by_key
        if one.idempotency is not None and (duplicate or one.id in freed):
            key = one.idempotency
            stands = verdict.id if isinstance(verdict, base.Existing) else one.id
            moved.append((one.tenant, key.key, key.fingerprint, stands, key.until_ms))
    return verdicts, moved


async def _taken_keys(
    session: Session, messages: Sequence[NewMessage]
) -> tuple[earlier.ByKey, set[str]]:
    """Keys that stand for messages of others; and our messages whose key stands for one that is
    gone."""
    firsts: dict[tuple[str, str], NewMessage] = {}
    for one in messages:
        if one.idempotency is not None:
            firsts.setdefault((one.tenant, one.idempotency.key), one)
    if not firsts:
        return {}, set()
    wanted = [
        (*place, one.idempotency.fingerprint, one.id, one.idempotency.until_ms)
        for place, one in sorted(firsts.items(), key=lambda item: item[0])
        if one.idempotency is not None
    ]
    found = await session.over("take_keys", wanted, now_ms=messages[0].created_ms)
    others = [
        ((tenant, original(key)), fingerprint, message)
        for tenant, key, fingerprint, message in found
        if message != firsts[tenant, original(key)].id
    ]
    states = await _states(session, [message for *_, message in others])
    by_key: earlier.ByKey = {
        place: (print_, base.Existing(id=message, state=states[message], by_key=True))
        for place, print_, message in others
        if message in states
    }
    return by_key, {firsts[place].id for place, _, message in others if message not in states}


async def _taken_contents(
    session: Session, messages: Sequence[NewMessage], by_key: earlier.ByKey
) -> earlier.ByContent:
    """Contents that stand for messages of others. Not asked for messages whose key has decided."""
    firsts: dict[tuple[str, str], NewMessage] = {}
    decided = set(by_key)
    for one in messages:
        place = None if one.idempotency is None else (one.tenant, one.idempotency.key)
        if one.dedupe is not None and place not in decided:
            firsts.setdefault(earlier.content_place(one, one.dedupe), one)
        if place is not None:
            decided.add(place)
    if not firsts:
        return {}
    wanted = [
        (*place, one.id, one.dedupe.until_ms)
        for place, one in sorted(firsts.items(), key=lambda item: item[0])
        if one.dedupe is not None
    ]
    found = await session.over("take_dedupe", wanted, now_ms=messages[0].created_ms)
    others = [
        ((tenant, original(key)), message)
        for tenant, key, message in found
        if message != firsts[tenant, original(key)].id
    ]
    states = await _states(session, [message for _, message in others])
    freed = [place for place, message in others if message not in states]
    if freed:  # by messages that are gone
        await session.over("put_dedupe", [one for one in wanted if (one[0], one[1]) in set(freed)])
    return {
        place: base.Existing(id=message, state=states[message], by_key=False)
        for place, message in others
        if message in states
    }


async def _states(session: Session, messages: Sequence[str]) -> dict[str, State]:
    if not messages:
        return {}
    ends = {"first": min(messages), "last": max(messages)}
    found = await session.rows("states", messages=messages, **ends)
    return {message: State(state) for message, state in found}
