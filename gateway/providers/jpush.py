"""JPush (极光推送), API v3: push to Android, Apple and HarmonyOS devices by registration id.

Send: https://docs.jiguang.cn/jpush/server/push/rest_api_v3_push
Errors: https://docs.jiguang.cn/jpush/server/push/http_status_code

What a content's table `jpush` says of `notification`, `message`, `options` (such as the makers' own
channels) or `callback` is laid over what we say.

Messages that say the same share a call, up to 1,000 devices. A call carries a `cid`, by which JPush
knows it when it comes again; ours is made of the messages' references, in the form in which the
service makes its own. What was delivered can only be asked for, or is reported to paying accounts
in a form that is not public: an answer with a `msg_id` is the last that is known here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import NAMESPACE_OID, uuid5

import orjson

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.providers import auth, base, mail_api, mainland, push_api

#: Seconds: the longest time to live, ten days.
MAX_TTL = 864_000
#: Bytes of what goes to one phone: the makers' own services, which bring it, take no more.
MAX_BYTES = 4096
#: Style of an Android notification with a picture.
_PICTURE = 3

_SETUP = wire.Deferred(code="", cause=wire.Cause.CREDENTIAL)
_THROTTLED = wire.Deferred(code="", cause=wire.Cause.THROTTLED)
#: By error.code (http_status_code).
RESULTS: Mapping[str, wire.Rejected | wire.Deferred] = {
    "1011": wire.Rejected(
        code="", detail="no such device", scope=wire.Scope.RECIPIENT, suppress=True
    ),
    **dict.fromkeys(("1001", "1002", "1003", "1005", "1010", "1012"), wire.Rejected(code="")),
    **dict.fromkeys(("1004", "1008"), _SETUP),
    **dict.fromkeys(("1000", "1030"), wire.Deferred(code="")),
    "2002": _THROTTLED,
}
#: By status, where no code says better: others go as everywhere.
STATUSES: Mapping[int, wire.Rejected] = dict.fromkeys((403, 404, 405, 410), wire.Rejected(code=""))
#: Codes that one registration id may bring upon all of its call.
_OF_ONE = frozenset({"1003", "1011"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Keys of `[providers.<account>]` with `kind = "jpush"`."""

    #: of the app
    app_key: str = field(repr=False)
    #: its Master Secret
    master_secret: str = field(repr=False)
    #: of android, ios, hmos, quickapp; default the first three
    platforms: Sequence[str] = ("android", "ios", "hmos")
    #: Apple's production environment, not that for development; default yes
    apns_production: bool = True
    #: name each call, so that a repeated one is pushed once; default yes
    cid: bool = True
    #: names of the apps that it serves, as in `to.push[].app`; default: any
    apps: Sequence[str] = ()
    #: origin of the API; default https://api.jpush.cn, in Beijing https://bjapi.push.jiguang.cn
    base_url: str = "https://api.jpush.cn"

    def __post_init__(self) -> None:
        needed = ("app_key", "master_secret", "platforms")
        if faults := [f"{name}: is empty" for name in needed if not getattr(self, name)]:
            raise errors.SettingsError(faults)


