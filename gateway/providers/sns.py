"""What Amazon SNS posts to an HTTP endpoint: read, proved, and subscriptions confirmed.

Formats: https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
Signatures: https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html

The certificate comes from AWS itself over TLS, hence the strict check of where it lies: at SNS in
the region of the topic. Any host of the form sns.*.amazonaws.com would not do, since buckets of S3
can have such names. That SNS signed something says nothing about whose topic it was: only topics
of an allow-list count. Raw message delivery has no signature and is refused.
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import TypeAlias
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from gateway.clock import Clock
from gateway.model import wire
from gateway.providers import auth, base

NOTIFICATION, SUBSCRIPTION = "Notification", "SubscriptionConfirmation"
#: What is signed of each type, in this order.
_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SIGNED = {
    NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    SUBSCRIPTION: _CONFIRMATION,
    "UnsubscribeConfirmation": _CONFIRMATION,
}
#: The one that may be absent.
_OPTIONAL = "Subject"
_HASHES = {"1": hashes.SHA1, "2": hashes.SHA256}

_ARN = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):sns:(?P<region>[a-z0-9-]{3,}):[0-9]{12}:"
    r"[A-Za-z0-9_-]{1,256}(?:\.fifo)?"
)
_CERTIFICATE = re.compile(r"/(?:[A-Za-z0-9_-]+/)*[A-Za-z0-9_-]+\.pem")
#: A query of visible ASCII; `#` would begin what is not sent.
_CONFIRM = re.compile(r"/\?[!-\"$-~]{1,2000}")

#: Seconds since publication after which nobody delivers any more: retries end after an hour
#: (docs/sns/latest/dg/sns-message-delivery-retries.html); and how far clocks may differ.
_LIFETIME, _SKEW = 2 * 3600, 300
#: A certificate is some 2 KB of PEM.
_MAX_CERTIFICATE = 64 * 1024
_MIN_KEY_BITS = 2048

Note: TypeAlias = Mapping[str, str]


def is_topic(arn: str) -> bool:
    """Whether it looks like the ARN of a topic."""
    return _ARN.fullmatch(arn) is not None


class Inbox:
    """Notifications of some topics."""

    def __init__(self, topics: Collection[str], *, origin: str, clock: Clock) -> None:
        """origin: where certificates and confirmations may lie instead of at AWS; empty: AWS."""
        #: by topic, the origins of its certificate and its confirmation
        self._origins = {arn: (origin.rstrip("/"),) if origin else _origins(arn) for arn in topics}
        self._clock = clock

    def read(self, request: wire.HttpRequest) -> Note | None:
        """Its texts, if it looks genuine in all that can be told without the certificate."""
        body = auth.json_object(request.body)
        note = {key: value for key, value in body.items() if isinstance(value, str)}
        return note if self._is_plausible(note, request.headers) else None

    def _is_plausible(self, note: Note, headers: Mapping[str, str]) -> bool:
        kind = note.get("Type", "")
        return (
            kind in _SIGNED
            and all(key in note or key == _OPTIONAL for key in _SIGNED[kind])
            and note["TopicArn"] in self._origins
            and headers.get("x-amz-sns-message-type", kind) == kind
            and headers.get("x-amz-sns-message-id", note["MessageId"]) == note["MessageId"]
            and note.get("SignatureVersion") in _HASHES
            and self._is_its(note["TopicArn"], note.get("SigningCertURL", ""), _CERTIFICATE)
            and self._is_fresh(note["Timestamp"])
            and (kind != SUBSCRIPTION or self._is_confirmation(note))
        )

    def _is_its(self, topic: str, url: str, rest: re.Pattern[str]) -> bool:
        """Whether the URL is one of the topic's own, with such a path."""
        return any(
            url.startswith(f"{origin}/") and rest.fullmatch(url, len(origin)) is not None
            for origin in self._origins[topic]
        )

    def _is_fresh(self, timestamp: str) -> bool:
        at = base.read_time(timestamp)
        age = self._clock.now_ms() / 1000 - at.timestamp() if at else _LIFETIME + 1
        return -_SKEW <= age <= _LIFETIME

    def _is_confirmation(self, note: Note) -> bool:
        if not self._is_its(note["TopicArn"], note["SubscribeURL"], _CONFIRM):
            return False
        query = parse_qs(urlsplit(note["SubscribeURL"]).query)
        wanted = {"Action": ["ConfirmSubscription"], "TopicArn": [note["TopicArn"]]}
        return all(query.get(name) == value for name, value in wanted.items())

    def certificate_request(self, request: wire.HttpRequest) -> wire.HttpRequest | None:
        """Fetches the certificate; None for what is not genuine whatever it says."""
        note = self.read(request)
        return wire.HttpRequest(method="GET", url=note["SigningCertURL"]) if note else None

    def is_signed(self, request: wire.HttpRequest, certificate: bytes) -> bool:
        """Whether the holder of the certificate signed it, and the certificate is valid now."""
        note = self.read(request)
        key = _key(certificate, self._clock.now_ms() // 1000) if note else None
        if note is None or key is None:
            return False
        signed = "".join(
            f"{name}\n{note[name]}\n" for name in _SIGNED[note["Type"]] if name in note
        )
        algorithm = _HASHES[note["SignatureVersion"]]()
        signature = _base64(note.get("Signature", ""))
        try:
            key.verify(signature, auth.to_bytes(signed), padding.PKCS1v15(), algorithm)
        except InvalidSignature:
            return False
        return True

    def confirmation(self, request: wire.HttpRequest) -> wire.HttpRequest | None:
        """The call that confirms a subscription, when that is what a proved request wants."""
        note = self.read(request)
        if note is None or note["Type"] != SUBSCRIPTION:
            return None
        return wire.HttpRequest(method="GET", url=note["SubscribeURL"])


def _origins(arn: str) -> tuple[str, ...]:
    """Of SNS in the topic's region, port 443 said or not; none for what is no topic."""
    found = _ARN.fullmatch(arn)
    if found is None:
        return ()
    suffix = ".cn" if found["partition"] == "aws-cn" else ""
    origin = f"https://sns.{found['region']}.amazonaws.com{suffix}"
    return origin, f"{origin}:443"


def _base64(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _key(pem: bytes, now: int) -> rsa.RSAPublicKey | None:
    """The key of a certificate that is valid at `now`, in seconds."""
    certificate = _load(pem) if len(pem) <= _MAX_CERTIFICATE else None
    if certificate is None:
        return None
    begin, end, key = certificate
    return key if begin <= now <= end else None


@lru_cache(maxsize=32)
def _load(pem: bytes) -> tuple[float, float, rsa.RSAPublicKey] | None:
    """When it is valid, in seconds, and its key."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < _MIN_KEY_BITS:
        return None
    valid = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return valid[0].timestamp(), valid[1].timestamp(), key
