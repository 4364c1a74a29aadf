"""Storing new messages, unless earlier ones stand for them."""

from collections.abc import Sequence
from itertools import chain

import apsw

from gateway.model.case import IdempotencyKey, NewMessage
from gateway.store import base, earlier
from gateway.store import rows as shapes
from gateway.store.sqlite.engine import call_json, dump, run
from gateway.store.sqlite.ranks import put_queue


def accept(
    connection: apsw.Connection, messages: Sequence[NewMessage]
) -> Sequence[base.Acceptance]:
    verdicts = _earlier(connection, messages)
    fresh = earlier.to_store(verdicts)
    insert(connection, [*fresh, *chain.from_iterable(one.webhooks for one in fresh)])
    run(
        connection,
        "put_keys",
        [
            _key_values(one, one.idempotency, verdict.id)
            for one, verdict in zip(messages, verdicts, strict=True)
            if isinstance(verdict, base.Existing)
            and not verdict.by_key
            and one.idempotency is not None
        ],
    )
    return earlier.acceptances(verdicts)


def _earlier(
    connection: apsw.Connection, messages: Sequence[NewMessage]
) -> Sequence[base.Acceptance | NewMessage]:
    """For each message, what stands for it already: in the store, or before it in the batch; or
    what is to be stored."""
    keyed = [one for one in messages if one.idempotency is not None or one.dedupe is not None]
    if not keyed:
        return messages
    return earlier.find(messages, *_stored_keys(connection, keyed))


def _stored_keys(
    connection: apsw.Connection, messages: Sequence[NewMessage]
) -> tuple[earlier.ByKey, earlier.ByContent]:
    now_ms = messages[0].created_ms
    keys = [(one.tenant, one.idempotency.key) for one in messages if one.idempotency is not None]
    found = call_json(connection, "seen_keys", rows=dump(keys), now_ms=now_ms) if keys else []
    by_key = {
        (tenant, key): (print_, base.Existing(id=message, state=state, by_key=True))
        for tenant, key, print_, message, state in found
    }
    contents = [
        earlier.content_place(one, one.dedupe) for one in messages if one.dedupe is not None
    ]
    found = (
        call_json(connection, "seen_dedupe", rows=dump(contents), now_ms=now_ms) if contents else []
    )
    by_content = {
        (tenant, key): base.Existing(id=message, state=state, by_key=False)
        for tenant, key, message, state in found
    }
    return by_key, by_content


def _key_values(
    one: NewMessage, key: IdempotencyKey, message: str
) -> tuple[str, str, str, str, int]:
    """As `put_keys` takes it."""
    return one.tenant, key.key, key.fingerprint, message, key.until_ms


def insert(connection: apsw.Connection, messages: Sequence[NewMessage]) -> None:
    """Store messages that nothing stands for."""
    if not messages:
        return
    run(
        connection,
        "accept_messages",
        [
            (one.id, one.tenant, one.category, int(one.internal), one.created_ms, one.body)
            for one in messages
        ],
    )
    run(
        connection,
        "accept_statuses",
        [
            (one.id, one.state, one.ending, one.expires_ms, "" if one.internal else one.tenant)
            for one in messages
        ],
    )
    put_queue(
        connection,
        list(chain.from_iterable(one.rows for one in messages)),
        now_ms=max(one.created_ms for one in messages),
    )
    run(
        connection,
        "put_events",
        [shapes.event_values(one.id, event) for one in messages for event in one.events],
    )
    run(
        connection,
        "put_keys",
        [
            _key_values(one, one.idempotency, one.id)
            for one in messages
            if one.idempotency is not None
        ],
    )
    run(connection, "put_latest", shapes.latest_values(messages))
    run(
        connection,
        "put_dedupe",
        [
            (*earlier.content_place(one, content), one.id, content.until_ms)
            for one in messages
            if (content := one.dedupe) is not None
        ],
    )
    run(
        connection,
        "put_named",
        [(one.tenant, one.recipient, one.id) for one in messages if one.recipient],
    )
