"""Getui (个推), REST API v2: push to Android and Apple devices by client id.

Send: https://docs.getui.com/getui/server/rest_v2/push/
Errors: https://docs.getui.com/getui/server/rest_v2/code/
Receipts: https://docs.getui.com/getui/server/receipt/

What a content's table `getui` says of `settings`, `push_message` or `push_channel` (such as the
makers' own channels) is laid over what we say.

Each message is a task of its own, up to 200 in a call. Its `request_id`, made of our reference,
keeps a repeated one from being pushed twice; for how long is not documented. A receipt comes once:
whatever it is answered with, it does not come again. What signs it does not cover its code.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import quote

import orjson

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.providers import auth, base, getui_codes, mail_api, mainland, push_api

#: Milliseconds: the longest time to live, three days.
MAX_TTL = 259_200_000
#: Bytes of what goes to one phone: the makers' own services, which bring it, take no more.
MAX_BYTES = 4096
CONTENT_TYPE = "application/json;charset=utf-8"
#: Bytes of apns-collapse-id (Apple: Sending notification requests to APNs).
_MAX_COLLAPSE_ID = 64
#: Receipts of one post that are looked at.
_MAX_LINES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Keys of `[providers.<account>]` with `kind = "getui"`."""

    #: AppID
    app_id: str
    #: AppKey
    app_key: str = field(repr=False)
    #: MasterSecret, which signs for tokens and by which receipts are believed
    master_secret: str = field(repr=False)
    #: how phone makers' own channels are used (settings.strategy.default); default 1
    strategy: int = 1
    #: receipts are bought and come to us; default yes
    receipts: bool = True
    #: names of the apps that it serves, as in `to.push[].app`; default: any
    apps: Sequence[str] = ()
    #: origin of the API; default https://restapi.getui.com
    base_url: str = "https://restapi.getui.com"

    def __post_init__(self) -> None:
        needed = ("app_id", "app_key", "master_secret")
        if faults := [f"{name}: is empty" for name in needed if not getattr(self, name)]:
            raise errors.SettingsError(faults)


class Credential(base.Credential):
    """Tokens for a signed moment."""

    def __init__(self, url: str, settings: Settings, clock: Clock) -> None:
        self._url = f"{url}/auth"
        self._settings = settings
        self._clock = clock

    def token_request(self) -> wire.HttpRequest:
        settings, timestamp = self._settings, str(self._clock.now_ms())
        signed = settings.app_key + timestamp + settings.master_secret
        sign = hashlib.sha256(auth.to_bytes(signed)).hexdigest()
        body = orjson.dumps({"sign": sign, "timestamp": timestamp, "appkey": settings.app_key})
        headers = {"content-type": CONTENT_TYPE}
        return wire.HttpRequest(method="POST", url=self._url, headers=headers, body=body)

    def read_token(self, response: wire.HttpResponse) -> wire.Token | wire.Deferred:
        now_ms = self._clock.now_ms()
        data = mail_api.table_of(auth.json_object(response.body), "data")
        token, until = mail_api.text_of(data, "token"), mainland.text_of(data, "expire_time")
        if response.status == 200 and token and until.isascii() and until.isdecimal():
            return wire.Token(value=token, expires_in=max(0.0, (int(until[:15]) - now_ms) / 1000))
        trouble = getui_codes.of_call(response, now_ms=now_ms)
        if isinstance(trouble, wire.Deferred):
            return replace(trouble, detail="no access token")
        if isinstance(trouble, wire.Rejected):
            cause = wire.Cause.CREDENTIAL
            return wire.Deferred(code=trouble.code, detail="no access token", cause=cause)
        return wire.Deferred(code="unreadable_token", detail="no access token")

    def authorise(self, request: wire.HttpRequest, token: str) -> wire.HttpRequest:
        return replace(request, headers={**request.headers, "token": token})


