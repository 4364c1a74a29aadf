"""Firebase Cloud Messaging, HTTP v1: push to Android, Apple and web through one API.

Send: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages
Errors: https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode
Token: https://developers.google.com/identity/protocols/oauth2/service-account

There are no receipts per message: an answer with a `name` is the last that FCM says. The API
knows no idempotency key, so that a message sent again carries the same tag and collapse id, and
the device shows it once. `data` values that are no strings are sent as JSON text, keys that FCM
reserves are left out and counted in the result's detail.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias
from urllib.parse import quote

import orjson

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.providers import auth, base, google_key, trial

Json: TypeAlias = Mapping[str, Any]

#: Bytes of keys and values (docs: set-message-type).
MAX_PAYLOAD = 4096
#: Seconds: the longest and default time to live of AndroidConfig.ttl, four weeks.
MAX_TTL = 2_419_200
#: Seconds to wait after a project's or topic's quota without Retry-After (docs: scale-fcm).
QUOTA_PAUSE = 60.0
#: Keys that FCM refuses in `data` (Message.data).
RESERVED_KEYS = frozenset({"from", "message_type"})
RESERVED_PREFIXES = ("google.", "gcm.notification.")
#: Bytes of apns-collapse-id (Apple: Sending notification requests to APNs).
_MAX_COLLAPSE_ID = 64
_TYPE = "type.googleapis.com/"
_FCM_ERROR = _TYPE + "google.firebase.fcm.v1.FcmError"

_THROTTLED = wire.Cause.THROTTLED
_GONE = wire.Rejected(code="", detail="token gone", scope=wire.Scope.RECIPIENT, suppress=True)
_REFUSED = wire.Deferred(code="", cause=wire.Cause.CREDENTIAL)
#: By FcmError.errorCode, else google.rpc.Code. INVALID_ARGUMENT is told apart below.
RESULTS: Mapping[str, wire.Rejected | wire.Deferred] = {
    "UNREGISTERED": _GONE,
    "SENDER_ID_MISMATCH": replace(_GONE, detail="token of another project"),
    "THIRD_PARTY_AUTH_ERROR": replace(_REFUSED, detail="key for APNs or web push"),
    "APNS_AUTH_ERROR": replace(_REFUSED, detail="key for APNs"),  # its older name
    "UNAUTHENTICATED": _REFUSED,
    "PERMISSION_DENIED": replace(_REFUSED, detail="API disabled or role missing"),
    "NOT_FOUND": wire.Rejected(code="", detail="no such project", scope=wire.Scope.PROVIDER),
    **dict.fromkeys(
        ("QUOTA_EXCEEDED", "RESOURCE_EXHAUSTED"), wire.Deferred(code="", cause=_THROTTLED)
    ),
    **dict.fromkeys(("INTERNAL", "UNAVAILABLE", "UNSPECIFIED_ERROR"), wire.Deferred(code="")),
}
#: Our token, which the dispatcher renews once before it takes this for an answer.
TOKEN_REFUSED = "access_token"
#: What an answer without a readable body stands for.
STATUSES = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Keys of `[providers.<account>]` with `kind = "fcm"`."""

    #: JSON text of the service account's key file
    service_account: str = field(repr=False)
    #: default: the key file's `project_id`
    project_id: str = ""
    #: space-separated OAuth scopes; default the one for sending
    scope: str = "https://www.googleapis.com/auth/firebase.messaging"
    #: token endpoint; default: the key file's, which is Google's
    token_uri: str = ""
    #: origin of the API; default https://fcm.googleapis.com
    base_url: str = "https://fcm.googleapis.com"


