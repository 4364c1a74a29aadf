"""Huawei Push Kit, API v1: push to Android phones with HMS Core.

Send: https://developer.huawei.com/consumer/en/doc/HMSCore-References/https-send-api-0000001050986197
Token: https://developer.huawei.com/consumer/en/doc/HMSCore-Guides/open-platform-oauth-0000001053629189
Receipts: https://developer.huawei.com/consumer/en/doc/HMSCore-Guides/msg-receipt-guide-0000001050040176

Messages that say the same share a call, up to 1,000 tokens. A report names the call and the token,
so that both make the id of a message; `bi_tag` carries our reference where a call has one message.
What a content's table `huawei` says of `android` is laid over what we say; its
`category` takes the place of the account's.
The API knows no idempotency key: a request sent again is another push. What signs a report is a
time, a nonce and a name, not the report itself: its address should be kept to oneself, too.
"""

import hmac
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import quote

import orjson

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.providers import auth, base, huawei_codes, mail_api, push_api

TOKEN_URI = "https://oauth-login.cloud.huawei.com/oauth2/v3/token"
#: Bytes of a body without its tokens (80300008).
MAX_BODY = 4096
#: Seconds: the longest time to live, fifteen days.
MAX_TTL = 1_296_000
#: Bounds of collapse_key; -1 keeps all messages.
COLLAPSE = (-1, 100)
#: The highest number of a badge.
MAX_BADGE = 99
#: Kinds of click_action: the app's own page, a web page, the app.
_INTENT, _URL, _APP = 1, 2, 3
THANKS = b'{"code":"0","message":"success","errno":"0","errmsg":"success"}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Keys of `[providers.<account>]` with `kind = "huawei"`."""

    #: app id, or the client id of the project
    app_id: str
    #: its secret
    app_secret: str = field(repr=False)
    #: kind of messages as approved by Huawei, such as `IM`; default: none
    category: str = ""
    #: id of a receipt configuration, `RCP…`; default: the app's
    receipt_id: str = ""
    #: user name of the receipt configuration; with callback_key
    callback_user: str = ""
    #: key of the receipt configuration; default: none, and no receipt is believed
    callback_key: str = field(default="", repr=False)
    #: names of the apps that it serves, as in `to.push[].app`; default: any
    apps: Sequence[str] = ()
    #: token endpoint; default that of oauth-login.cloud.huawei.com
    token_uri: str = TOKEN_URI
    #: origin of the API; default https://push-api.cloud.huawei.com
    base_url: str = "https://push-api.cloud.huawei.com"

    def __post_init__(self) -> None:
        needed = ("app_id", "app_secret", "token_uri")
        faults = [f"{name}: is empty" for name in needed if not getattr(self, name)]
        if bool(self.callback_user) != bool(self.callback_key):
            missing = "callback_key" if self.callback_user else "callback_user"
            faults.append(f"{missing}: missing, callback_user and callback_key go together")
        if faults:
            raise errors.SettingsError(faults)


class Provider(push_api.PushProvider):
    """Equal contents to as many tokens as there are for them."""

    name: ClassVar[str] = "huawei"
    batch_limit: ClassVar[int] = 1000
    limits: ClassVar[str] = "4,096 bytes"
    most_bytes: ClassVar[int] = MAX_BODY
    blocks = ("android",)
    own_words = ("category",)

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        super().__init__(account, settings.apps, clock)
        self._settings = settings
        origin, app = settings.base_url.rstrip("/"), quote(settings.app_id, safe="")
        self._url = f"{origin}/v1/{app}/messages:send"
        self._key = auth.to_bytes(settings.callback_key)
        self.reports = frozenset({wire.ReceiptEvent.DELIVERED} if self._key else ())
        self.credential: base.Credential | None = auth.ClientCredentials(
            client_id=settings.app_id,
            secret=settings.app_secret,
            token_uri=settings.token_uri,
            clock=clock,
        )

    def build_requests(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[Sequence[wire.Message], wire.HttpRequest]]:
        """Raises ValueError when a content is too long for any call."""
        calls = push_api.share([self.read(one) for one in messages], limit=self.batch_limit)
        return [(tuple(one.message for one in call), self._request(call)) for call in calls]

    def size(self, push: push_api.Push) -> int:
        """Of the body without its tokens."""
        message = self.laid_over(_content([push], self._settings), push)
        return len(orjson.dumps({"validate_only": False, "message": message}))

    def _request(self, call: Sequence[push_api.Push]) -> wire.HttpRequest:
        content = self.laid_over(_content(call, self._settings), call[0])
        message = {"token": [one.token for one in call], **content}
        body = orjson.dumps({"validate_only": False, "message": message})
        headers = {"content-type": "application/json; charset=utf-8"}
        return wire.HttpRequest(method="POST", url=self._url, headers=headers, body=body)

    def read_response(
        self, messages: Sequence[wire.Message], response: wire.HttpResponse
    ) -> Sequence[wire.AttemptResult]:
        answer = auth.json_object(response.body)
        code = huawei_codes.read(answer.get("code"))
        if 200 <= response.status < 300 and code in (huawei_codes.SUCCESS, huawei_codes.PARTIAL):
            return _results(messages, answer, code)
        return [huawei_codes.of_call(code, response, now_ms=self._clock.now_ms())] * len(messages)

    def verify_receipt(self, request: wire.HttpRequest) -> bool:
        header = request.headers.get("x-huawei-callback-id", "")
        parts = [part.strip().partition("=") for part in header.split(";")[:8]]
        fields = {name: value for name, _, value in parts}
        timestamp, offered = fields.get("timestamp", ""), fields.get("value", "")
        if not self._key or not _is_recent(timestamp, now_ms=self._clock.now_ms()):
            return False
        signed = timestamp + fields.get("nonce", "") + self._settings.callback_user
        expected = b64encode(hmac.digest(self._key, auth.to_bytes(signed), "sha256"))
        return hmac.compare_digest(expected, auth.to_bytes(offered))

    def read_receipts(self, request: wire.HttpRequest) -> Sequence[wire.DeliveryReceipt]:
        """One that names no message is left out, lest it hold up the others of its post."""
        report = auth.json_object(request.body)
        if not isinstance(report.get("statuses"), list):
            raise errors.UnreadableReceipt("no statuses")
        receipts = [_receipt(row) for row in mail_api.tables_of(report, "statuses")]
        return [one for one in receipts if one.provider_id or one.reference]

    def answer_receipt(self, request: wire.HttpRequest) -> wire.HttpResponse:
        headers = {"content-type": "application/json"}
        return wire.HttpResponse(status=200, headers=headers, body=THANKS)


