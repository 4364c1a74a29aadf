"""Web Push to browsers: RFC 8030, encrypted by RFC 8291, and signed by VAPID, RFC 8292.

A device's token is its subscription as JSON, as `JSON.stringify(subscription)` gives it in a
browser: `{"endpoint": …, "keys": {"p256dh": …, "auth": …}}`. The endpoint is whatever the recipient
says, hence requests go only where webhooks may go (`guarded`), and what an endpoint answers stops
no more than itself: anybody could subscribe with a server of theirs that claims that our key is
bad or our rate too high. Only the `services` named in settings are believed about the account.

The body is JSON for the page's service worker: `title`, `text`, `image`, `link`, `badge`, `data`,
those that are set, and `id`, our message's. A push sent again has the same `Topic`, so that one
that has not reached the browser is replaced. There are no receipts: browsers' services do not
implement those of RFC 8030 §5.1.
"""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from ipaddress import ip_address
from typing import Any, ClassVar, TypeAlias

import orjson
from cryptography.hazmat.primitives.asymmetric import ec
from yarl import URL

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.providers import auth, base, ecdsa, jwt, push_api, web_encryption

Json: TypeAlias = Mapping[str, Any]

#: Seconds of `TTL`: the most that Mozilla takes (autopush, `docs/src/http.md`).
MAX_TTL = 2_592_000
#: Seconds for which one JWT of an origin is used and good: services take 24 hours (RFC 8292 §2).
TOKEN_USE, TOKEN_LIFETIME = 6 * 3600, 12 * 3600
#: Origins whose JWTs are kept; there are a handful of push services.
_ORIGINS = 256
#: Characters of an endpoint, as services make them, and of `Topic` (RFC 8030 §5.4).
_MAX_ENDPOINT, _MAX_TOPIC = 2048, 32
_GONE = wire.Rejected(
    code="", detail="subscription gone", scope=wire.Scope.RECIPIENT, suppress=True
)
_URGENCY = ("high", "high", "normal", "low")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Keys of `[providers.<account>]` with `kind = "webpush"`."""

    #: VAPID key, to whose public half browsers subscribe: PEM, or its number in base64url
    private_key: str = field(repr=False)
    #: whom push services may ask about us: `mailto:…` or `https://…`
    subject: str
    #: names of the apps that it serves, as in `to.push[].app`; default: any
    apps: Sequence[str] = ()
    #: hosts of push services that are believed about the account; `*.` stands for one label
    services: Sequence[str] = (
        "fcm.googleapis.com",
        "updates.push.services.mozilla.com",
        "web.push.apple.com",
        "*.notify.windows.com",
    )

    def __post_init__(self) -> None:
        if not self.subject.startswith(("mailto:", "https://")):
            raise errors.SettingsError(["subject: neither mailto: nor https://"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What a browser gave out."""

    #: a secret: whoever knows it can be rude to the browser
    endpoint: str = field(repr=False)
    keys: web_encryption.Recipient


