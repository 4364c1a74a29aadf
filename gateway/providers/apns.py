"""Apple Push Notification service, provider API over HTTP/2.

Send: https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
Token: https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns
Answers: https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns

Requests carry a JWT of our key (`key_id`, `team_id`, `private_key`), or the connection proves who
we are by a `certificate`. Apple wants a JWT renewed every 20 to 60 minutes and the same one from
all of our processes, so that it follows from the clock alone: its `iat` is the last of fixed
moments 40 minutes apart, and its signature has no chance in it (RFC 6979). One refused as expired
therefore means that our clock is wrong, and nothing is signed anew for it.

A 200 is the last that Apple says: there are no receipts. A push sent again carries the same
`apns-id` and collapse id, and the device shows it once.

`content.extra` may name `push_type`, `badge`, `sound`, `link`, `image`, `data` (keys beside
`aps`), `collapse_key`, and `aps` with any keys of Apple's, which win over ours.
"""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any, ClassVar, Literal, TypeAlias
from urllib.parse import quote
from uuid import UUID, uuid5

import orjson
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.providers import apns_codes, auth, base, ecdsa, jwt, trial
from gateway.transport import tls

Json: TypeAlias = Mapping[str, Any]

HOSTS = {
    "production": "https://api.push.apple.com",
    "sandbox": "https://api.sandbox.push.apple.com",
}
#: Seconds from one JWT to the next, and by which each is dated back lest Apple's clock be behind
#: ours: it is between 1 and 41 minutes old when it is used.
TOKEN_USE, TOKEN_BACK = 2400, 60
#: Bytes of the JSON, by push type, and of apns-collapse-id.
MAX_PAYLOAD, MAX_VOIP_PAYLOAD, MAX_COLLAPSE_ID = 4096, 5120, 64
#: Seconds that Apple keeps a push for a device that is off: 30 days.
MAX_KEPT = 30 * 86_400
#: What is added to the bundle id for a topic, unless settings name the topic of a push type.
SUFFIXES: Mapping[str, str] = {
    "alert": "",
    "background": "",
    "mdm": "",
    "widgets": "",
    "location": ".location-query",
    "voip": ".voip",
    "complication": ".complication",
    "fileprovider": ".pushkit.fileprovider",
    "liveactivity": ".push-type.liveactivity",
    "pushtotalk": ".voip-ptt",
}

