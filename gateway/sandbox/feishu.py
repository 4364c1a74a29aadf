"""Feishu's custom bot of a group, as it looks from outside.

https://open.larksuite.com/document/client-docs/bot-v3/use-custom-bots-in-a-group. Magic bots:
tokens that begin with one of `chat.MAGIC` and `-`.
"""

import base64
import hashlib
import hmac
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Unpack

from aiohttp import web

from gateway.sandbox import base, chat, control
from gateway.sandbox.magic import Fate

WEBHOOK_TOKEN, SECRET = "sandbox-bot-token", "sandbox-bot-secret"
MAX_BODY = 20 * 1024
#: Seconds by which a timestamp may be off.
_TOLERANCE = 3600
_TYPES = frozenset({"text", "post", "image", "share_chat", "interactive"})
_ERRORS: Mapping[Fate, tuple[int, str]] = {
    Fate.RECIPIENT: (19001, "param invalid: incoming webhook access token invalid"),
    Fate.PERMANENT: (19024, "Key Words Not Found"),
    Fate.THROTTLED: (11232, "frequency limited psm[lark.oapi.app_platform_runtime]"),
    Fate.CREDENTIAL: (19022, "Ip Not Allowed"),
}


class FeishuSimulator(chat.ChatSimulator):
    """One bot that wants a signature."""

    kind: ClassVar[str] = "feishu"

    def __init__(
        self,
        *,
        webhook_token: str = WEBHOOK_TOKEN,
        secret: str = SECRET,
        wall: Callable[[], float] = time.time,
        **options: Unpack[base.Options],
    ) -> None:
        """secret: empty for a bot that wants no signature."""
        super().__init__(**options)
        self._webhook_token = webhook_token
        self._secret = secret
        self._wall = wall
        self._ids = itertools.count(1)

    def _routes(self) -> Sequence[web.RouteDef]:
        return [web.post("/open-apis/bot/v2/hook/{token}", self._send)]

    async def _send(self, request: web.Request) -> web.StreamResponse:
        token = request.match_info["token"]
        if not chat.same(token, self._webhook_token) and token.partition("-")[0] not in chat.MAGIC:
            return _refusal(*_ERRORS[Fate.RECIPIENT])
        fields = await chat.read_object(request)
        if fields is None or len(await request.read()) > MAX_BODY:
            return self.refuse(_refusal(9499, "Bad Request"))
        if self._secret and not self._is_signed(fields):
            words = "sign match fail or timestamp is not within one hour from current time"
            return self.refuse(_refusal(19021, words), content=fields)
        kind = fields.get("msg_type")
        part = fields.get("card" if kind == "interactive" else "content")
        if kind not in _TYPES or not isinstance(part, dict | str):
            return self.refuse(_refusal(19002, "params error, msg_type need"), content=fields)
        if kind == "text" and not (isinstance(part, dict) and chat.is_text(part.get("text"))):
            return self.refuse(_refusal(9499, "Bad Request"), content=fields)
        id_ = f"bot-{next(self._ids)}"
        return await self.judge_one(request, to=token, content=fields, id=id_)

    def _is_signed(self, fields: Mapping[str, Any]) -> bool:
        timestamp = str(fields.get("timestamp", ""))
        if not timestamp.isdecimal() or abs(int(timestamp) - self._wall()) > _TOLERANCE:
            return False
        key = f"{timestamp}\n{self._secret}".encode()
        digest = hmac.new(key, b"", hashlib.sha256).digest()
        return chat.same(str(fields.get("sign", "")), base64.b64encode(digest).decode())

    def success(self, id: str) -> web.Response:
        return control.json_response(
            {"StatusCode": 0, "StatusMessage": "success", "code": 0, "data": {}, "msg": "success"}
        )

    def error(self, fate: Fate, request: web.Request) -> web.Response:
        if fate is Fate.TEMPORARY:
            return web.Response(status=502, text="<html>Bad Gateway</html>")
        return _refusal(*_ERRORS[fate])


def _refusal(code: int, words: str) -> web.Response:
    return control.json_response({"code": code, "data": {}, "msg": words})
