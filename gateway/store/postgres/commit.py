"""Writing transitions, whole or not at all."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from gateway.model.case import Transition
from gateway.store import base, staleness
from gateway.store import rows as shapes
from gateway.store.postgres import caps
from gateway.store.postgres.accept import queue_values, stored, turns_of, with_webhooks
from gateway.store.postgres.ranks import Ranks, Turn, turn_of
from gateway.store.postgres.session import Session


def turns(transitions: Sequence[Transition]) -> list[Turn]:
    """The turns of rows that are put, and are due."""
    now_ms = _now_ms(transitions)
    found = [turn_of(row) for one in transitions for row in one.put if row.due_ms <= now_ms]
    webhooks = _webhooks(transitions)
    return found + (turns_of(webhooks) if webhooks else [])


async def commit(
    session: Session, transitions: Sequence[Transition], ranks: Ranks, owner: str
) -> Sequence[base.Staleness | None]:
    verdicts = await _stale(session, transitions, owner)
    good = [one for one, stale in zip(transitions, verdicts, strict=True) if stale is None]
    if good:
        await session.write(_written(good, ranks), **_ends(good))
        if any(one.free_caps or one.yields for one in good):
            await caps.give_back(session, good, _now_ms(good))
    return verdicts


async def _stale(
    session: Session, transitions: Sequence[Transition], owner: str
) -> list[base.Staleness | None]:
    """Why each transition must not be written."""
    claims, others = staleness.claims(transitions), staleness.others(transitions)
    stale = await session.over("stale", claims, owner=owner, **_ends(transitions))
    being_sent = await session.over("being_sent", others) if others else ()
    return staleness.verdicts(transitions, map(tuple, stale), [place for (place,) in being_sent])


def _written(transitions: Sequence[Transition], ranks: Ranks) -> dict[str, Sequence[Any]]:
    """What to write, by query."""
    each = [(one.message, one) for one in transitions]
    now_ms = _now_ms(transitions)
    new = stored(_webhooks(transitions), ranks)
    names = {
        (values[0], values[1]): values
        for message, one in each
        for name in one.references
        if (values := shapes.reference_values(message, name, now_ms))
    }
    contacts = {
        (values[0], values[1]): values
        for message, one in sorted(each, key=lambda pair: pair[1].at_ms)
        for contact in one.contacts
        if (values := shapes.contact_values(message, contact, one.at_ms))
    }
    return {
        **new,
        "put_attempts": [shapes.attempt_values(m, a) for m, one in each for a in one.attempts],
        "put_receipts": [shapes.receipt_values(m, r) for m, one in each for r in one.receipts],
        "put_events": [
            *(shapes.event_values(m, e) for m, one in each for e in one.events),
            *new.get("put_events", ()),
        ],
        "set_statuses": [
            (m, one.state, one.redrive, one.ending, one.expires_ms) for m, one in each
        ],
        "drop_queue": _dropped(transitions),
        "put_queue": [
            *queue_values([row for one in transitions for row in one.put], ranks, now_ms),
            *new.get("put_queue", ()),
        ],
        "put_references": [names[key] for key in sorted(names)],
        "put_contacts": [contacts[key] for key in sorted(contacts)],
        "free_dedupe": [(m,) for m, one in each if one.free_dedupe],
        "pass_caps": [(m, one.caps_to) for m, one in each if one.caps_to],
    }


def _dropped(transitions: Sequence[Transition]) -> list[tuple[str, int, int]]:
    """Rows to drop: those that are named, and those that are held and not put again."""
    kept = {(row.message, row.step, row.part) for one in transitions for row in one.put}
    drops = [(one.message, step, part) for one in transitions for step, part in one.drop]
    drops += [
        (one.message, guard.step, guard.part)
        for one in transitions
        if (guard := one.guard) is not None
    ]
    return [key for key in drops if key not in kept]


def _webhooks(transitions: Sequence[Transition]) -> list[Any]:
    return with_webhooks(chain.from_iterable((*one.webhooks, *one.new) for one in transitions))


def _ends(transitions: Sequence[Transition]) -> dict[str, str]:
    """The range of their ids."""
    ids = [one.message for one in transitions]
    return {"first": min(ids), "last": max(ids)}


def _now_ms(transitions: Sequence[Transition]) -> int:
    return max(one.at_ms for one in transitions)
