"""Mailgun's webhooks: events of messages, one a post, and their signatures.

https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhooks
"""

import hashlib
import hmac
import secrets
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson

from gateway.model import wire
from gateway.sandbox import reports
from gateway.sandbox.magic import Magic

Json: TypeAlias = Mapping[str, Any]

_DELIVERED: Json = {
    "event": "delivered",
    "log-level": "info",
    "delivery-status": {"code": 250, "message": "OK", "attempt-no": 1, "tls": True},
}
_OPENED: Json = {
    "event": "opened",
    "ip": "198.51.100.7",
    "client-info": {"client-type": "browser", "user-agent": "Mozilla/5.0", "bot": ""},
}


def _failed(reason: str, code: int, message: str, severity: str = "permanent") -> Json:
    status = {"code": code, "message": message, "attempt-no": 1}
    enhanced = message.split(" ")[0]
    if enhanced.count(".") == 2:
        status["enhanced-code"] = enhanced
    failure = {"event": "failed", "severity": severity, "reason": reason, "log-level": "error"}
    return {**failure, "delivery-status": status}


#: How a message ends by what its receipt is to tell: events after `accepted`.
_ENDS: Mapping[wire.ReceiptEvent, Sequence[Json]] = {
    wire.ReceiptEvent.SENT: (),
    wire.ReceiptEvent.DELIVERED: (_DELIVERED,),
    wire.ReceiptEvent.READ: (_DELIVERED, _OPENED),
    wire.ReceiptEvent.EXPIRED: (
        _failed("generic", 451, "4.3.0 try again later", severity="temporary"),
        _failed("old", 602, "Too old"),
    ),
    wire.ReceiptEvent.FAILED: (_failed("suppress-bounce", 605, ""),),
    wire.ReceiptEvent.OPTED_OUT: (_failed("suppress-unsubscribe", 606, ""),),
    wire.ReceiptEvent.COMPLAINED: (_DELIVERED, {"event": "complained", "log-level": "warn"}),
    wire.ReceiptEvent.UNKNOWN: ({"event": "sandbox_unheard_of"},),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One recipient's message of a call that was taken."""

    #: id of the call, without angle brackets
    call: str
    to: str
    sender: str
    subject: str
    variables: Mapping[str, str]
    tags: Sequence[str]
    is_test: bool


def steps(mail: Mail, event: wire.ReceiptEvent, magic: Magic) -> Iterator[Json]:
    """The `event-data` of one message's events, in their order."""
    yield _data(mail, {"event": "accepted", "log-level": "info"})
    ends = _ENDS.get(event, ())
    if event is wire.ReceiptEvent.BOUNCED:
        code, _, words = (magic.code or "550 5.1.1 no such mailbox").partition(" ")
        reason = "generic" if words.startswith("5.7.") else "bounce"
        ends = (_failed(reason, int(code), words),)
    for end in ends:
        yield _data(mail, end)


def _data(mail: Mail, fields: Json) -> Json:
    headers = {
        "message-id": mail.call,
        "to": mail.to,
        "from": mail.sender,
        "subject": mail.subject,
    }
    return {
        "id": secrets.token_urlsafe(16),
        "timestamp": time.time(),
        "recipient": mail.to,
        "recipient-domain": mail.to.rpartition("@")[2],
        "message": {"headers": headers, "attachments": [], "size": 0},
        "envelope": {"transport": "smtp", "sender": mail.sender, "targets": mail.to},
        "flags": {"is-test-mode": mail.is_test, "is-delayed-bounce": False},
        "tags": list(mail.tags),
        "user-variables": dict(mail.variables),
        **fields,
    }


def signature(key: str, *, timestamp: str, token: str) -> str:
    """What proves that the holder of the key made the token then."""
    return hmac.digest(key.encode(), f"{timestamp}{token}".encode(), hashlib.sha256).hex()


def report(url: str, key: str, data: Json, *, retry_delay: Callable[[], float]) -> reports.Report:
    """The post of one event, signed anew for each try. That of a delivery is made once."""

    def build() -> wire.HttpRequest:
        timestamp, token = str(int(time.time())), uuid.uuid4().hex + secrets.token_hex(9)
        signed = {
            "timestamp": timestamp,
            "token": token,
            "signature": signature(key, timestamp=timestamp, token=token),
        }
        body = orjson.dumps({"signature": signed, "event-data": data})
        headers = {"Content-Type": "application/json", "User-Agent": "mailgun/treq-20.9.0"}
        return wire.HttpRequest(method="POST", url=url, headers=headers, body=body)

    retries = 0 if data["event"] == "delivered" else 5
    return reports.Report(build=build, retries=retries, again=_again, retry_delay=retry_delay)


def _again(outcome: reports.Outcome) -> bool:
    """200 is done and 406 is final; anything else is tried again."""
    return outcome not in (200, 406)
