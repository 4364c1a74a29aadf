"""Our reports to tenants: what they say, and the messages in lane `webhook` that carry them.

A report is a message like any other, with one step and one part, its queue row pinned to its
endpoint. Body as Standard Webhooks recommends: `type`, `timestamp`, `data`. The webhook-id is the
message's id, so it stays the same at every try.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import orjson

from gateway.clock import isoformat
from gateway.dispatch.lanes import WEBHOOK_LANE
from gateway.dispatch.rows import first_rows
from gateway.model import entropy, view, wire
from gateway.model.case import NewMessage
from gateway.model.message import Message, MessageId, Priority, Step, encode, new_id
from gateway.model.state import State
from gateway.model.values import Value

#: Category of reports, in metrics and in the store; no configured category may have this name.
CATEGORY = "webhook"

#: Delays before each further try, in seconds: the schedule that Standard Webhooks recommends.
SCHEDULE = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0)

#: After this a report is of no use: a little more than the schedule (design §2).
LIFETIME_MS = 76 * 3_600_000


#: The event of what a recipient wrote.
RECEIVED = "message.received"

#: Events of recipients who leave a category by the link of a mail, and who come back.
LEFT, RETURNED = "recipient.unsubscribed", "recipient.resubscribed"


class Report(Value):
    """A state that a message has entered, as its tenant is told."""

    id: MessageId
    tenant: str
    category: str
    metadata: Mapping[str, object]
    state: State
    at_ms: int
    #: of the attempt or receipt that brought it about; None: nobody had it
    channel: str | None = None
    provider: str | None = None
    detail: str = ""


class Received(Value):
    """What a recipient wrote, as the tenant is told whose message it answers."""

    tenant: str
    at_ms: int
    #: who wrote, to which of our senders
    sender: str
    to: str
    text: str
    channel: str
    provider: str
    answers: MessageId
    #: of the message that it answers
    metadata: Mapping[str, object]
    #: stop, start, help; None for everything else
    keyword: str | None


class Moved(Value):
    """A recipient has left a category or come back, as its tenant is told."""

    tenant: str
    at_ms: int
    #: LEFT or RETURNED
    event: str
    channel: str
    category: str
    #: the tenant's own id of them, if the mail was sent under one; no address
    recipient: str


T = TypeVar("T", Report, Received, Moved)


class Reporter:
    """Makes the webhooks that carry a report to the tenant's endpoints."""

    def __init__(self, endpoints_of: Callable[[str], Sequence[view.Endpoint]]) -> None:
        self._endpoints_of = endpoints_of

    def __call__(self, report: Report) -> Sequence[NewMessage]:
        return self._report(f"message.{report.state}", report, _data)

    def received(self, reply: Received) -> Sequence[NewMessage]:
        return self._report(RECEIVED, reply, _data_of_reply)

    def moved(self, news: Moved) -> Sequence[NewMessage]:
        return self._report(news.event, news, _data_of_move)

    def _report(
        self, event: str, news: T, data_of: Callable[[T], Mapping[str, object]]
    ) -> Sequence[NewMessage]:
        endpoints = [one for one in self._endpoints_of(news.tenant) if _wants(one, event)]
        if not endpoints:
            return ()
        body = _body(event, news.at_ms, data_of(news))
        return [new_webhook(one, body, now_ms=news.at_ms) for one in endpoints]


def _wants(endpoint: view.Endpoint, event: str) -> bool:
    if endpoint.disabled_ms is not None:
        return False
    return not endpoint.events or event in endpoint.events


def _body(event: str, at_ms: int, data: Mapping[str, object]) -> str:
    body = {"type": event, "timestamp": isoformat(at_ms), "data": data}
    return orjson.dumps(body).decode()


def _data(report: Report) -> Mapping[str, object]:
    return {
        "id": report.id,
        "state": report.state,
        "category": report.category,
        "channel": report.channel,
        "provider": report.provider,
        "detail": report.detail,
        "metadata": report.metadata,
    }


def _data_of_reply(reply: Received) -> Mapping[str, object]:
    return {
        "from": reply.sender,
        "to": reply.to,
        "text": reply.text,
        "channel": reply.channel,
        "provider": reply.provider,
        "answers": reply.answers,
        "metadata": reply.metadata,
        "keyword": reply.keyword,
    }


def _data_of_move(news: Moved) -> Mapping[str, object]:
    return {
        "channel": news.channel,
        "category": news.category,
        "recipient": news.recipient or None,
    }


def new_webhook(endpoint: view.Endpoint, body: str, *, now_ms: int) -> NewMessage:
    """A message that carries a report to an endpoint."""
    message = Message(
        category=CATEGORY,
        priority=Priority.NORMAL,
        chain=(
            Step(
                channel=wire.Channel.WEBHOOK,
                lane=WEBHOOK_LANE,
                parts=(wire.Address(url=endpoint.url, endpoint=endpoint.id),),
            ),
        ),
        life_ms=LIFETIME_MS,
        content={"text": body},
    )
    id_ = new_id(now_ms, entropy.draw(10))
    return NewMessage(
        id=id_,
        tenant=endpoint.tenant,
        category=CATEGORY,
        internal=True,
        created_ms=now_ms,
        expires_ms=now_ms + LIFETIME_MS,
        body=encode(message),
        state=State.QUEUED,
        rows=first_rows(
            message,
            id=id_,
            flow=endpoint.id,
            weight=1.0,
            start_ms=now_ms,
            expires_ms=now_ms + LIFETIME_MS,
        ),
    )
