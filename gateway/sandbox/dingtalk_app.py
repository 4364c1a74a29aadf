"""DingTalk's work notifications, as they look from outside.

https://open.dingtalk.com/document/orgapp/asynchronous-sending-of-enterprise-session-messages. Magic
members: userids that begin with one of `chat.MAGIC` and `-`; one of them decides for its call.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Unpack

from aiohttp import web

from gateway.sandbox import base, chat, oauth
from gateway.sandbox.chat import errcode
from gateway.sandbox.magic import ORDINARY, Fate

APP_KEY, APP_SECRET, AGENT_ID = "dingsandbox", "sandbox-app-secret", 123456
MAX_MEMBERS = 100
_TYPES = frozenset({"text", "markdown", "action_card", "oa", "link", "image", "file", "voice"})
_ERRORS: Mapping[Fate, tuple[int, str]] = {
    Fate.RECIPIENT: (33012, "无效的USERID"),
    Fate.PERMANENT: (40035, "不合法的参数"),
    Fate.THROTTLED: (143104, "企业的每分钟调用量超出限制"),
    Fate.TEMPORARY: (-1, "系统繁忙"),
    Fate.CREDENTIAL: (88, "ding talk error[subcode=40014,submsg=不合法的access_token]"),
}


class DingtalkAppSimulator(chat.ChatSimulator):
    """One application."""

    kind: ClassVar[str] = "dingtalk_app"

    def __init__(self, **options: Unpack[base.Options]) -> None:
        super().__init__(**options)
        self.tokens = oauth.Tokens(lifetime=7200, now=self.now)
        self._ids = itertools.count(256_271_667_526)

    def _routes(self) -> Sequence[web.RouteDef]:
        return [
            web.get("/gettoken", self._token),
            web.post("/topapi/message/corpconversation/asyncsend_v2", self._send),
        ]

    async def _token(self, request: web.Request) -> web.Response:
        if request.query.get("appkey") != APP_KEY:
            return errcode(40089, "不合法的corpid或corpsecret")
        if not chat.same(request.query.get("appsecret", ""), APP_SECRET):
            return errcode(40001, "获取access_token时Secret错误")
        return errcode(0, "ok", access_token=self.tokens.issue(), expires_in=7200)

    async def _send(self, request: web.Request) -> web.StreamResponse:
        if not self.tokens.valid(request.query.get("access_token", "")):
            return self.error(Fate.CREDENTIAL, request)
        fields = await chat.read_object(request)
        members = str((fields or {}).get("userid_list", "")).split(",")
        if fields is None or not _is_whole(fields, members):
            return self.refuse(errcode(40035, "不合法的参数"), content=fields)
        magic = next((one for one in map(chat.magic_of, members) if one != ORDINARY), ORDINARY)
        fate, id_ = self.judge.decide(magic), str(next(self._ids))
        taken = fate in (Fate.TAKEN, Fate.LOST)
        answer = self.success(id_) if taken or fate is Fate.HUNG else self.error(fate, request)
        for member in members:
            self.record(member, fields["msg"], fate=fate, answer="200", id=id_ if taken else "")
        return await self.conclude(request, fate, answer)

    def success(self, id: str) -> web.Response:
        return errcode(0, "ok", task_id=int(id), request_id="sandbox")

    def error(self, fate: Fate, request: web.Request) -> web.Response:
        code, words = _ERRORS[fate]
        return errcode(code, words, **({"sub_code": "40014"} if code == 88 else {}))


def _is_whole(fields: Mapping[str, Any], members: Sequence[str]) -> bool:
    message = fields.get("msg")
    if fields.get("agent_id") != AGENT_ID or not isinstance(message, dict):
        return False
    kind = str(message.get("msgtype"))
    said = kind in _TYPES and isinstance(message.get(kind), dict)
    return said and all(members) and 0 < len(members) <= MAX_MEMBERS
