"""Slack, as it looks from outside: an incoming webhook, and a bot that posts.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks and
https://docs.slack.dev/reference/methods/chat.postMessage. Magic channels: those that begin with one
of `chat.MAGIC` and `-`, as does the last part of a webhook's address.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Unpack

from aiohttp import web

from gateway.sandbox import base, chat, control
from gateway.sandbox.magic import Fate

BOT_TOKEN = "xoxb-sandbox"
WEBHOOK_PATH = "/services/T00000000/B00000000/sandbox"
_HOOK = "sandbox"
MAX_TEXT, MAX_BLOCKS = 40_000, 50
#: Status and body of a webhook's answer.
_HOOK_ERRORS: Mapping[Fate, tuple[int, str]] = {
    Fate.RECIPIENT: (400, "user_not_found"),
    Fate.PERMANENT: (400, "invalid_blocks"),
    Fate.THROTTLED: (429, "rate_limited"),
    Fate.TEMPORARY: (500, "rollup_error"),
    Fate.CREDENTIAL: (403, "action_prohibited"),
}
#: `error` of the Web API.
_API_ERRORS: Mapping[Fate, str] = {
    Fate.RECIPIENT: "channel_not_found",
    Fate.PERMANENT: "invalid_blocks",
    Fate.THROTTLED: "ratelimited",
    Fate.TEMPORARY: "internal_error",
    Fate.CREDENTIAL: "token_revoked",
}


class SlackSimulator(chat.ChatSimulator):
    """One workspace with one webhook and one bot."""

    kind: ClassVar[str] = "slack"

    def __init__(self, *, bot_token: str = BOT_TOKEN, **options: Unpack[base.Options]) -> None:
        super().__init__(**options)
        self._bot_token = bot_token
        self._ids = itertools.count(1)

    @property
    def webhook_url(self) -> str:
        """Known once it is entered."""
        return self.url + WEBHOOK_PATH

    def _routes(self) -> Sequence[web.RouteDef]:
        return [
            web.post("/services/{team}/{bot}/{hook}", self._hook),
            web.post("/api/chat.postMessage", self._post),
        ]

    async def _hook(self, request: web.Request) -> web.StreamResponse:
        hook = request.match_info["hook"]
        if hook != _HOOK and hook.partition("-")[0] not in chat.MAGIC:
            return web.Response(status=404, text="no_service")
        fields = await chat.read_object(request)
        if fault := "invalid_payload" if fields is None else _fault(fields):
            return self.refuse(web.Response(status=400, text=fault), content=fields)
        id_ = f"hook-{next(self._ids)}"
        return await self.judge_one(request, to=hook, content=fields or {}, id=id_)

    async def _post(self, request: web.Request) -> web.StreamResponse:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not chat.same(token, self._bot_token):
            return _error("invalid_auth" if token else "not_authed")
        fields = await chat.read_object(request)
        if fields is None or not chat.is_text(fields.get("channel")):
            return self.refuse(_error("invalid_arguments"), content=fields)
        channel = str(fields["channel"])
        if fault := _fault(fields):
            return self.refuse(_error(fault), to=channel, content=fields)
        id_ = f"1503435956.{next(self._ids):06d}"
        return await self.judge_one(request, to=channel, content=fields, id=id_)

    def success(self, id: str) -> web.Response:
        if id.startswith("hook-"):
            return web.Response(text="ok")
        message = {"type": "message", "ts": id}
        return control.json_response({"ok": True, "channel": "C1", "ts": id, "message": message})

    def error(self, fate: Fate, request: web.Request) -> web.Response:
        header = base.retry_header(self.knobs) if fate is Fate.THROTTLED else {}
        if request.path.startswith("/services/"):
            status, word = _HOOK_ERRORS[fate]
            return web.Response(status=status, text=word, headers=header)
        answer = _error(_API_ERRORS[fate], status=429 if fate is Fate.THROTTLED else 200)
        answer.headers.update(header)
        return answer


def _fault(fields: Mapping[str, Any]) -> str:
    text, blocks = fields.get("text"), fields.get("blocks", [])
    if not isinstance(blocks, list) or len(blocks) > MAX_BLOCKS:
        return "invalid_blocks"
    if not chat.is_text(text) and not blocks and not fields.get("attachments"):
        return "no_text"
    return "msg_too_long" if len(str(text)) > MAX_TEXT else ""


def _error(word: str, *, status: int = 200) -> web.Response:
    return control.json_response({"ok": False, "error": word}, status=status)
