"""Feishu's messages by an application, as they look from outside, with the events of who has read.

https://open.feishu.cn/document/server-docs/im-v1/message/create, and the guide to events. A message
whose `uuid` came before is answered as the first was. Magic addresses begin with one of
`chat.MAGIC` and `-`. What is delivered is not reported, but what is read is.
"""

import base64
import hashlib
import os
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Unpack

import orjson
from aiohttp import web
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from gateway.model import wire
from gateway.sandbox import base, chat, control, oauth, reports
from gateway.sandbox.magic import Fate

APP_ID, APP_SECRET = "cli_sandbox", "sandbox-app-secret"
VERIFICATION_TOKEN, ENCRYPT_KEY = "sandbox-verification", "sandbox-encrypt-key"
_ID_TYPES = frozenset({"open_id", "user_id", "union_id", "email", "chat_id"})
#: Ids that are remembered, and how often an event is tried again.
_MOST, _RETRIES = 10_000, 3
_ERRORS: Mapping[Fate, tuple[int, int, str]] = {
    Fate.RECIPIENT: (400, 230013, "Bot has NO availability to this user."),
    Fate.PERMANENT: (400, 230025, "The length of the message content reaches its limit."),
    Fate.THROTTLED: (400, 99991400, "request trigger frequency limit"),
    Fate.CREDENTIAL: (400, 99991663, "Invalid access token for authorization."),
}


class FeishuAppSimulator(chat.ChatSimulator):
    """One application, whose events are encrypted."""

    kind: ClassVar[str] = "feishu_app"

    def __init__(
        self, *, wall: Callable[[], float] = time.time, **options: Unpack[base.Options]
    ) -> None:
        super().__init__(**options)
        self.tokens = oauth.Tokens(lifetime=7200, now=self.now)
        self._wall = wall
        self._seen: OrderedDict[str, str] = OrderedDict()

    def prove(self, challenge: str) -> None:
        """Ask the address of events to prove itself, if there is one."""
        fields = {"challenge": challenge, "token": VERIFICATION_TOKEN, "type": "url_verification"}
        self._post(0, fields, signed=False)

    def _routes(self) -> Sequence[web.RouteDef]:
        return [
            web.post("/open-apis/auth/v3/tenant_access_token/internal", self._token),
            web.post("/open-apis/im/v1/messages", self._send),
        ]

    async def _token(self, request: web.Request) -> web.Response:
        fields = await chat.read_object(request) or {}
        if fields.get("app_id") != APP_ID:
            return _answer(400, 10003, "invalid param")
        if not chat.same(str(fields.get("app_secret")), APP_SECRET):
            return _answer(400, 10014, "app secret invalid")
        return _answer(200, 0, "ok", tenant_access_token=self.tokens.issue(), expire=7200)

    async def _send(self, request: web.Request) -> web.StreamResponse:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not self.tokens.valid(token):
            return self.error(Fate.CREDENTIAL, request)
        fields = await chat.read_object(request) or {}
        fields["content"] = _object(fields.get("content"))
        if not _is_whole(fields, request.query.get("receive_id_type", "")):
            return self.refuse(_answer(400, 230001, "Your request contains an invalid param."))
        to, name = str(fields["receive_id"]), str(fields.get("uuid", ""))
        if name in self._seen:
            return self.success(self._seen[name])
        id_ = f"om_{uuid.uuid4().hex}"

        def taken() -> None:
            if name:
                self._seen[name] = id_
            if len(self._seen) > _MOST:
                self._seen.popitem(last=False)
            self._report(to, id_)

        return await self.judge_one(request, to=to, content=fields, id=id_, taken=taken)

    def _report(self, to: str, id: str) -> None:
        if self.judge.receipt(chat.magic_of(to)) is not wire.ReceiptEvent.READ:
            return
        header = {
            "event_id": uuid.uuid4().hex,
            "event_type": "im.message.message_read_v1",
            "create_time": str(int(self._wall() * 1000)),
            "token": VERIFICATION_TOKEN,
            "app_id": APP_ID,
        }
        reader = {"reader_id": {"open_id": to}, "read_time": str(int(self._wall() * 1000))}
        event = {"reader": reader, "message_id_list": [id]}
        self._post(self.judge.receipt_delay(), {"schema": "2.0", "header": header, "event": event})

    def _post(self, delay: float, event: Mapping[str, Any], *, signed: bool = True) -> None:
        if not self.knobs.receipt_url:
            return
        body = orjson.dumps({"encrypt": _encrypt(orjson.dumps(event))})

        def build() -> wire.HttpRequest:
            headers = {"Content-Type": "application/json; charset=utf-8"}
            if signed:
                at, nonce = str(int(self._wall())), uuid.uuid4().hex
                text = (at + nonce + ENCRYPT_KEY).encode() + body
                headers |= {"X-Lark-Request-Timestamp": at, "X-Lark-Request-Nonce": nonce}
                headers["X-Lark-Signature"] = hashlib.sha256(text).hexdigest()
            return wire.HttpRequest(
                method="POST", url=self.knobs.receipt_url, headers=headers, body=body
            )

        report = reports.Report(
            build=build, retries=_RETRIES, retry_delay=lambda: self.knobs.receipt_retry_delay
        )
        for _ in range(1 + self.knobs.receipt_repeats):
            self.reporter.schedule(delay, report)

    def success(self, id: str) -> web.Response:
        return _answer(200, 0, "success", data={"message_id": id})

    def error(self, fate: Fate, request: web.Request) -> web.Response:
        if fate is Fate.TEMPORARY:
            return web.Response(status=502, text="<html>Bad Gateway</html>")
        return _answer(*_ERRORS[fate])


def _answer(status: int, code: int, words: str, **others: Any) -> web.Response:
    return control.json_response({"code": code, "msg": words, **others}, status=status)


def _object(value: object) -> dict[str, Any]:
    """What a text holds in JSON; nothing when it is no object."""
    try:
        found = orjson.loads(value) if isinstance(value, str) else None
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _is_whole(fields: Mapping[str, Any], id_type: str) -> bool:
    said = bool(fields["content"]) and chat.is_text(fields.get("msg_type"))
    if fields.get("msg_type") == "text":
        said = chat.is_text(fields["content"].get("text"))
    named = len(str(fields.get("uuid", ""))) <= 50
    return said and named and chat.is_text(fields.get("receive_id")) and id_type in _ID_TYPES


def _encrypt(plain: bytes) -> str:
    key, start = hashlib.sha256(ENCRYPT_KEY.encode()).digest(), os.urandom(16)
    count = 16 - len(plain) % 16
    encryptor = Cipher(algorithms.AES(key), modes.CBC(start)).encryptor()
    sealed = encryptor.update(plain + bytes([count]) * count) + encryptor.finalize()
    return base64.b64encode(start + sealed).decode()
