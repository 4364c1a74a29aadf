"""Writing transitions, whole or not at all."""

from collections.abc import Sequence

import apsw

from gateway.model.case import Transition
from gateway.store import base, staleness
from gateway.store import rows as shapes
from gateway.store.sqlite import caps
from gateway.store.sqlite.accept import insert
from gateway.store.sqlite.engine import call_json, dump, run
from gateway.store.sqlite.ranks import put_queue


def commit(
    connection: apsw.Connection, transitions: Sequence[Transition], owner: str
) -> Sequence[base.Staleness | None]:
    verdicts = _stale(connection, transitions, owner)
    good = [one for one, stale in zip(transitions, verdicts, strict=True) if stale is None]
    if good:
        _write(connection, good)
    return verdicts


def _stale(
    connection: apsw.Connection, transitions: Sequence[Transition], owner: str
) -> list[base.Staleness | None]:
    """Why each transition must not be written."""
    claims, others = staleness.claims(transitions), staleness.others(transitions)
    stale = call_json(connection, "stale", rows=dump(claims), owner=owner)
    being_sent = call_json(connection, "being_sent", rows=dump(others)) if others else ()
    return staleness.verdicts(transitions, stale, being_sent)


def _write(connection: apsw.Connection, transitions: Sequence[Transition]) -> None:
    each = [(one.message, one) for one in transitions]
    run(
        connection,
        "put_attempts",
        [shapes.attempt_values(message, a) for message, one in each for a in one.attempts],
    )
    run(
        connection,
        "put_receipts",
        [shapes.receipt_values(message, r) for message, one in each for r in one.receipts],
    )
    run(
        connection,
        "put_events",
        [shapes.event_values(message, e) for message, one in each for e in one.events],
    )
    run(
        connection,
        "set_statuses",
        [(message, o.state, o.redrive, o.ending, o.expires_ms) for message, o in each],
    )
    _write_queue(connection, transitions)
    run(connection, "free_dedupe", [message for message, one in each if one.free_dedupe])
    if any(one.free_caps or one.yields for one in transitions):
        caps.give_back(connection, transitions, max(one.at_ms for one in transitions))
    run(connection, "pass_caps", [(message, o.caps_to) for message, o in each if o.caps_to])


def _write_queue(connection: apsw.Connection, transitions: Sequence[Transition]) -> None:
    now_ms = max(one.at_ms for one in transitions)
    puts = [row for one in transitions for row in one.put]
    kept = {(row.message, row.step, row.part) for row in puts}
    drops = [(one.message, step, part) for one in transitions for step, part in one.drop]
    drops += [
        (one.message, guard.step, guard.part)
        for one in transitions
        if (guard := one.guard) is not None
    ]
    run(connection, "drop_queue", [key for key in drops if key not in kept])
    put_queue(connection, puts, now_ms=now_ms)
    run(
        connection,
        "put_references",
        [
            shapes.reference_values(one.message, name, now_ms)
            for one in transitions
            for name in one.references
        ],
    )
    run(
        connection,
        "put_contacts",
        [
            shapes.contact_values(one.message, contact, one.at_ms)
            for one in transitions
            for contact in one.contacts
        ],
    )
    insert(connection, [new for one in transitions for new in (*one.webhooks, *one.new)])
