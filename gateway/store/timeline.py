"""One message as its tenant sees it: state now, and everything that happened in order."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.model import view
from gateway.model.state import State
from gateway.model.values import Value
from gateway.model.wire import Channel


class Records(Value):
    """What the store has about a message."""

    #: (id, state, category, created_ms, expires_ms, body, started, claimed)
    head: Sequence[Any]
    #: (step, part, number, provider, outcome, code, detail, started_ms, ended_ms)
    attempts: Sequence[Sequence[Any]]
    #: (step, part, provider, event, code, detail, at_ms)
    receipts: Sequence[Sequence[Any]]
    #: (at_ms, event, channel, provider, detail)
    events: Sequence[Sequence[Any]]


def shown_state(state: State, *, started: bool, claimed: bool) -> State:
    """The state with work in the queue told apart; the store keeps `queued` for all of it.

    started: its time has come; a message that waits for another try is not `scheduled` again.
    """
    if state is not State.QUEUED:
        return state
    if claimed:
        return State.SENDING
    return State.QUEUED if started else State.SCHEDULED


def message_view(records: Records) -> view.MessageView:
    head = records.head
    body: Mapping[str, Any] = head[5]
    return listed(
        [*head[:5], body.get("metadata", {}), *head[6:8]],
        timeline=sorted(_entries(records), key=lambda entry: entry.at_ms),
    )


def listed(row: Sequence[Any], timeline: Sequence[view.TimelineEntry] = ()) -> view.MessageView:
    """row: (id, state, category, created_ms, expires_ms, metadata, started, claimed)."""
    return view.MessageView(
        id=row[0],
        state=shown_state(State(row[1]), started=bool(row[6]), claimed=bool(row[7])),
        category=row[2],
        created_ms=row[3],
        expires_ms=row[4],
        metadata=row[5],
        timeline=timeline,
    )


def _entries(records: Records) -> Iterator[view.TimelineEntry]:
    body, created_ms = records.head[5], records.head[3]
    channels = [step["channel"] for step in body["chain"]]
    # absent at its default; a message's steps never change
    segments = [
        step.get("units", 1) if step["channel"] == Channel.SMS else 0 for step in body["chain"]
    ]
    yield view.TimelineEntry(at_ms=created_ms, event="accepted")
    for channel, reason in body.get("skipped", ()):
        yield view.TimelineEntry(at_ms=created_ms, event="skipped", channel=channel, detail=reason)
    for row in records.attempts:
        yield view.TimelineEntry(
            at_ms=row[8],
            event=f"attempt.{row[4]}",
            channel=channels[row[0]],
            provider=row[3],
            detail=_detail(row[5], row[6]),
            segments=segments[row[0]],
        )
    for row in records.receipts:
        yield view.TimelineEntry(
            at_ms=row[6],
            event=f"receipt.{row[3]}",
            channel=channels[row[0]],
            provider=row[2],
            detail=_detail(row[4], row[5]),
        )
    # last, so that of what happened at one time a decision follows what it was made upon
    for row in records.events:
        yield view.TimelineEntry(
            at_ms=row[0], event=row[1], channel=row[2], provider=row[3], detail=row[4]
        )


def _detail(code: str, text: str) -> str:
    return f"{code}: {text}" if code and text else code or text
