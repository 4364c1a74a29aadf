"""A topic of Amazon SNS with one HTTP endpoint, which must confirm before it gets anything.

https://docs.aws.amazon.com/sns/latest/dg/SendMessageToHttp.prepare.html. The endpoint is where the
knob `receipt_url` points; a new one is asked to confirm first, and what is published meanwhile
waits for it.
"""

import base64
import datetime
import functools
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlencode

import orjson
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from gateway.model import wire
from gateway.sandbox import reports
from gateway.sandbox.knobs import Knobs

#: Notifications that wait for a confirmation.
_WAITING = 10_000

#: Tries after the first; AWS spreads more of them over an hour.
_RETRIES = 5

_DAY = datetime.timedelta(days=1)

#: What of a message is signed, in this order, if it is there.
_NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")


@dataclass(slots=True, kw_only=True)
class _Subscription:
    """The endpoint of the topic."""

    url: str
    arn: str
    token: str
    confirmed: bool = False
    waiting: list[tuple[float, str, str]] = field(default_factory=list)


@functools.cache
def identity() -> tuple[rsa.RSAPrivateKey, bytes]:
    """The key that signs, and its certificate in PEM; made once, which takes a moment."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - _DAY).not_valid_after(now + 30 * _DAY)
    certificate = builder.sign(key, hashes.SHA256())
    return key, certificate.public_bytes(serialization.Encoding.PEM)


class Topic:
    """Publishes to its endpoint, signed by `SignatureVersion` 1 or 2."""

    def __init__(
        self,
        arn: str,
        *,
        version: Literal["1", "2"],
        origin: Callable[[], str],
        knobs: Knobs,
        reporter: reports.Reporter,
    ) -> None:
        """origin: where `routes` are served, known once the simulator listens."""
        self.arn = arn
        self.version = version
        self._origin = origin
        self._knobs = knobs
        self._reporter = reporter
        self._certificate = f"/SimpleNotificationService-{uuid.uuid4().hex}.pem"
        self._subscription: _Subscription | None = None
        #: called when an endpoint has confirmed
        self.on_confirmed: Callable[[], None] = lambda: None

    def routes(self) -> Sequence[web.RouteDef]:
        return [web.get(self._certificate, self._get_certificate), web.get("/", self._act)]

    async def _get_certificate(self, _: web.Request) -> web.Response:
        return web.Response(body=identity()[1], content_type="application/x-pem-file")

    async def _act(self, request: web.Request) -> web.Response:
        query, one = request.query, self._subscription
        known = one is not None and (query.get("TopicArn"), query.get("Token")) == (
            self.arn,
            one.token,
        )
        if one is None or not known or query.get("Action") != "ConfirmSubscription":
            return web.Response(status=400, text="<ErrorResponse/>", content_type="text/xml")
        if not one.confirmed:
            one.confirmed = True
            self.on_confirmed()
            waiting, one.waiting = one.waiting, []
            for delay, subject, message in waiting:
                self._notify(one, delay, subject, message)
        answer = (
            "<ConfirmSubscriptionResponse><ConfirmSubscriptionResult>"
            f"<SubscriptionArn>{one.arn}</SubscriptionArn>"
            "</ConfirmSubscriptionResult></ConfirmSubscriptionResponse>"
        )
        return web.Response(text=answer, content_type="text/xml")

    def publish(self, message: str, *, subject: str = "", delay: float = 0.0) -> None:
        """Post a notification in `delay` seconds, or when the endpoint has confirmed."""
        one = self._subscribed()
        if one is None:
            return
        if one.confirmed:
            self._notify(one, delay, subject, message)
        elif len(one.waiting) < _WAITING:
            one.waiting.append((delay, subject, message))

    def _subscribed(self) -> _Subscription | None:
        """The endpoint as the knob has it; a new one gets its confirmation."""
        url, one = self._knobs.receipt_url, self._subscription
        if not url:
            return None
        if one is None or one.url != url:
            one = self._subscription = _Subscription(
                url=url, arn=f"{self.arn}:{uuid.uuid4()}", token=uuid.uuid4().hex * 4
            )
            self._confirm(one)
        return one

    def _confirm(self, one: _Subscription) -> None:
        query = {"Action": "ConfirmSubscription", "TopicArn": self.arn, "Token": one.token}
        text = "You have chosen to subscribe to the topic. Visit the SubscribeURL to confirm."
        fields = {"SubscribeURL": f"{self._origin()}/?{urlencode(query)}", "Token": one.token}
        self._post(one, 0.0, "SubscriptionConfirmation", {"Message": text, **fields})

    def _notify(self, one: _Subscription, delay: float, subject: str, message: str) -> None:
        fields = {"Subject": subject} if subject else {}
        self._post(one, delay, "Notification", {"Message": message, **fields})

    def _post(self, one: _Subscription, delay: float, kind: str, fields: Mapping[str, str]) -> None:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        note = {
            "Type": kind,
            "MessageId": str(uuid.uuid4()),
            "TopicArn": self.arn,
            "Timestamp": now.replace("+00:00", "Z"),
            "SignatureVersion": self.version,
            "SigningCertURL": self._origin() + self._certificate,
            **fields,
        }
        note["Signature"] = sign(note)
        request = wire.HttpRequest(
            method="POST", url=one.url, headers=_headers(note, one), body=orjson.dumps(note)
        )
        report = reports.Report(
            build=lambda: request,
            retries=_RETRIES,
            again=_again,
            retry_delay=lambda: self._knobs.receipt_retry_delay,
        )
        repeats = self._knobs.receipt_repeats if kind == "Notification" else 0
        for _ in range(1 + repeats):
            self._reporter.schedule(delay, report)


def _headers(note: Mapping[str, str], one: _Subscription) -> dict[str, str]:
    headers = {
        "Content-Type": "text/plain; charset=UTF-8",
        "User-Agent": "Amazon Simple Notification Service Agent",
        "x-amz-sns-message-type": note["Type"],
        "x-amz-sns-message-id": note["MessageId"],
        "x-amz-sns-topic-arn": note["TopicArn"],
    }
    return {**headers, "x-amz-sns-subscription-arn": one.arn} if one.confirmed else headers


def sign(note: Mapping[str, str]) -> str:
    """The signature of a message, as its `SignatureVersion` says."""
    names = _NOTIFICATION if note["Type"] == "Notification" else _CONFIRMATION
    text = "".join(f"{name}\n{note[name]}\n" for name in names if name in note)
    algorithm = hashes.SHA1() if note["SignatureVersion"] == "1" else hashes.SHA256()
    signature = identity()[0].sign(text.encode(), padding.PKCS1v15(), algorithm)
    return base64.b64encode(signature).decode()


def _again(outcome: reports.Outcome) -> bool:
    """Any answer below 500 counts as delivered."""
    return isinstance(outcome, reports.Trouble) or outcome >= 500
