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

`data` of a push stands beside `aps`. What is Apple's own stands in the content's table `apns`:
`push_type`, and `aps` with any keys of theirs, which win over ours.
"""

import re
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
from gateway.providers import apns_codes, auth, base, ecdsa, jwt, push_api
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

#: Device tokens are of no fixed length (Apple: Registering your app with APNs), but whole octets.
_TOKEN = re.compile(r"(?:[0-9A-Fa-f]{2}){4,200}")

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
    #: names of the apps that it serves, as in `to.push[].app`; default: any
    apps: Sequence[str] = ()
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


class Provider(push_api.PushProvider):
    """One device a request; many requests share a connection."""

    name: ClassVar[str] = "apns"
    batch_limit: ClassVar[int] = 1
    limits: ClassVar[str] = "4,096 bytes"
    most_bytes: ClassVar[int] = MAX_PAYLOAD
    http_version: ClassVar[Literal["1.1", "2"]] = "2"
    reports: frozenset[wire.ReceiptEvent] = frozenset()
    credential = None

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        super().__init__(account, settings.apps, clock)
        self.tls = _context(settings)
        self._settings = settings
        self._origin = (settings.base_url or HOSTS[settings.environment]).rstrip("/")
        self._bearer = lru_cache(maxsize=1)(partial(_bearer, settings, _key(settings)))

    def build_requests(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[Sequence[wire.Message], wire.HttpRequest]]:
        return [((message,), self._request(message)) for message in messages]

    def token_fault(self, token: str) -> str:
        return "" if _TOKEN.fullmatch(token) else "not a device token of Apple's, in hexadecimal"

    def size(self, push: push_api.Push) -> int:
        return len(orjson.dumps(_content(push)[1]))

    def most_of(self, push: push_api.Push) -> int:
        return MAX_VOIP_PAYLOAD if _push_type(push) == "voip" else MAX_PAYLOAD

    def _request(self, message: wire.Message) -> wire.HttpRequest:
        push = self.read(message)
        push_type, payload = _content(push)
        headers = self._headers(push, push_type)
        if self._settings.private_key:
            slot = (self._clock.now_ms() // 1000 - TOKEN_BACK) // TOKEN_USE
            headers["authorization"] = self._bearer(slot * TOKEN_USE)
        url = f"{self._origin}/3/device/{quote(push.token, safe='')}"
        body = orjson.dumps(payload)
        return wire.HttpRequest(method="POST", url=url, headers=headers, body=body)

    def _headers(self, push: push_api.Push, push_type: str) -> dict[str, str]:
        settings = self._settings
        topic = settings.topics.get(push_type, settings.bundle_id + SUFFIXES[push_type])
        expires = self._clock.now_ms() // 1000 + min(push.ttl, MAX_KEPT)
        urgent = push.urgent and push_type != "background"
        headers = {
            "content-type": "application/json",
            "apns-id": str(uuid5(_NAMESPACE, push.message.reference)),
            "apns-topic": topic,
            "apns-push-type": push_type,
            "apns-priority": "10" if urgent else "5",
            # Past moments would be refused by some and kept by others: 0 is "now or never".
            "apns-expiration": str(expires if push.ttl else 0),
        }
        collapse_id = push.collapse_key or push.message.id
        if len(collapse_id.encode()) <= MAX_COLLAPSE_ID and collapse_id.isprintable():
            headers["apns-collapse-id"] = collapse_id
        return headers

    def read_response(
        self, messages: Sequence[wire.Message], response: wire.HttpResponse
    ) -> Sequence[wire.AttemptResult]:
        result = _result(response, now_ms=self._clock.now_ms())
        return [_unless_renewed(result, one.to, response) for one in messages]

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


def _push_type(push: push_api.Push) -> str:
    """A push that shows nothing wakes the app in the background."""
    given = _own(push, "push_type")
    if isinstance(given, str) and given in SUFFIXES:
        return given
    return "alert" if push.shown else "background"


def _content(push: push_api.Push) -> tuple[str, Json]:
    """Push type and payload."""
    push_type = _push_type(push)
    aps: dict[str, Any] = {"content-available": 1} if push_type == "background" else {}
    if push_type != "background":
        if push.shown:
            aps["alert"] = _filled(title=push.title, body=push.body)
        aps |= _filled(sound=push.sound)
        if push.badge is not None:
            aps["badge"] = push.badge
        if push.image:
            aps["mutable-content"] = 1  # the app's extension fetches it
    given = _own(push, "aps")
    if isinstance(given, Mapping):
        aps |= {str(key): value for key, value in given.items()}
    beside = {key: value for key, value in push.data_object().items() if key != "aps"}
    return push_type, {"aps": aps, **_filled(link=push.link, image=push.image), **beside}


def _own(push: push_api.Push, name: str) -> object:
    """Of the kind's own table; once it stood beside the texts."""
    return push.own_table().get(name, push.message.content.extra.get(name))


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


def _unless_renewed(
    result: wire.AttemptResult, to: wire.Address, response: wire.HttpResponse
) -> wire.AttemptResult:
    """A token that the app got after Apple saw it dead is not to be banned for that."""
    if response.status != 410 or not isinstance(result, wire.Rejected) or not to.registered_ms:
        return result
    at = auth.json_object(response.body).get("timestamp")
    is_renewed = isinstance(at, int) and to.registered_ms > at
    return replace(result, suppress=False) if is_renewed else result


def _since(answer: Json) -> str:
    """When Apple last saw the token dead: one registered anew after that is alive again."""
    at = answer.get("timestamp")
    if not isinstance(at, int) or isinstance(at, bool) or not 0 < at < 2**42:
        return ""
    return f" since {datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
