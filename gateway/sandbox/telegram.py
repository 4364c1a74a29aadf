"""Telegram's Bot API, as it looks from outside: sendMessage.

https://core.telegram.org/bots/api#sendmessage. Magic chats: those of `chat.MAGIC`, also with `@` in
front; `blocked-…` has blocked the bot, `migrated-…` is a group with a new id.
"""

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Unpack

from aiohttp import web

from gateway.sandbox import base, chat, control
from gateway.sandbox.magic import Fate

BOT_TOKEN = "123456:sandbox-bot-token"
MAX_TEXT = 4096
#: Seconds to wait when no knob says how long.
_WAIT = 5


class TelegramSimulator(chat.ChatSimulator):
    """One bot, which every chat has started."""

    kind: ClassVar[str] = "telegram"

    def __init__(
        self,
        *,
        bot_token: str = BOT_TOKEN,
        wall: Callable[[], float] = time.time,
        **options: Unpack[base.Options],
    ) -> None:
        super().__init__(**options)
        self._bot_token = bot_token
        self._wall = wall
        self._ids = itertools.count(1)

    def _routes(self) -> Sequence[web.RouteDef]:
        return [web.post("/{bot}/{method}", self._call)]

    async def _call(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["method"] != "sendMessage":
            return _error(404, "Not Found")
        if not chat.same(request.match_info["bot"], f"bot{self._bot_token}"):
            return _error(401, "Unauthorized")
        fields = await chat.read_object(request)
        if fields is None:
            return self.refuse(_error(400, "Bad Request: object expected"))
        to = str(fields.get("chat_id", ""))
        text = fields.get("text")
        if not to:
            return self.refuse(_error(400, "Bad Request: chat_id is empty"), content=fields)
        if not chat.is_text(text):
            words = "Bad Request: message text is empty"
            return self.refuse(_error(400, words), to=to, content=fields)
        if len(str(text)) > MAX_TEXT:
            return self.refuse(_error(400, "Bad Request: message is too long"), content=fields)
        if (refusal := _special(to)) is not None:
            return self.refuse(refusal, to=to, content=fields)
        return await self.judge_one(request, to=to, content=fields, id=str(next(self._ids)))

    def success(self, id: str) -> web.Response:
        result: dict[str, Any] = {"message_id": int(id), "date": int(self._wall())}
        return control.json_response({"ok": True, "result": result})

    def error(self, fate: Fate, request: web.Request) -> web.Response:
        if fate is Fate.THROTTLED:
            wait = _WAIT if self.knobs.retry_after is None else int(self.knobs.retry_after)
            words = f"Too Many Requests: retry after {wait}"
            answer = _error(429, words, parameters={"retry_after": wait})
            answer.headers["Retry-After"] = str(wait)
            return answer
        return {
            Fate.RECIPIENT: _error(400, "Bad Request: chat not found"),
            Fate.PERMANENT: _error(400, "Bad Request: can't parse entities"),
            Fate.TEMPORARY: _error(500, "Internal Server Error: sandbox"),
            Fate.CREDENTIAL: _error(401, "Unauthorized"),
        }[fate]


def _special(to: str) -> web.Response | None:
    match to.lstrip("@").partition("-")[0]:
        case "blocked":
            return _error(403, "Forbidden: bot was blocked by the user")
        case "migrated":
            words = "Bad Request: group chat was upgraded to a supergroup chat"
            return _error(400, words, parameters={"migrate_to_chat_id": -1001234567890})
    return None


def _error(code: int, words: str, **others: Any) -> web.Response:
    value = {"ok": False, "error_code": code, "description": words, **others}
    return control.json_response(value, status=code)
