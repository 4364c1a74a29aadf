"""DingTalk's robot of a group, as it looks from outside.

https://open.dingtalk.com/document/robots/custom-robot-access, and its security settings. Magic
robots: tokens that begin with one of `chat.MAGIC` and `-`.
"""

import base64
import hashlib
import hmac
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Unpack

from aiohttp import web

from gateway.sandbox import base, chat
from gateway.sandbox.chat import errcode
from gateway.sandbox.magic import Fate

ACCESS_TOKEN, SECRET = "sandbox-robot-token", "SECsandbox"
MAX_BODY = 20_000
#: Milliseconds by which a timestamp may be off.
_TOLERANCE_MS = 3_600_000
_TYPES = frozenset({"text", "markdown", "link", "actionCard", "feedCard"})
_ERRORS: Mapping[Fate, tuple[int, str]] = {
    Fate.RECIPIENT: (400106, "robot not exist"),
    Fate.PERMANENT: (310000, "keywords not in content"),
    Fate.THROTTLED: (130101, "send too fast, exceed 20 times per minute"),
    Fate.TEMPORARY: (-1, "system busy"),
    Fate.CREDENTIAL: (310000, "sign not match"),
}


class DingtalkSimulator(chat.ChatSimulator):
    """One robot that wants a signature."""

    kind: ClassVar[str] = "dingtalk"

    def __init__(
        self,
        *,
        access_token: str = ACCESS_TOKEN,
        secret: str = SECRET,
        keywords: Sequence[str] = (),
        wall: Callable[[], float] = time.time,
        **options: Unpack[base.Options],
    ) -> None:
        """secret: empty for a robot that wants no signature. keywords: one must be in a message."""
        super().__init__(**options)
        self._access_token = access_token
        self._secret = secret
        self._keywords = keywords
        self._wall = wall
        self._ids = itertools.count(1)

    def _routes(self) -> Sequence[web.RouteDef]:
        return [web.post("/robot/send", self._send)]

    async def _send(self, request: web.Request) -> web.StreamResponse:
        token = request.query.get("access_token", "")
        if not chat.same(token, self._access_token) and token.partition("-")[0] not in chat.MAGIC:
            return errcode(300001, "token is not exist")
        if self._secret and not self._is_signed(request.query):
            return errcode(310000, "sign not match")
        if request.content_type != "application/json":
            return errcode(43004, "content type invalid")
        raw = (await request.read()).decode("utf-8", "replace")
        fields = await chat.read_object(request)
        kind = str((fields or {}).get("msgtype"))
        if fields is None or not isinstance(fields.get(kind), dict):
            return self.refuse(errcode(40035, "miss param"), content=fields)
        if kind not in _TYPES:
            return self.refuse(errcode(400105, "unsupported msgtype"), content=fields)
        if len(raw.encode()) > MAX_BODY:
            words = f"message too long, exceed {MAX_BODY} bytes"
            return self.refuse(errcode(460101, words), content=fields)
        if self._keywords and not any(word in raw for word in self._keywords):
            return self.refuse(errcode(310000, "keywords not in content"), content=fields)
        id_ = f"robot-{next(self._ids)}"
        return await self.judge_one(request, to=token, content=fields, id=id_)

    def _is_signed(self, query: Mapping[str, str]) -> bool:
        timestamp = query.get("timestamp", "")
        if not timestamp.isdecimal():
            return False
        if abs(int(timestamp) - self._wall() * 1000) > _TOLERANCE_MS:
            return False
        text = f"{timestamp}\n{self._secret}".encode()
        digest = hmac.new(self._secret.encode(), text, hashlib.sha256).digest()
        return chat.same(query.get("sign", ""), base64.b64encode(digest).decode())

    def success(self, id: str) -> web.Response:
        return errcode(0, "ok")

    def error(self, fate: Fate, request: web.Request) -> web.Response:
        return errcode(*_ERRORS[fate])