class Provider(push_api.PushProvider):
    """Many messages a call, each with contents of its own."""

    name: ClassVar[str] = "getui"
    batch_limit: ClassVar[int] = 200
    limits: ClassVar[str] = "4,096 bytes"
    most_bytes: ClassVar[int] = MAX_BYTES
    blocks = ("settings", "push_message", "push_channel")

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        super().__init__(account, settings.apps, clock)
        self._settings = settings
        app = quote(settings.app_id, safe="")
        self._url = f"{settings.base_url.rstrip('/')}/v2/{app}"
        told = {wire.ReceiptEvent.DELIVERED} if settings.receipts else set()
        self.reports = frozenset(told)
        self.credential: base.Credential | None = Credential(self._url, settings, clock)

    def build_requests(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[Sequence[wire.Message], wire.HttpRequest]]:
        """No client id is twice in a call, as answers name it."""
        calls: list[dict[str, wire.Message]] = []
        for message in messages:
            for call in calls:
                if message.to.token not in call and len(call) < self.batch_limit:
                    break
            else:
                calls.append(call := {})
            call[message.to.token] = message
        whole = [tuple(call.values()) for call in calls]
        return [(call, self._request(call)) for call in whole]

    def size(self, push: push_api.Push) -> int:
        """Of what goes to one kind of phone, the largest."""
        row = self._row(push)
        parts = row["push_message"], row.get("push_channel", {}).get("ios", {})
        return max(len(orjson.dumps(part)) for part in parts)

    def _request(self, call: Sequence[wire.Message]) -> wire.HttpRequest:
        rows = [self._row(self.read(one)) for one in call]
        path = "push/single/cid" if len(rows) == 1 else "push/single/batch/cid"
        body = rows[0] if len(rows) == 1 else {"is_async": False, "msg_list": rows}
        headers = {"content-type": CONTENT_TYPE}
        return wire.HttpRequest(
            method="POST", url=f"{self._url}/{path}", headers=headers, body=orjson.dumps(body)
        )

    def _row(self, push: push_api.Push) -> dict[str, Any]:
        return self.laid_over(_single(push, strategy=self._settings.strategy), push)

    def read_response(
        self, messages: Sequence[wire.Message], response: wire.HttpResponse
    ) -> Sequence[wire.AttemptResult]:
        answer = auth.json_object(response.body)
        if response.status == 200 and mainland.text_of(answer, "code") == "0":
            told = getui_codes.by_device(mail_api.table_of(answer, "data"))
            return [
                getui_codes.of_device(told.get(mail_api.clean(one.to.token)), one.to.token)
                for one in messages
            ]
        result = getui_codes.of_call(response, now_ms=self._clock.now_ms())
        if (
            isinstance(result, wire.Rejected)
            and result.code == getui_codes.WRONG
            and len(messages) > 1
        ):
            result = wire.Deferred(code=getui_codes.WRONG, cause=wire.Cause.RECIPIENT, apart=True)
        return [result] * len(messages)

    def verify_receipt(self, request: wire.HttpRequest) -> bool:
        """Each line is signed by itself, and all of them must be."""
        lines = _lines(request.body)
        return bool(lines) and all(self._is_ours(line) for line in lines)

    def _is_ours(self, line: Mapping[str, Any]) -> bool:
        names = ("appid", "cid", "taskid", "msgid")
        fields = [mainland.text_of(line, name) for name in names]
        signed = auth.to_bytes("".join([*fields, self._settings.master_secret]))
        expected = hashlib.md5(signed, usedforsecurity=False).hexdigest()
        offered = auth.to_bytes(mail_api.text_of(line, "sign").lower())
        same = hmac.compare_digest(expected.encode(), offered)
        return same and fields[0] == self._settings.app_id

    def read_receipts(self, request: wire.HttpRequest) -> Sequence[wire.DeliveryReceipt]:
        receipts = [_receipt(line) for line in _lines(request.body)]
        named = [one for one in receipts if one.provider_id]
        if not named:
            raise errors.UnreadableReceipt("no line names a task")
        return named

    def answer_receipt(self, request: wire.HttpRequest) -> wire.HttpResponse:
        return wire.HttpResponse(status=200)


def _single(push: push_api.Push, *, strategy: int) -> dict[str, Any]:
    """One message, as `push/single/cid` takes it."""
    request_id = hashlib.sha256(push.message.reference.encode()).hexdigest()[:32]
    row: dict[str, Any] = {
        "request_id": request_id,
        "settings": {
            "ttl": min(push.ttl * 1000, MAX_TTL),
            "strategy": {"default": strategy},
        },
        "audience": {"cid": [push.token]},
    }
    if not push.shown:
        return {**row, "push_message": {"transmission": push.data or "{}"}}
    # Getui takes no notification without both.
    words = {"title": push.title or push.body, "body": push.body or push.title}
    shown = {**words, **_click(push)}
    return {
        **row,
        "push_message": {"notification": shown},
        "push_channel": {"android": {"ups": {"notification": shown}}, "ios": _apple(push)},
    }


def _click(push: push_api.Push) -> dict[str, str]:
    """What a tap does: a web page, the app's own page, the data to the app, or the app."""
    if push.link.startswith(("https://", "http://")):
        return {"click_type": "url", "url": push.link}
    if push.link:
        return {"click_type": "intent", "intent": push.link}
    if push.data:
        return {"click_type": "payload", "payload": push.data}
    return {"click_type": "startapp"}


def _apple(push: push_api.Push) -> dict[str, Any]:
    aps: dict[str, Any] = {"alert": {"title": push.title, "body": push.body}}
    if push.sound:
        aps["sound"] = push.sound
    apple: dict[str, Any] = {"type": "notify", "aps": aps}
    collapse_id = push.collapse_key or push.message.id
    if len(collapse_id.encode()) <= _MAX_COLLAPSE_ID:
        apple["apns-collapse-id"] = collapse_id
    if push.badge is not None:
        apple["auto_badge"] = str(push.badge)
    if push.data or push.link:
        apple["payload"] = push.data or orjson.dumps({"link": push.link}).decode()
    return apple


def _lines(body: bytes) -> list[dict[str, Any]]:
    """The objects of the lines; none when a line is something else."""
    texts = [line for line in body.split(b"\n", _MAX_LINES)[:_MAX_LINES] if line.strip()]
    lines = [auth.json_object(line) for line in texts]
    return lines if all(lines) else []


def _receipt(line: Mapping[str, Any]) -> wire.DeliveryReceipt:
    code = getui_codes.read(line.get("code"))
    event, gone = getui_codes.EVENTS.get(code, (wire.ReceiptEvent.UNKNOWN, False))
    task, token = mainland.text_of(line, "taskid"), mainland.text_of(line, "cid")
    provider_id = push_api.name(task, token)
    return wire.DeliveryReceipt(event=event, provider_id=provider_id, code=code, suppress=gone)
