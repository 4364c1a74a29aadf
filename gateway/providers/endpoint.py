"""Recipients' own systems and devices: a signed POST to the address that a message names.

Specification: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

Addresses are whatever callers say, hence requests go only where webhooks may go (`guarded`), and
what one answers is about nobody else. Our own reports to tenants are another matter (`webhook`).

The body is JSON: `type` is always `message`, `timestamp` says when it was sent, and `data` holds
`id`, `category`, and of `title`, `text`, `link` and the content's own `data` those that are set.
`webhook-id` stays the same when it is sent again, so that a second copy can be dropped.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import orjson

import gateway
from gateway.clock import Clock, to_datetime
from gateway.model import wire
from gateway.model.values import replace
from gateway.providers import auth, base, chat, errcodes

#: Bytes of a body: more than any text that is meant for people.
MAX_BODY = 256 * 1024
_RECIPIENT = wire.Scope.RECIPIENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Keys of `[providers.<account>]` with `kind = "endpoint"`."""

    #: signs every request: `whsec_…`, or any other secret that the recipients' systems know
    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        errcodes.check([] if self.secret else ["secret: is empty"])


class Provider(chat.Silent):
    """One message a request."""

    name: ClassVar[str] = "endpoint"
    channel = wire.Channel.WEBHOOK
    guarded: ClassVar[bool] = True
    limits: ClassVar[str] = "256 KiB"

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        self.account = account
        self._secret = settings.secret
        self._clock = clock

    def request(self, message: wire.Message) -> wire.HttpRequest:
        now_ms = self._clock.now_ms()
        body = orjson.dumps(_content(message, now_ms), option=orjson.OPT_NON_STR_KEYS)
        if len(body) > MAX_BODY:
            raise ValueError(f"content: more than {MAX_BODY} bytes")
        timestamp = now_ms // 1000
        signature = auth.sign_webhook(
            [self._secret], message_id=message.reference, timestamp=timestamp, body=body
        )
        headers = {
            "content-type": "application/json",
            "user-agent": f"gateway/{gateway.__version__}",
            "webhook-id": message.reference,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature,
        }
        return wire.HttpRequest(method="POST", url=message.to.url, headers=headers, body=body)

    def result(self, response: wire.HttpResponse) -> wire.AttemptResult:
        """By status. 410 is for good; other refusals are about this message and address alone."""
        status, code = response.status, f"http_{response.status}"
        if status == 410:
            return wire.Rejected(code=code, detail="gone", scope=_RECIPIENT, suppress=True)
        found = base.result_of_status(response, now_ms=self._clock.now_ms())
        if status in (401, 403) or 300 <= status < 400:
            return wire.Rejected(code=code, detail="refused", scope=_RECIPIENT)
        if isinstance(found, wire.Deferred) and found.cause is wire.Cause.THROTTLED:
            return replace(found, cause=wire.Cause.RECIPIENT)
        return found


def _content(message: wire.Message, now_ms: int) -> Mapping[str, Any]:
    content, data = message.content, message.content.extra.get("data")
    said = {
        "title": chat.title_of(content),
        "text": content.text,
        "link": chat.link_of(content),
        "data": data if isinstance(data, Mapping) else None,
    }
    filled = {name: value for name, value in said.items() if value}
    return {
        "type": "message",
        "timestamp": to_datetime(now_ms).isoformat(timespec="milliseconds"),
        "data": {"id": message.id, "category": message.category, **filled},
    }