def _content(call: Sequence[push_api.Push], settings: Settings) -> dict[str, Any]:
    """The message without its tokens."""
    first = call[0]
    category = first.own_table().get("category")
    key = _collapse_key(first.collapse_key)
    android = {
        "collapse_key": COLLAPSE[0] if key is None else key,
        "urgency": "HIGH" if first.urgent else "NORMAL",
        "category": category if isinstance(category, str) else settings.category,
        "ttl": f"{min(push_api.shortest(call), MAX_TTL)}s",
        "bi_tag": first.message.reference if len(call) == 1 else "",
        "receipt_id": settings.receipt_id,
        "notification": _notification(first) if first.shown else None,
    }
    shown = _filled({"title": first.title, "body": first.body, "image": first.image})
    return _filled(
        {
            "data": first.data or ("" if first.shown else "{}"),
            "notification": shown if first.shown else None,
            "android": _filled(android),
        }
    )


def _notification(push: push_api.Push) -> dict[str, Any]:
    badge = None if push.badge is None else {"set_num": min(push.badge, MAX_BADGE)}
    return _filled(
        {
            "title": push.title,
            "body": push.body,
            "image": push.image,
            "sound": push.sound,
            "tag": push.collapse_key,
            "click_action": _click(push.link),
            "importance": "NORMAL",
            "badge": badge,
        }
    )


def _click(link: str) -> dict[str, Any]:
    if link.startswith("https://"):  # Huawei opens no other
        return {"type": _URL, "url": link}
    return {"type": _INTENT, "intent": link} if link else {"type": _APP}


def _collapse_key(text: str) -> int | None:
    """Huawei's keys are few numbers; a text only replaces what is shown, by `tag`."""
    if not re.fullmatch(r"-?[0-9]{1,3}", text):
        return None
    return int(text) if COLLAPSE[0] <= int(text) <= COLLAPSE[1] else None


def _filled(table: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in table.items() if value not in ("", None)}


def _results(
    messages: Sequence[wire.Message], answer: Mapping[str, Any], code: str
) -> Sequence[wire.AttemptResult]:
    call = mail_api.text_of(answer, "requestId")
    refused = _refused(answer.get("msg")) if code == huawei_codes.PARTIAL else frozenset()
    if refused is None:
        return [wire.Unknown(code=code, detail="tokens not named")] * len(messages)
    return [
        huawei_codes.GONE
        if mail_api.clean(one.to.token) in refused
        else wire.Accepted(provider_id=push_api.name(call, one.to.token))
        for one in messages
    ]


def _refused(text: object) -> frozenset[str] | None:
    """Tokens that were refused, from JSON in a text; None when not all of them are named."""
    told = auth.json_object(auth.to_bytes(text)) if isinstance(text, str) else {}
    given = told.get("illegalTokens", told.get("illegal_tokens"))
    lists = given.values() if isinstance(given, dict) else [given]
    tokens = [token for one in lists if isinstance(one, list) for token in one]
    named = frozenset(token for token in tokens if isinstance(token, str))
    count = told.get("failure")
    return named if named and (not isinstance(count, int) or count <= len(named)) else None


def _is_recent(timestamp: str, *, now_ms: int) -> bool:
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 15):
        return False
    return abs(int(timestamp) - now_ms) <= auth.TOLERANCE * 1000


def _receipt(row: Mapping[str, object]) -> wire.DeliveryReceipt:
    """One entry, of version 1, or of version 2 with its result in `deliveryStatus`."""
    told = mail_api.table_of(row, "deliveryStatus")
    result = _number(told.get("result", row.get("status")))
    default = wire.ReceiptEvent.UNKNOWN if result is None else wire.ReceiptEvent.FAILED
    return wire.DeliveryReceipt(
        event=default if result is None else huawei_codes.EVENTS.get(result, default),
        provider_id=push_api.name(
            mail_api.text_of(row, "requestId"), mail_api.text_of(row, "token")
        ),
        reference=mail_api.text_of(row, "biTag"),
        code="" if result is None else str(result),
        at=_moment(_number(told.get("timestamp", row.get("timestamp")))),
        suppress=result in huawei_codes.DEAD,
    )


def _number(value: object) -> int | None:
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text) else None


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else mail_api.moment(ms / 1000)
