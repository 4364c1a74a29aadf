"""Firebase Cloud Messaging, HTTP v1: push to Android, Apple and web through one API.

Send: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages
Errors: https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode
Token: https://developers.google.com/identity/protocols/oauth2/service-account

There are no receipts per message: an answer with a `name` is the last that FCM says. The API
knows no idempotency key, so that a message sent again carries the same tag and collapse id, and
the device shows it once. `data` values that are no strings are sent as JSON text, keys that FCM
reserves are left out and counted in the result's detail.

A device's token is a registration token, or one of three other targets by its beginning: `fid:`
and an installation id, `topic:` and a name, `condition:` and a rule of topics.

What a content's table `fcm` says of the API's own blocks, in snake_case, is laid over what we say:
`android.notification.channel_id`, `apns.payload.aps`, `fcm_options.analytics_label` and whatever
else they know. With `android_v2` there is no `android`, of which FCM takes one only.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias
from urllib.parse import quote

import orjson

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.providers import base, fcm_codes, google_key, push_api

Json: TypeAlias = Mapping[str, Any]

#: Seconds: the longest and default time to live of AndroidConfig.ttl, four weeks.
MAX_TTL = 2_419_200
#: Keys that FCM refuses in `data` (Message.data).
RESERVED_KEYS = frozenset({"from", "message_type"})
RESERVED_PREFIXES = ("google.", "gcm.notification.")
#: Bytes of what is shown and of data, names and values (scale and limits of HTTP v1), and of those
#: of a topic.
MAX_BYTES, MAX_TOPIC_BYTES = 4096, 2048
#: What a token may begin with that is none, and how the API calls what follows.
_TARGETS = ("fid", "topic", "condition")
_TOPIC = re.compile(r"[a-zA-Z0-9_.~%-]{1,900}")
_CONDITION = re.compile(r"[ -~]{1,4000}")
#: A registration token or an installation id; one of Apple's is nothing but hexadecimal.
_TOKEN = re.compile(r"(?![0-9A-Fa-f]{64}$)[A-Za-z0-9_:%.~=+/-]+")
#: Bytes of apns-collapse-id (Apple: Sending notification requests to APNs).
_MAX_COLLAPSE_ID = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Keys of `[providers.<account>]` with `kind = "fcm"`."""

    #: JSON text of the service account's key file
    service_account: str = field(repr=False)
    #: default: the key file's `project_id`
    project_id: str = ""
    #: names of the apps that it serves, as in `to.push[].app`; default: any
    apps: Sequence[str] = ()
    #: space-separated OAuth scopes; default the one for sending
    scope: str = "https://www.googleapis.com/auth/firebase.messaging"
    #: token endpoint; default: the key file's, which is Google's
    token_uri: str = ""
    #: origin of the API; default https://fcm.googleapis.com
    base_url: str = "https://fcm.googleapis.com"


class Provider(push_api.PushProvider):
    """One device a request; FCM has no batch endpoint any more."""

    name: ClassVar[str] = "fcm"
    batch_limit: ClassVar[int] = 1
    limits: ClassVar[str] = "4,096 bytes, 2,048 to a topic"
    most_bytes: ClassVar[int] = MAX_BYTES
    blocks = ("notification", "android", "android_v2", "apns", "webpush", "fcm_options")
    reports: frozenset[wire.ReceiptEvent] = frozenset()

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        super().__init__(account, settings.apps, clock)
        needed = {"project_id": settings.project_id, "token_uri": settings.token_uri}
        key = google_key.read(settings.service_account, needed=needed)
        project = quote(key["project_id"], safe="")
        self._url = f"{settings.base_url.rstrip('/')}/v1/projects/{project}/messages:send"
        self.credential: base.Credential | None = google_key.credential(key, settings.scope, clock)

    def build_requests(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[Sequence[wire.Message], wire.HttpRequest]]:
        return [((message,), self._request(message)) for message in messages]

    def token_fault(self, token: str) -> str:
        target, value = _target(token)
        rule = {"topic": _TOPIC, "condition": _CONDITION}.get(target, _TOKEN)
        return "" if rule.fullmatch(value) else f"not a {target} of FCM"

    def size(self, push: push_api.Push) -> int:
        values = {"title": push.title, "body": push.body, "image": push.image, **_data(push)}
        said = sum(len(key.encode()) + len(value.encode()) for key, value in values.items())
        return said + _weight(push.own_table())

    def most_of(self, push: push_api.Push) -> int:
        return MAX_TOPIC_BYTES if _is_topic(push.token) else MAX_BYTES

    def _request(self, message: wire.Message) -> wire.HttpRequest:
        push = self.read(message)
        payload = _payload(push, now_ms=self._clock.now_ms())
        body = orjson.dumps({"message": self.laid_over(payload, push)})
        headers = {"content-type": "application/json; charset=UTF-8"}
        return wire.HttpRequest(method="POST", url=self._url, headers=headers, body=body)

    def read_response(
        self, messages: Sequence[wire.Message], response: wire.HttpResponse
    ) -> Sequence[wire.AttemptResult]:
        result = fcm_codes.read(response, now_ms=self._clock.now_ms())
        if isinstance(result, wire.Accepted):
            return [replace(result, detail=_left_out(message)) for message in messages]
        return [_of_topic(result) if _is_topic(one.to.token) else result for one in messages]

    def verify_receipt(self, request: wire.HttpRequest) -> bool:
        return False

    def read_receipts(self, request: wire.HttpRequest) -> Sequence[wire.DeliveryReceipt]:
        raise errors.UnreadableReceipt("FCM reports nothing")

    def answer_receipt(self, request: wire.HttpRequest) -> wire.HttpResponse:
        return wire.HttpResponse(status=404)