class Provider(base.HttpProvider):
    """One device a request; FCM has no batch endpoint any more."""

    name: ClassVar[str] = "fcm"
    channel = wire.Channel.PUSH
    batch_limit: ClassVar[int] = 1
    limits: ClassVar[str] = "4,096 bytes"
    reports: frozenset[wire.ReceiptEvent] = frozenset()

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        self.account = account
        self._clock = clock
        key = google_key.read(
            settings.service_account, project_id=settings.project_id, token_uri=settings.token_uri
        )
        project = quote(key["project_id"], safe="")
        self._url = f"{settings.base_url.rstrip('/')}/v1/projects/{project}/messages:send"
        self.credential: base.Credential | None = google_key.credential(key, settings.scope, clock)

    def objection(self, content: wire.Content, to: wire.Address) -> str:
        if trial.is_short(content, octets=MAX_PAYLOAD) or _weight(content) <= MAX_PAYLOAD:
            return ""
        return f"title, text and data are longer than {MAX_PAYLOAD} bytes"

    def build_requests(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[Sequence[wire.Message], wire.HttpRequest]]:
        return [((message,), self._request(message)) for message in messages]

    def _request(self, message: wire.Message) -> wire.HttpRequest:
        body = orjson.dumps({"message": _payload(message, now_ms=self._clock.now_ms())})
        headers = {"content-type": "application/json; charset=UTF-8"}
        return wire.HttpRequest(method="POST", url=self._url, headers=headers, body=body)

    def read_response(
        self, messages: Sequence[wire.Message], response: wire.HttpResponse
    ) -> Sequence[wire.AttemptResult]:
        result = _result(response, now_ms=self._clock.now_ms())
        if isinstance(result, wire.Accepted):
            return [replace(result, detail=_left_out(message)) for message in messages]
        return [result] * len(messages)

    def verify_receipt(self, request: wire.HttpRequest) -> bool:
        return False

    def read_receipts(self, request: wire.HttpRequest) -> Sequence[wire.DeliveryReceipt]:
        raise errors.UnreadableReceipt("FCM reports nothing")

    def answer_receipt(self, request: wire.HttpRequest) -> wire.HttpResponse:
        return wire.HttpResponse(status=404)


def _weight(content: wire.Content) -> int:
    """Bytes of what surely counts."""
    said = _notification(content) | _data(content.extra)
    return sum(len(auth.to_bytes(key)) + len(auth.to_bytes(text)) for key, text in said.items())


def _notification(content: wire.Content) -> dict[str, str]:
    title, image = content.title or content.subject, _text(content.extra, "image")
    return _filled(title=title, body=content.text, image=image)


def _payload(message: wire.Message, *, now_ms: int) -> Json:
    content, extra = message.content, message.content.extra
    expires = message.expires_at.timestamp()
    ttl = min(max(int(expires - now_ms / 1000), 0), MAX_TTL)
    notification = _notification(content)
    urgent = message.priority <= 1
    payload = {
        "token": message.to.token,
        "notification": notification,
        "data": _data(extra),
        "android": _android(message, ttl=ttl, urgent=urgent, shown=bool(notification)),
        "apns": _apns(message, expires=int(expires), urgent=urgent, shown=bool(notification)),
        "webpush": _webpush(extra, ttl=ttl, urgent=urgent),
    }
    return {name: value for name, value in payload.items() if value}


def _android(message: wire.Message, *, ttl: int, urgent: bool, shown: bool) -> Json:
    extra = message.content.extra
    android: dict[str, Any] = {"ttl": f"{ttl}s", "priority": "high" if urgent else "normal"}
    if collapse_key := _text(extra, "collapse_key"):
        android["collapse_key"] = collapse_key
    if shown:
        tag = _text(extra, "collapse_key") or message.id
        android["notification"] = _filled(tag=tag, sound=_text(extra, "sound"))
    return android


def _apns(message: wire.Message, *, expires: int, urgent: bool, shown: bool) -> Json:
    extra = message.content.extra
    collapse_id = _text(extra, "collapse_key") or message.id
    # Apple refuses priority 10 for a push that shows nothing.
    urgency = "10" if urgent and shown else "5"
    headers = {"apns-priority": urgency, "apns-expiration": str(expires)}
    if len(collapse_id.encode()) <= _MAX_COLLAPSE_ID:
        headers["apns-collapse-id"] = collapse_id
    aps: dict[str, Any] = _filled(sound=_text(extra, "sound"))
    badge = extra.get("badge")
    if isinstance(badge, int) and not isinstance(badge, bool) and badge >= 0:
        aps["badge"] = badge
    if not shown:
        aps["content-available"] = 1
    return {"headers": headers, "payload": {"aps": aps}} if aps else {"headers": headers}


