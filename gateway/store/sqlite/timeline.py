"""One message as its tenant sees it: state now, and everything that happened in order."""

from collections.abc import Iterator
from typing import Any

import apsw
import orjson

from gateway.model import view
from gateway.model.message import MessageId
from gateway.model.state import State
from gateway.store.sqlite.engine import call, call_json


def shown_state(state: State, *, started: bool, claimed: bool) -> State:
    """The state with work in the queue told apart; the store keeps `queued` for all of it.

    started: its time has come; a message that waits for another try is not `scheduled` again.
    """
    if state is not State.QUEUED:
        return state
    if claimed:
        return State.SENDING
    return State.QUEUED if started else State.SCHEDULED


def read(connection: apsw.Connection, tenant: str, message: MessageId) -> view.MessageView | None:
    """None when there is no such message, or it is another tenant's."""
    with connection:  # one snapshot for all four queries
        text = call(connection, "message_head", message=message, tenant=tenant)
        if text is None:
            return None
        head = orjson.loads(text)
        entries = [*_entries(connection, message, head)]
    return view.MessageView(
        id=head[0],
        state=shown_state(State(head[1]), started=bool(head[6]), claimed=bool(head[7])),
        category=head[2],
        created_ms=head[3],
        expires_ms=head[4],
        metadata=head[5].get("metadata", {}),
        timeline=sorted(entries, key=lambda entry: entry.at_ms),
    )


def _entries(
    connection: apsw.Connection, message: MessageId, head: list[Any]
) -> Iterator[view.TimelineEntry]:
    body, created_ms = head[5], head[3]
    channels = [step["channel"] for step in body["chain"]]
    yield view.TimelineEntry(at_ms=created_ms, event="accepted")
    for channel, reason in body.get("skipped", ()):
        yield view.TimelineEntry(at_ms=created_ms, event="skipped", channel=channel, detail=reason)
    for row in call_json(connection, "message_attempts", message=message):
        yield view.TimelineEntry(
            at_ms=row[8],
            event=f"attempt.{row[4]}",
            channel=channels[row[0]],
            provider=row[3],
            detail=_detail(row[5], row[6]),
        )
    for row in call_json(connection, "message_receipts", message=message):
        yield view.TimelineEntry(
            at_ms=row[6],
            event=f"receipt.{row[3]}",
            channel=channels[row[0]],
            provider=row[2],
            detail=_detail(row[4], row[5]),
        )
    # last, so that of what happened at one time a decision follows what it was made upon
    for row in call_json(connection, "message_events", message=message):
        yield view.TimelineEntry(
            at_ms=row[0], event=row[1], channel=row[2], provider=row[3], detail=row[4]
        )


def _detail(code: str, text: str) -> str:
    return f"{code}: {text}" if code and text else code or text