def _target(token: str) -> tuple[str, str]:
    """(what it is, its value), as the API names it."""
    kind, _, value = token.partition(":")
    return (kind, value) if kind in _TARGETS and value else ("token", token)


def _is_topic(token: str) -> bool:
    """Whether it names whoever has subscribed, not one device."""
    return _target(token)[0] in ("topic", "condition")


def _of_topic(result: wire.AttemptResult) -> wire.AttemptResult:
    """A topic is nobody's dead device."""
    return replace(result, suppress=False) if isinstance(result, wire.Rejected) else result


def _payload(push: push_api.Push, *, now_ms: int) -> Json:
    ttl = min(push.ttl, MAX_TTL)
    target, value = _target(push.token)
    payload = {
        target: value,
        "notification": _filled(title=push.title, body=push.body, image=push.image),
        "data": _data(push),
        "android": _android(push, ttl=ttl),
        "apns": _apns(push, expires=_end(push, now_ms)),
        "webpush": _webpush(push, ttl=ttl),
    }
    if "android_v2" in push.own_table():
        del payload["android"]
    return {name: value for name, value in payload.items() if value}


def _weight(value: object) -> int:
    """Bytes of names and values, however deep."""
    if isinstance(value, Mapping):
        return sum(len(str(name).encode()) + _weight(one) for name, one in value.items())
    if isinstance(value, list | tuple):
        return sum(map(_weight, value))
    return len(str(value).encode())


def _end(push: push_api.Push, now_ms: int) -> int:
    """Seconds since the epoch, in the past for what is late."""
    return min(int(push.message.expires_at.timestamp()), now_ms // 1000 + push.ttl)


def _android(push: push_api.Push, *, ttl: int) -> Json:
    android: dict[str, Any] = {"ttl": f"{ttl}s", "priority": "high" if push.urgent else "normal"}
    if push.collapse_key:
        android["collapse_key"] = push.collapse_key
    if push.shown or push.image:
        tag = push.collapse_key or push.message.id
        android["notification"] = _filled(tag=tag, sound=push.sound)
    return android


def _apns(push: push_api.Push, *, expires: int) -> Json:
    collapse_id = push.collapse_key or push.message.id
    # Apple refuses priority 10 for a push that shows nothing.
    shown = push.shown or bool(push.image)
    urgency = "10" if push.urgent and shown else "5"
    headers = {"apns-priority": urgency, "apns-expiration": str(expires)}
    if len(collapse_id.encode()) <= _MAX_COLLAPSE_ID:
        headers["apns-collapse-id"] = collapse_id
    aps: dict[str, Any] = _filled(sound=push.sound)
    if push.badge is not None:
        aps["badge"] = push.badge
    if not shown:
        aps["content-available"] = 1
    return {"headers": headers, "payload": {"aps": aps}} if aps else {"headers": headers}


def _webpush(push: push_api.Push, *, ttl: int) -> Json:
    headers = {"TTL": str(ttl), "Urgency": "high" if push.urgent else "normal"}
    if push.link.startswith("https://"):  # FCM takes no other
        return {"headers": headers, "fcm_options": {"link": push.link}}
    return {"headers": headers}


def _data(push: push_api.Push) -> dict[str, str]:
    data = {
        key: value if isinstance(value, str) else orjson.dumps(value).decode()
        for key, value in push.data_object().items()
        if not _is_reserved(key)
    }
    if push.link:
        data.setdefault("link", push.link)
    return data


def _is_reserved(key: str) -> bool:
    return key in RESERVED_KEYS or key.startswith(RESERVED_PREFIXES)


def _left_out(message: wire.Message) -> str:
    given = message.content.extra.get("data")
    count = sum(_is_reserved(str(key)) for key in given) if isinstance(given, Mapping) else 0
    return f"reserved data keys left out: {count}" if count else ""


def _filled(**values: str) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}
