"""Writing transitions, whole or not at all."""

from collections.abc import Iterator, Sequence

import apsw

from gateway.model.case import Transition
from gateway.store import base
from gateway.store import rows as shapes
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
    """Why each transition must not be written; of two for one message the first wins.

    A claim does not change a message's version, so rows that were free when the transition was
    decided are looked at again: one that is being sent by now is neither dropped nor replaced.
    """
    verdicts: list[base.Staleness | None] = [None] * len(transitions)
    values = [
        (one.message, one.version, guard.step, guard.part, guard.epoch)
        if (guard := one.guard) is not None
        else (one.message, one.version, None, None, None)
        for one in transitions
    ]
    for index, why in call_json(connection, "stale", rows=dump(values), owner=owner):
        verdicts[index] = base.Staleness(why)
    others = [key for index, one in enumerate(transitions) for key in _others(one, index)]
    for index in call_json(connection, "being_sent", rows=dump(others)) if others else ():
        if verdicts[index] is None:
            verdicts[index] = base.Staleness.VERSION
    seen: set[str] = set()
    for index, one in enumerate(transitions):
        if verdicts[index] is None and one.message in seen:
            verdicts[index] = base.Staleness.VERSION
        seen.add(one.message)
    return verdicts


def _others(one: Transition, index: int) -> Iterator[tuple[str, int, int, int]]:
    """(message, step, part, index) of the rows that it changes beside the one it holds."""
    own = (one.guard.step, one.guard.part) if one.guard is not None else None
    for step, part in {*one.drop, *((row.step, row.part) for row in one.put)}:
        if (step, part) != own:
            yield one.message, step, part, index


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
    insert(connection, [webhook for one in transitions for webhook in one.webhooks])
