"""What callers read: the model's values as JSON. The typed dicts are what `/openapi.json` shows."""

from collections.abc import Sequence
from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from gateway.api import findings
from gateway.api.problems import Problem
from gateway.clock import isoformat
from gateway.model import submission, view
from gateway.model.state import State

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class Accepted(TypedDict):
    """An accepted message."""

    id: str
    state: State
    duplicate: NotRequired[
        Annotated[bool, Field(description="An earlier message with the same dedupe key")]
    ]
    warnings: NotRequired[
        Annotated[
            list[findings.Warned],
            Field(
                description="Where the category has its content looked at: up to 10, worst first"
            ),
        ]
    ]


class BatchRefusal(TypedDict):
    """A message of a batch that was not accepted."""

    problem: Problem


class BatchResult(TypedDict):
    """One result per message, in the order given."""

    results: list[Accepted | BatchRefusal]


class TimelineItem(TypedDict):
    """Something that happened, or was decided, and why."""

    at: Time
    event: Annotated[
        str,
        Field(description="Such as accepted, attempt.rejected, receipt.delivered, expired"),
    ]
    channel: Annotated[str, Field(description="Empty when it is about the whole message")]
    provider: Annotated[str, Field(description="The account; empty when none was asked")]
    detail: Annotated[str, Field(description="The reason, or the provider's own words")]
    segments: NotRequired[
        Annotated[int, Field(description="Of an attempt by SMS: what its text takes")]
    ]


class MessageSummary(TypedDict):
    """A message in a list."""

    id: str
    state: State
    category: str
    created_at: Time
    expires_at: Annotated[Time, Field(description="No step starts after this")]
    metadata: Annotated[dict[str, Any], Field(description="As posted")]


class MessageStatus(MessageSummary):
    """A message with all that became of it."""

    timeline: list[TimelineItem]


class MessageList(TypedDict):
    """A page, newest first."""

    messages: list[MessageSummary]
    next_cursor: NotRequired[
        Annotated[str, Field(description="Pass it as `cursor` to read on; absent at the end")]
    ]


class Webhook(TypedDict):
    """Where reports go."""

    id: str
    url: str
    events: Annotated[list[str], Field(description="Empty: all")]
    configured: Annotated[bool, Field(description="Set in the configuration, hence read-only")]
    enabled: bool
    disabled_reason: NotRequired[Annotated[str, Field(description="Why it was switched off")]]
    disabled_at: NotRequired[Time]
    created_at: Time
    secret: NotRequired[
        Annotated[str, Field(description="Shown once, to the request that had it made")]
    ]


class WebhookList(TypedDict):
    webhooks: list[Webhook]


class Replayed(TypedDict):
    """How many reports were queued again."""

    queued: int


class Provider(TypedDict):
    """One provider account, now, as this node sees it."""

    account: str
    kind: str
    channel: str
    lanes: list[str]
    breaker: Annotated[str, Field(description="closed, open or half_open")]
    paused_for: Annotated[float, Field(description="Seconds until it may be asked again")]
    tokens: Annotated[float | None, Field(description="In hand; null without a rate")]
    burst: Annotated[float | None, Field(description="The most tokens it can hold")]
    rate: Annotated[float | None, Field(description="Tokens a second")]
    factor: Annotated[float, Field(description="Share of the rate in use after throttling")]
    in_flight: int
    concurrency: int
    attempts: Annotated[dict[str, int], Field(description="Of the last minutes, by result")]
    acceptance: Annotated[float | None, Field(description="Accepted ÷ attempted")]
    delivery: Annotated[float | None, Field(description="Delivered ÷ reported")]


class ProviderList(TypedDict):
    providers: list[Provider]


def ticket(value: submission.Ticket) -> Accepted:
    """The answer to one accepted message."""
    out: Accepted = {"id": value.id, "state": value.state}
    if value.duplicate:
        out["duplicate"] = True
    if value.warnings:
        out["warnings"] = [findings.warned(one) for one in value.warnings]
    return out


def summary(value: view.MessageView) -> MessageSummary:
    """A message of a list."""
    return {
        "id": value.id,
        "state": value.state,
        "category": value.category,
        "created_at": isoformat(value.created_ms),
        "expires_at": isoformat(value.expires_ms),
        "metadata": dict(value.metadata),
    }


def message(value: view.MessageView) -> MessageStatus:
    """A message with its timeline."""
    return {**summary(value), "timeline": [_entry(one) for one in value.timeline]}


def _entry(value: view.TimelineEntry) -> TimelineItem:
    out: TimelineItem = {
        "at": isoformat(value.at_ms),
        "event": value.event,
        "channel": value.channel,
        "provider": value.provider,
        "detail": value.detail,
    }
    if value.segments:
        out["segments"] = value.segments
    return out


def page(value: view.MessagePage) -> MessageList:
    """One page of messages."""
    out: MessageList = {"messages": [summary(one) for one in value.messages]}
    if value.next_cursor:
        out["next_cursor"] = value.next_cursor
    return out


def webhook(value: view.Endpoint, *, secret: str = "") -> Webhook:
    """An endpoint; `secret` only when the gateway has just made it."""
    out: Webhook = {
        "id": value.id,
        "url": value.url,
        "events": list(value.events),
        "configured": value.configured,
        "enabled": value.disabled_ms is None,
        "created_at": isoformat(value.created_ms),
    }
    if value.disabled_ms is not None:
        out["disabled_at"] = isoformat(value.disabled_ms)
        out["disabled_reason"] = value.reason
    if secret:
        out["secret"] = secret
    return out


def provider(value: view.ProviderHealth) -> Provider:
    """The health of one account; ratios rounded to what they can mean."""
    return {
        "account": value.account,
        "kind": value.kind,
        "channel": value.channel,
        "lanes": list(value.lanes),
        "breaker": value.breaker,
        "paused_for": round(value.paused_for, 3),
        "tokens": _rounded(value.tokens),
        "burst": value.burst,
        "rate": value.rate,
        "factor": round(value.factor, 3),
        "in_flight": value.in_flight,
        "concurrency": value.concurrency,
        "attempts": dict(value.attempts),
        "acceptance": _rounded(value.acceptance),
        "delivery": _rounded(value.delivery),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def providers(values: Sequence[view.ProviderHealth]) -> ProviderList:
    """All accounts."""
    return {"providers": [provider(one) for one in values]}


def webhooks(values: Sequence[view.Endpoint]) -> WebhookList:
    """All endpoints of a tenant, without secrets."""
    return {"webhooks": [webhook(one) for one in values]}
