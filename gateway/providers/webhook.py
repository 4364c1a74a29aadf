"""Our own signed reports to tenants. Internal: the kind of the account that serves lane `webhook`.

Specification: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
Bodies are made where the reported state changes, not here: `content.text` holds the exact JSON,
`content.extra["secrets"]` the keys of the endpoint, newest first, and `message.id` is the event's
id, which stays the same at every retry. Timestamp and signature are fresh at each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import gateway
from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.providers import auth, base

#: The receiver asks for less (specification, "Responding to webhooks"): slow that endpoint down.
THROTTLED = frozenset({429, 502, 504})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Nothing to set: where to and which keys belong to each endpoint."""


class Provider(base.HttpProvider):
    """One POST a report."""

    name: ClassVar[str] = "webhook"
    channel = wire.Channel.WEBHOOK
    batch_limit: ClassVar[int] = 1
    drops_repeats: ClassVar[bool] = True
    reports: frozenset[wire.ReceiptEvent] = frozenset()
    credential = None

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        self.account = account
        self._clock = clock

    def build_requests(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[Sequence[wire.Message], wire.HttpRequest]]:
        timestamp = self._clock.now_ms() // 1000
        return [((message,), _request(message, timestamp)) for message in messages]

    def read_response(
        self, messages: Sequence[wire.Message], response: wire.HttpResponse
    ) -> Sequence[wire.AttemptResult]:
        return [_result(response, now_ms=self._clock.now_ms())] * len(messages)

    def verify_receipt(self, request: wire.HttpRequest) -> bool:
        return False

    def read_receipts(self, request: wire.HttpRequest) -> Sequence[wire.DeliveryReceipt]:
        raise errors.UnreadableReceipt("webhook receivers report nothing")

    def answer_receipt(self, request: wire.HttpRequest) -> wire.HttpResponse:
        return wire.HttpResponse(status=404)


def _request(message: wire.Message, timestamp: int) -> wire.HttpRequest:
    body = message.content.text.encode()
    signature = auth.sign_webhook(
        _secrets(message.content.extra), message_id=message.id, timestamp=timestamp, body=body
    )
    headers = {
        "content-type": "application/json",
        "user-agent": f"gateway/{gateway.__version__}",
        "webhook-id": message.id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature,
    }
    return wire.HttpRequest(method="POST", url=message.to.url, headers=headers, body=body)


def _secrets(extra: Mapping[str, Any]) -> list[str]:
    secrets = extra.get("secrets")
    known = secrets if isinstance(secrets, list | tuple) else ()
    return [secret for secret in known if isinstance(secret, str)]


def _result(response: wire.HttpResponse, *, now_ms: int) -> wire.AttemptResult:
    """Whatever is not a success is worth another try, but for 410: the endpoint wants no more."""
    status, code = response.status, f"http_{response.status}"
    if 200 <= status < 300:
        return wire.Accepted()
    if status == 410:
        return wire.Rejected(
            code=code, detail="endpoint gone", scope=wire.Scope.RECIPIENT, suppress=True
        )
    wait = base.retry_after(response, now_ms=now_ms)
    slow = status in THROTTLED or (status == 503 and wait is not None)
    cause = wire.Cause.THROTTLED if slow else wire.Cause.TEMPORARY
    return wire.Deferred(code=code, cause=cause, retry_after=wait)