class Provider(push_api.PushProvider):
    """Equal contents to as many registration ids as there are for them."""

    name: ClassVar[str] = "jpush"
    batch_limit: ClassVar[int] = 1000
    limits: ClassVar[str] = "4,096 bytes"
    most_bytes: ClassVar[int] = MAX_BYTES
    blocks = ("notification", "message", "options", "callback")
    reports: frozenset[wire.ReceiptEvent] = frozenset()
    credential = None

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        super().__init__(account, settings.apps, clock)
        self._settings = settings
        self._url = settings.base_url.rstrip("/") + "/v3/push"
        self._headers = {
            "authorization": auth.basic(settings.app_key, settings.master_secret),
            "content-type": "application/json",
        }

    def build_requests(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[Sequence[wire.Message], wire.HttpRequest]]:
        """Raises ValueError when a content is too long for any call."""
        calls = push_api.share([self.read(one) for one in messages], limit=self.batch_limit)
        return [(tuple(one.message for one in call), self._request(call)) for call in calls]

    def size(self, push: push_api.Push) -> int:
        """Of what goes to one kind of phone, the largest."""
        if not push.shown:
            return len(push.data.encode())
        said = {"notification": _notification(push, self._settings.platforms)}
        shown = self.laid_over(said, push)["notification"]
        return max(len(orjson.dumps(part)) for part in shown.values())

    def _request(self, call: Sequence[push_api.Push]) -> wire.HttpRequest:
        first, settings = call[0], self._settings
        said = _notification(first, settings.platforms) if first.shown else None
        body = {
            "platform": list(settings.platforms),
            "audience": {"registration_id": [one.token for one in call]},
            "notification": said,
            "message": None if said else {"msg_content": first.data or "{}"},
            "options": {
                "time_to_live": min(push_api.shortest(call), MAX_TTL),
                "apns_production": settings.apns_production,
            },
            "cid": _cid(settings.app_key, call) if settings.cid else None,
        }
        filled = {name: value for name, value in body.items() if value is not None}
        whole = self.laid_over(filled, first)
        return wire.HttpRequest(
            method="POST", url=self._url, headers=self._headers, body=orjson.dumps(whole)
        )

    def read_response(
        self, messages: Sequence[wire.Message], response: wire.HttpResponse
    ) -> Sequence[wire.AttemptResult]:
        result = _result(response, now_ms=self._clock.now_ms())
        refused = isinstance(result, wire.Rejected) and result.code in _OF_ONE
        if refused and len(messages) > 1:
            code = result.code if isinstance(result, wire.Rejected) else ""
            result = wire.Deferred(code=code, cause=wire.Cause.RECIPIENT, apart=True)
        return [result] * len(messages)

    def verify_receipt(self, request: wire.HttpRequest) -> bool:
        return False

    def read_receipts(self, request: wire.HttpRequest) -> Sequence[wire.DeliveryReceipt]:
        raise errors.UnreadableReceipt("JPush reports nothing")

    def answer_receipt(self, request: wire.HttpRequest) -> wire.HttpResponse:
        return wire.HttpResponse(status=404)


def _notification(push: push_api.Push, platforms: Sequence[str]) -> dict[str, Any]:
    extras = push.data_object()
    if push.link:
        extras.setdefault("link", push.link)
    intent = {"url": push.link} if push.link else None
    android = _filled(
        alert=push.body,
        title=push.title or None,
        intent=intent,
        style=_PICTURE if push.image else None,
        big_pic_path=push.image or None,
        sound=push.sound or None,
        badge_set_num=push.badge,
        extras=extras or None,
    )
    ios = _filled(
        alert=_filled(title=push.title or None, body=push.body),
        sound=push.sound or None,
        badge=push.badge,
        extras=extras or None,
    )
    hmos = _filled(
        alert=push.body,
        title=push.title or None,
        intent=intent,
        badge_set_num=push.badge,
        extras=extras or None,
    )
    quickapp = _filled(alert=push.body, title=push.title or None, extras=extras or None)
    said = {"android": android, "ios": ios, "hmos": hmos, "quickapp": quickapp}
    return {"alert": push.body, **{name: said[name] for name in platforms if name in said}}


def _filled(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _cid(app_key: str, call: Sequence[push_api.Push]) -> str:
    """The same for the same messages in the same company."""
    references = ",".join(one.message.reference for one in call)
    return f"{app_key}-{uuid5(NAMESPACE_OID, references)}"


def _result(response: wire.HttpResponse, *, now_ms: int) -> wire.AttemptResult:
    answer = auth.json_object(response.body)
    if 200 <= response.status < 300:
        if id := mainland.text_of(answer, "msg_id"):
            return wire.Accepted(provider_id=id)
        return wire.Unknown(code=f"http_{response.status}", detail="answer without msg_id")
    code = mainland.text_of(mail_api.table_of(answer, "error"), "code")[:12]
    code = code if code.isascii() and code.isdecimal() else ""
    known = RESULTS.get(code) or STATUSES.get(response.status)
    found = known or base.result_of_status(response, now_ms=now_ms)
    if isinstance(found, wire.Deferred):
        found = replace(found, retry_after=_pause(response, now_ms=now_ms))
    return replace(found, code=code or f"http_{response.status}")


def _pause(response: wire.HttpResponse, *, now_ms: int) -> float | None:
    """By Retry-After, else by the seconds that JPush's minute has left."""
    wait = base.retry_after(response, now_ms=now_ms)
    left = response.headers.get("x-rate-limit-reset", "").strip()
    if wait is None and response.status == 429 and left.isascii() and left.isdecimal():
        return min(float(left[:9]), 60.0)
    return wait
