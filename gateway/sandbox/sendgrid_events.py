"""SendGrid's event webhook: events of messages, and posts of them that are signed.

https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
"""

import base64
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import orjson
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.model import wire
from gateway.sandbox.magic import Magic

Json: TypeAlias = Mapping[str, Any]

_SIGNATURE = "X-Twilio-Email-Event-Webhook-Signature"
_TIMESTAMP = "X-Twilio-Email-Event-Webhook-Timestamp"

#: Bytes of one post.
_MAX_POST = 768 * 1024

_DELIVERED: Json = {"event": "delivered", "response": "250 OK", "tls": 1, "ip": "192.0.2.1"}
_AGENT = {"useragent": "Mozilla/5.0", "ip": "198.51.100.7"}

#: How a message ends by what its receipt is to tell: events after `processed`.
_ENDS: Mapping[wire.ReceiptEvent, Sequence[Json]] = {
    wire.ReceiptEvent.SENT: (),
    wire.ReceiptEvent.DELIVERED: (_DELIVERED,),
    wire.ReceiptEvent.READ: (_DELIVERED, {"event": "open", **_AGENT, "sg_machine_open": False}),
    wire.ReceiptEvent.EXPIRED: (
        {"event": "deferred", "response": "451 4.3.0 try again later", "attempt": "3"},
        {
            "event": "bounce",
            "type": "expired",
            "reason": "unable to get mx info",
            "status": "4.4.7",
        },
    ),
    wire.ReceiptEvent.COMPLAINED: (_DELIVERED, {"event": "spamreport"}),
    wire.ReceiptEvent.UNKNOWN: ({"event": "sandbox_unheard_of"},),
}
#: Dropped before anything was done about them.
_DROPS: Mapping[wire.ReceiptEvent, str] = {
    wire.ReceiptEvent.FAILED: "Bounced Address",
    wire.ReceiptEvent.OPTED_OUT: "Unsubscribed Address",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One message of a call that was taken."""

    #: X-Message-Id of the call, and the place of the message in it
    call: str
    place: int
    to: str
    custom_args: Mapping[str, str]
    categories: Sequence[str]


def steps(mail: Mail, event: wire.ReceiptEvent, magic: Magic) -> Iterator[Json]:
    """The events of one message, in their order."""
    if event in _DROPS:
        yield _event(mail, {"event": "dropped", "reason": _DROPS[event]})
        return
    yield _event(mail, {"event": "processed"})
    ends = _ENDS.get(event, ())
    if event is wire.ReceiptEvent.BOUNCED:
        ends = (_bounce(magic.code or "550 5.1.1 no such mailbox"),)
    for end in ends:
        yield _event(mail, end)


def _bounce(answer: str) -> Json:
    status = answer.split()[1]
    kind = "blocked" if status.startswith("5.7.") else "bounce"
    return {"event": "bounce", "type": kind, "reason": answer, "status": status, "tls": 1}


def _event(mail: Mail, fields: Json) -> Json:
    """Custom arguments lie flat beside the service's own fields, which win."""
    name = mail.call
    server = f"recvd-6f5c9d7b8-k2x9z-1-{uuid.uuid4().hex[:8].upper()}-1.{mail.place}"
    return {
        **mail.custom_args,
        "email": mail.to,
        "timestamp": int(time.time()),
        "sg_event_id": base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="),
        "sg_message_id": f"{name}.{server}",
        "smtp-id": f"<{name}@geopod-ismtpd-1>",
        "category": list(mail.categories),
        **fields,
    }


def bodies(rows: Sequence[Json]) -> Iterator[bytes]:
    """The events as the bodies of posts, each as large as a post may be."""
    held: list[bytes] = []
    size = 0
    for row in map(orjson.dumps, rows):
        if held and size + len(row) > _MAX_POST:
            yield _array(held)
            held, size = [], 0
        held.append(row)
        size += len(row) + len(",\r\n")
    if held:
        yield _array(held)


def _array(rows: Sequence[bytes]) -> bytes:
    return b"[" + b",\r\n".join(rows) + b"]\r\n"


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs posts with a key made on the spot."""

    _key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1()), repr=False
    )

    @property
    def public_key(self) -> str:
        """As the settings of the webhook show it."""
        der = self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return base64.b64encode(der).decode()

    def post(self, url: str, body: bytes) -> Callable[[], wire.HttpRequest]:
        """Builds the post, signed anew for each try."""

        def build() -> wire.HttpRequest:
            timestamp = str(int(time.time()))
            signature = self._key.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
            headers = {
                "Content-Type": "application/json;charset=utf-8",
                "User-Agent": "SendGrid Event API",
                _SIGNATURE: base64.b64encode(signature).decode(),
                _TIMESTAMP: timestamp,
            }
            return wire.HttpRequest(method="POST", url=url, headers=headers, body=body)

        return build