#: Of the names from which `apns-id` is made (RFC 9562 §5.5): our references.
_NAMESPACE = UUID("6f0c1d5e-1d7c-4c53-9a0b-6a3f6f1f2b11")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Keys of `[providers.<account>]` with `kind = "apns"`."""

    #: bundle id of the app; topics are made of it
    bundle_id: str
    #: ten characters, of the key; with team_id and private_key, unless there is a certificate
    key_id: str = ""
    #: ten characters, of the developer team
    team_id: str = ""
    #: text of the key's `.p8` file, PEM
    private_key: str = field(default="", repr=False)
    #: certificate and its key without password, PEM; in place of a key
    certificate: str = field(default="", repr=False)
    #: `production` or `sandbox`: a device token is good in one of them only
    environment: Literal["production", "sandbox"] = "production"
    #: topics by push type, where they are not the bundle id and Apple's suffix
    topics: Mapping[str, str] = field(default_factory=dict)
    #: authorities to trust in place of the system's, PEM; for tests and proxies
    authorities: str = ""
    #: origin of the API; default that of the environment
    base_url: str = ""

    def __post_init__(self) -> None:
        faults = [] if self.bundle_id else ["bundle_id: is empty"]
        by_key = (self.key_id, self.team_id, self.private_key)
        if self.certificate and any(by_key):
            faults.append("certificate: a key is set too, one of them is needed")
        if not self.certificate:
            names = ("key_id", "team_id", "private_key")
            missing = (name for name, value in zip(names, by_key, strict=True) if not value)
            faults += [f"{name}: missing, unless there is a certificate" for name in missing]
        unknown = sorted(set(self.topics) - set(SUFFIXES))
        faults += [f"topics.{name}: no such push type" for name in unknown]
        if faults:
            raise errors.SettingsError(faults)


class Provider(base.HttpProvider):
    """One device a request; many requests share a connection."""

    name: ClassVar[str] = "apns"
    channel = wire.Channel.PUSH
    batch_limit: ClassVar[int] = 1
    http_version: ClassVar[Literal["1.1", "2"]] = "2"
    reports: frozenset[wire.ReceiptEvent] = frozenset()
    credential = None

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        self.account = account
        self.tls = _context(settings)
        self._settings = settings
        self._clock = clock
        self._origin = (settings.base_url or HOSTS[settings.environment]).rstrip("/")
        self._bearer = lru_cache(maxsize=1)(partial(_bearer, settings, _key(settings)))

    def objection(self, content: wire.Content, to: wire.Address) -> str:
        if trial.is_short(content, octets=MAX_PAYLOAD // 2):
            return ""
        return trial.objection(_body, content, to, self.channel)

    def build_requests(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[Sequence[wire.Message], wire.HttpRequest]]:
        return [((message,), self._request(message)) for message in messages]

    def _request(self, message: wire.Message) -> wire.HttpRequest:
        push_type, body = _body(message)
        headers = self._headers(message, push_type)
        if self._settings.private_key:
            slot = (self._clock.now_ms() // 1000 - TOKEN_BACK) // TOKEN_USE
            headers["authorization"] = self._bearer(slot * TOKEN_USE)
        token = quote(message.to.token, safe="")
        url = f"{self._origin}/3/device/{token}"
        return wire.HttpRequest(method="POST", url=url, headers=headers, body=body)

    def _headers(self, message: wire.Message, push_type: str) -> dict[str, str]:
        settings = self._settings
        topic = settings.topics.get(push_type, settings.bundle_id + SUFFIXES[push_type])
        now = self._clock.now_ms() // 1000
        expires = min(int(message.expires_at.timestamp()), now + MAX_KEPT)
        urgent = message.priority <= 1 and push_type != "background"
        headers = {
            "content-type": "application/json",
            "apns-id": str(uuid5(_NAMESPACE, message.reference)),
            "apns-topic": topic,
            "apns-push-type": push_type,
            "apns-priority": "10" if urgent else "5",
            # Past moments would be refused by some and kept by others: 0 is "now or never".
            "apns-expiration": str(expires if expires > now else 0),
        }
        collapse_id = _text(message.content.extra, "collapse_key") or message.id
        if len(collapse_id.encode()) <= MAX_COLLAPSE_ID and collapse_id.isprintable():
            headers["apns-collapse-id"] = collapse_id
        return headers

    def read_response(
        self, messages: Sequence[wire.Message], response: wire.HttpResponse
    ) -> Sequence[wire.AttemptResult]:
        return [_result(response, now_ms=self._clock.now_ms())] * len(messages)

    def verify_receipt(self, request: wire.HttpRequest) -> bool:
        return False

    def read_receipts(self, request: wire.HttpRequest) -> Sequence[wire.DeliveryReceipt]:
        raise errors.UnreadableReceipt("Apple reports nothing")

    def answer_receipt(self, request: wire.HttpRequest) -> wire.HttpResponse:
        return wire.HttpResponse(status=404)


def _key(settings: Settings) -> ec.EllipticCurvePrivateKey | None:
    if not settings.private_key:
        return None
    try:
        return ecdsa.private_key(settings.private_key)
    except ValueError as error:
        raise errors.SettingsError([f"private_key: {error}"]) from None


def _context(settings: Settings) -> ssl.SSLContext | None:
    """None: as the transport makes it by itself."""
    if not (settings.authorities or settings.certificate):
        return None
    try:
        return tls.client_context(
            authorities=settings.authorities, certificate=settings.certificate
        )
    except ValueError as error:
        raise errors.SettingsError([str(error)]) from None


def _bearer(settings: Settings, key: ec.EllipticCurvePrivateKey | None, issued_at: int) -> str:
    assert key is not None  # asked for with a key only
    header = {"alg": "ES256", "kid": settings.key_id}
    claims = {"iss": settings.team_id, "iat": issued_at}
    return f"bearer {jwt.sign_es256(key, header=header, claims=claims)}"


def _body(message: wire.Message) -> tuple[str, bytes]:
    """(apns-push-type, payload). Raises ValueError when that is too long."""
    push_type, payload = _content(message)
    body = orjson.dumps(payload)
    if len(body) > (MAX_VOIP_PAYLOAD if push_type == "voip" else MAX_PAYLOAD):
        raise ValueError("content: more than Apple takes in a push")
    return push_type, body


def _content(message: wire.Message) -> tuple[str, Json]:
    """Push type and payload: a push that shows nothing wakes the app in the background."""
    content, extra = message.content, message.content.extra
    alert = _filled(title=content.title or content.subject, body=content.text)
    push_type = _text(extra, "push_type")
    if push_type not in SUFFIXES:
        push_type = "alert" if alert else "background"
    aps: dict[str, Any] = {"content-available": 1} if push_type == "background" else {}
    if push_type != "background":
        aps |= {"alert": alert} if alert else {}
        aps |= _filled(sound=_text(extra, "sound"))
        badge = extra.get("badge")
        if isinstance(badge, int) and not isinstance(badge, bool) and badge >= 0:
            aps["badge"] = badge
        if _text(extra, "image"):
            aps["mutable-content"] = 1  # the app's extension fetches it
    given = extra.get("aps")
    if isinstance(given, Mapping):
        aps |= {str(key): value for key, value in given.items()}
    return push_type, {"aps": aps, **_beside(extra)}


def _beside(extra: Json) -> Json:
    given = extra.get("data")
    data = dict(given) if isinstance(given, Mapping) else {}
    named = _filled(link=_text(extra, "link"), image=_text(extra, "image"))
    return {**named, **{str(key): value for key, value in data.items() if key != "aps"}}


def _text(extra: Json, name: str) -> str:
    value = extra.get(name)
    return value if isinstance(value, str) else ""


def _filled(**values: str) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}


def _result(response: wire.HttpResponse, *, now_ms: int) -> wire.AttemptResult:
    if response.status == 200:
        return wire.Accepted(provider_id=response.headers.get("apns-id", "")[:36])
    if 200 <= response.status < 300:
        return wire.Unknown(code=f"http_{response.status}", detail="not an answer of Apple's")
    answer = auth.json_object(response.body)
    reason = answer.get("reason")
    known = apns_codes.RESULTS.get(reason) if isinstance(reason, str) else None
    by_status = base.result_of_status(response, now_ms=now_ms)
    if known is None or (response.status >= 500 and isinstance(known, wire.Rejected)):
        return by_status
    if isinstance(known, wire.Deferred):
        wait = base.retry_after(response, now_ms=now_ms)
        return replace(known, code=str(reason), retry_after=wait)
    return replace(known, code=str(reason), detail=known.detail + _since(answer))


def _since(answer: Json) -> str:
    """When Apple last saw the token dead: one registered anew after that is alive again."""
    at = answer.get("timestamp")
    if not isinstance(at, int) or isinstance(at, bool) or not 0 < at < 2**42:
        return ""
    return f" since {datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
