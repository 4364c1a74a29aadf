"""What readers are shown: messages with their timelines, endpoints, providers' health."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.model.message import MessageId
from gateway.model.state import State
from gateway.model.values import Value


class TimelineEntry(Value):
    """Something that happened, or was decided, and why."""

    #: UTC epoch milliseconds
    at_ms: int
    #: `accepted`, `skipped`, `attempt.accepted`, `attempt.rejected`, `attempt.deferred`,
    #: `attempt.unknown`, `receipt.<event>`, `step.started`, `cancelled`, `expired` …
    event: str
    channel: str = ""
    provider: str = ""
    detail: str = ""
    #: of an attempt by SMS: segments that its text takes; 0 elsewhere
    segments: int = 0


class MessageView(Value):
    """A message as its tenant may see it. A list leaves the timeline empty."""

    id: MessageId
    state: State
    category: str
    created_ms: int
    expires_ms: int
    metadata: Mapping[str, Any]
    timeline: Sequence[TimelineEntry] = ()


class MessageFilter(Value):
    """Which messages of a tenant; newest first."""

    state: State | None = None
    category: str = ""
    #: created at or after, and before; UTC epoch milliseconds
    since_ms: int | None = None
    until_ms: int | None = None
    #: only those older than this id
    cursor: str = ""
    #: at most 200
    limit: int = 50


class MessagePage(Value):
    messages: Sequence[MessageView]
    #: pass it on to read further; empty at the end
    next_cursor: str = ""


class Endpoint(Value):
    """Where a tenant wants its webhooks."""

    id: str
    tenant: str
    url: str
    #: `whsec_…`; shown once, when it was made by the gateway
    secrets: Sequence[str]
    #: event types, such as `message.failed`; empty: all
    events: Sequence[str] = ()
    #: set in the configuration file, hence read-only
    configured: bool = False
    #: UTC epoch milliseconds; None while it is on
    disabled_ms: int | None = None
    #: why it was switched off
    reason: str = ""
    created_ms: int = 0

    def __repr__(self) -> str:
        """Without the secrets, wherever it is logged."""
        return f"Endpoint(id={self.id!r}, tenant={self.tenant!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """The same for tracebacks in colour, which would show all fields."""
        return [("id", self.id), ("tenant", self.tenant)]


class ProviderHealth(Value):
    """One provider account, now."""

    account: str
    kind: str
    channel: str
    lanes: Sequence[str]
    #: `closed`, `open` or `half_open`
    breaker: str
    #: seconds until it may be asked again; 0 when it may
    paused_for: float
    #: tokens in hand and the most it can hold; None without a rate
    tokens: float | None
    burst: float | None
    rate: float | None
    #: the share of the rate in use after throttling, 0 to 1
    factor: float
    in_flight: int
    concurrency: int
    #: attempts of the last minutes by result
    attempts: Mapping[str, int]
    #: accepted ÷ attempted, and delivered ÷ reported, of the last minutes; None without any
    acceptance: float | None
    delivery: float | None