class Provider(push_api.PushProvider):
    """One subscription a request."""

    name: ClassVar[str] = "webpush"
    batch_limit: ClassVar[int] = 1
    limits: ClassVar[str] = "3,993 bytes"
    most_bytes: ClassVar[int] = web_encryption.MAX_PLAINTEXT
    guarded: ClassVar[bool] = True
    reports: frozenset[wire.ReceiptEvent] = frozenset()
    credential = None

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        super().__init__(account, settings.apps, clock)
        try:
            key = ecdsa.private_key(settings.private_key)
        except ValueError as error:
            raise errors.SettingsError([f"private_key: {error}, nor in base64url"]) from None
        self._services = frozenset(settings.services)
        #: the `applicationServerKey` to which browsers have to subscribe
        self.public_key = _base64url(web_encryption.point(key.public_key()))
        self._vapid = lru_cache(maxsize=_ORIGINS)(
            partial(_vapid, key, settings.subject, self.public_key)
        )

    def build_requests(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[Sequence[wire.Message], wire.HttpRequest]]:
        return [((message,), self._request(message)) for message in messages]

    def token_fault(self, token: str) -> str:
        try:
            read_subscription(token)
        except ValueError:
            return "not a web push subscription, in JSON"
        return ""

    def size(self, push: push_api.Push) -> int:
        return len(orjson.dumps(_payload(push)))

    def _request(self, message: wire.Message) -> wire.HttpRequest:
        subscription = read_subscription(message.to.token)
        now, push = self._clock.now_ms() // 1000, self.read(message)
        origin = str(URL(subscription.endpoint, encoded=True).origin()).lower()
        headers = {
            "authorization": self._vapid(origin, now // TOKEN_USE * TOKEN_USE),
            "content-encoding": "aes128gcm",
            "content-type": "application/octet-stream",
            "topic": _topic(push),
            "ttl": str(min(push.ttl, MAX_TTL)),
            "urgency": _URGENCY[min(max(message.priority, 0), 3)],
        }
        body = web_encryption.encrypt(orjson.dumps(_payload(push)), subscription.keys)
        return wire.HttpRequest(
            method="POST", url=subscription.endpoint, headers=headers, body=body
        )

    def read_response(
        self, messages: Sequence[wire.Message], response: wire.HttpResponse
    ) -> Sequence[wire.AttemptResult]:
        result = _result(response, now_ms=self._clock.now_ms())
        return [self._believed(message, result) for message in messages]

    def _believed(self, message: wire.Message, result: wire.AttemptResult) -> wire.AttemptResult:
        """As the service says it, or about this recipient only when it is nobody we know."""
        if not isinstance(result, wire.Deferred) or result.cause is wire.Cause.RECIPIENT:
            return result
        try:
            is_known = self.knows(read_subscription(message.to.token).endpoint)
        except ValueError:
            is_known = False
        return result if is_known else replace(result, cause=wire.Cause.RECIPIENT)

    def knows(self, url: str) -> bool:
        host = URL(url).host or ""
        return host in self._services or f"*.{host.partition('.')[2]}" in self._services

    def verify_receipt(self, request: wire.HttpRequest) -> bool:
        return False

    def read_receipts(self, request: wire.HttpRequest) -> Sequence[wire.DeliveryReceipt]:
        raise errors.UnreadableReceipt("push services report nothing")

    def answer_receipt(self, request: wire.HttpRequest) -> wire.HttpResponse:
        return wire.HttpResponse(status=404)


def read_subscription(token: str) -> Subscription:
    """Raises ValueError, which never repeats what the token says."""
    value = auth.json_object(auth.to_bytes(token))
    keys, endpoint = value.get("keys"), value.get("endpoint")
    if not isinstance(keys, dict) or not isinstance(endpoint, str):
        raise ValueError("to.token: not a web push subscription")
    try:
        # Requests go to what was given, so it must be what it is taken for.
        url = URL(endpoint, encoded=True)
        is_url = _is_endpoint(url)
        public = ecdsa.from_base64url(str(keys.get("p256dh")))
        secret = ecdsa.from_base64url(str(keys.get("auth")))
        web_encryption.public_key(public)
    except ValueError:
        is_url, public, secret = False, b"", b""
    if not is_url or len(secret) != 16 or len(endpoint) > _MAX_ENDPOINT or not _plain(endpoint):
        raise ValueError("to.token: not a web push subscription")
    recipient = web_encryption.Recipient(public=public, secret=secret)
    return Subscription(endpoint=endpoint, keys=recipient)


def _is_endpoint(url: URL) -> bool:
    """Services speak HTTPS (RFC 8030 §8); without it only what the guard may be told to allow."""
    if url.scheme not in ("https", "http") or not url.host or url.user is not None:
        return False
    try:
        is_near = not ip_address(url.host).is_global
    except ValueError:
        is_near = url.host == "localhost"
    return url.scheme == "https" or is_near


def _plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


def _vapid(
    key: ec.EllipticCurvePrivateKey, subject: str, public: str, origin: str, since: int
) -> str:
    """Value of Authorization (RFC 8292 §3), without a blank after the comma, which some refuse."""
    claims = {"aud": origin, "exp": since + TOKEN_LIFETIME, "sub": subject}
    token = jwt.sign_es256(key, header={"typ": "JWT", "alg": "ES256"}, claims=claims)
    return f"vapid t={token},k={public}"


def _topic(push: push_api.Push) -> str:
    """Of the collapse key or the message: 32 characters of base64url, which say nothing of it."""
    given = push.collapse_key or push.message.id
    digest = hashlib.sha256(auth.to_bytes(given)).digest()
    return _base64url(digest)[:_MAX_TOPIC]


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _payload(push: push_api.Push) -> Json:
    values = {
        "id": push.message.id,
        "title": push.title,
        "text": push.body,
        "image": push.image,
        "link": push.link,
        "badge": push.badge,
        "data": push.data_object(),
    }
    return {name: value for name, value in values.items() if value not in ("", None, {})}


def _result(response: wire.HttpResponse, *, now_ms: int) -> wire.AttemptResult:
    """By status alone: only Mozilla says more, and its texts may repeat the endpoint."""
    status, code = response.status, f"http_{response.status}"
    wait = base.retry_after(response, now_ms=now_ms)
    if status in (200, 201, 202):
        return wire.Accepted()
    if 200 <= status < 300:
        return wire.Unknown(code=code, detail="not an answer of a push service")
    if status in (404, 410):
        return replace(_GONE, code=code)
    if status in (301, 302, 303, 307, 308):  # nobody has looked at where it leads
        detail = "endpoint moved"
        return wire.Deferred(code=code, detail=detail, cause=wire.Cause.RECIPIENT, retry_after=wait)
    if status in (401, 403):
        # Mostly a subscription to another key of ours, of which the service says the same as of
        # a wrong key: one of those must not stop all the others.
        detail = "VAPID key refused"
        return wire.Deferred(code=code, detail=detail, cause=wire.Cause.RECIPIENT, retry_after=wait)
    return base.result_of_status(response, now_ms=now_ms)