def _webpush(extra: Json, *, ttl: int, urgent: bool) -> Json:
    headers = {"TTL": str(ttl), "Urgency": "high" if urgent else "normal"}
    link = _text(extra, "link")
    if link.startswith("https://"):  # FCM takes no other
        return {"headers": headers, "fcm_options": {"link": link}}
    return {"headers": headers}


def _data(extra: Json) -> dict[str, str]:
    given = extra.get("data")
    data = {
        str(key): value if isinstance(value, str) else orjson.dumps(value).decode()
        for key, value in (given.items() if isinstance(given, Mapping) else ())
        if not _is_reserved(str(key))
    }
    if link := _text(extra, "link"):
        data.setdefault("link", link)
    return data


def _is_reserved(key: str) -> bool:
    return key in RESERVED_KEYS or key.startswith(RESERVED_PREFIXES)


def _left_out(message: wire.Message) -> str:
    given = message.content.extra.get("data")
    count = sum(_is_reserved(str(key)) for key in given) if isinstance(given, Mapping) else 0
    return f"reserved data keys left out: {count}" if count else ""


def _text(extra: Json, name: str) -> str:
    value = extra.get(name)
    return value if isinstance(value, str) else ""


def _filled(**values: str) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}


def _result(response: wire.HttpResponse, *, now_ms: int) -> wire.AttemptResult:
    answer = auth.json_object(response.body)
    if 200 <= response.status < 300:
        name = answer.get("name")
        if isinstance(name, str) and name:
            return wire.Accepted(provider_id=name)
        return wire.Unknown(code=f"http_{response.status}", detail="answer without name")
    error = answer.get("error")
    error = error if isinstance(error, dict) else {}
    code = _error_code(error) or STATUSES.get(response.status, "")
    if code == "INVALID_ARGUMENT":
        return _invalid(error)
    if code not in RESULTS:
        return base.result_of_status(response, now_ms=now_ms)
    known = replace(RESULTS[code], code=TOKEN_REFUSED if code == "UNAUTHENTICATED" else code)
    if isinstance(known, wire.Deferred):
        return _deferred(known, error, wait=base.retry_after(response, now_ms=now_ms))
    return known


def _objects(value: object) -> list[Json]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _details(error: Json, kind: str) -> list[Json]:
    return [row for row in _objects(error.get("details")) if row.get("@type") == kind]


def _violations(error: Json, kind: str, name: str) -> list[Json]:
    return [row for detail in _details(error, _TYPE + kind) for row in _objects(detail.get(name))]


def _error_code(error: Json) -> str:
    codes = [detail.get("errorCode") for detail in _details(error, _FCM_ERROR)]
    return next((code for code in [*codes, error.get("status")] if isinstance(code, str)), "")


def _invalid(error: Json) -> wire.Rejected:
    """A malformed token or a bad payload: they share a code, and only the first is the device's."""
    rows = _violations(error, "google.rpc.BadRequest", "fieldViolations")
    fields = [str(row.get("field", ""))[:60] for row in rows]
    names_token = "registration token" in str(error.get("message", "")).lower()
    by_fcm = bool(_details(error, _FCM_ERROR))
    if fields == ["message.token"] or (by_fcm and not rows and names_token):
        return replace(_GONE, code="INVALID_ARGUMENT", detail="token malformed")
    return wire.Rejected(code="INVALID_ARGUMENT", detail=", ".join(fields[:3]))


def _deferred(known: wire.Deferred, error: Json, *, wait: float | None) -> wire.Deferred:
    if known.cause is not _THROTTLED:
        return replace(known, retry_after=wait)
    rows = _violations(error, "google.rpc.QuotaFailure", "violations")
    if any("device" in str(row).lower() for row in rows):
        return replace(known, detail="device rate", cause=wire.Cause.RECIPIENT, retry_after=wait)
    return replace(known, retry_after=QUOTA_PAUSE if wait is None else wait)
