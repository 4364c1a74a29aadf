"""WeCom, as it looks from outside: an application's messages, and the robot of a group.

Token: https://developer.work.weixin.qq.com/document/path/91039. Send:
https://developer.work.weixin.qq.com/document/path/90236. Robot:
https://developer.work.weixin.qq.com/document/path/99110.

Magic members: those of `chat.MAGIC`; `gone-…` stands on the list `invaliduser` and `unlicensed-…`
on `unlicenseduser` of an answer of success. Magic robots: keys that begin so.
"""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias, Unpack

from aiohttp import web

from gateway.model import wire
from gateway.sandbox import base, chat, oauth, reports
from gateway.sandbox.chat import errcode
from gateway.sandbox.magic import Fate
from gateway.sandbox.wechat_seal import Seal, document_of

#: What it is built with unless told otherwise; no real company has them.
CORP_ID, SECRET, AGENT_ID = "ww0000000000000001", "sandbox-app-secret", 1000002
ROBOT_KEY = "sandbox-robot-key"
CALLBACK_TOKEN = "sandboxtoken"
ENCODING_AES_KEY = "c2FuZGJveCBvZiB0aGUgZ2F0ZXdheSwgMzIgYnl0ZXM"

MOST_MEMBERS = 1000
_ERRORS: Mapping[Fate, tuple[int, str]] = {
    Fate.RECIPIENT: (81013, "user & party & tag all invalid"),
    Fate.PERMANENT: (44004, "text content is empty"),
    Fate.THROTTLED: (45009, "reach max api daily quota limit"),
    Fate.TEMPORARY: (-1, "system busy"),
    Fate.CREDENTIAL: (48002, "api forbidden for this agent"),
}
#: What one member brings upon the whole call, first things first.
_WHOLE = (Fate.HUNG, Fate.CREDENTIAL, Fate.TEMPORARY, Fate.THROTTLED, Fate.PERMANENT, Fate.LOST)
_TYPES = frozenset(
    {"text", "markdown", "textcard", "news", "mpnews", "template_card", "image", "voice", "video"}
    | {"file", "miniprogram_notice"}
)
_ROBOT_TYPES = frozenset(
    {"text", "markdown", "markdown_v2", "image", "news", "file", "voice", "template_card"}
)
#: Fields that a type cannot do without, where they are texts.
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "text": ("content",),
    "markdown": ("content",),
    "markdown_v2": ("content",),
    "textcard": ("title", "description", "url"),
}
_RETRIES = 3
#: Requests that are remembered to tell a second copy.
_KEPT = 10_000

#: Members that were not served, those without a license, the id of the message.
Said: TypeAlias = tuple[Sequence[str], Sequence[str], str]


class WecomSimulator(chat.ChatSimulator):
    """One company with one application, and one robot."""

    kind: ClassVar[str] = "wecom"

    def __init__(
        self,
        *,
        corp_id: str = CORP_ID,
        secret: str = SECRET,
        agent_id: int = AGENT_ID,
        robot_key: str = ROBOT_KEY,
        callback_token: str = CALLBACK_TOKEN,
        encoding_aes_key: str = ENCODING_AES_KEY,
        token_lifetime: float = 7200,
        wall: Callable[[], float] = time.time,
        **options: Unpack[base.Options],
    ) -> None:
        super().__init__(**options)
        self._keys = (corp_id, secret)
        self._agent_id = agent_id
        self._robot_key = robot_key
        self._wall = wall
        self._ids = itertools.count(1)
        self._seen: dict[bytes, tuple[float, Said]] = {}
        self._current = ""
        #: access tokens given so far, and the switch that ends them early
        self.tokens = oauth.Tokens(lifetime=token_lifetime, now=self.now)
        self.seal = Seal(token=callback_token, aes_key=encoding_aes_key, receive_id=corp_id)

    def _routes(self) -> Sequence[web.RouteDef]:
        return [
            web.get("/cgi-bin/gettoken", self._token),
            web.post("/cgi-bin/message/send", self._send),
            web.post("/cgi-bin/webhook/send", self._robot),
        ]

    async def _token(self, request: web.Request) -> web.Response:
        if code := self.knobs.token_error:
            return errcode(int(code) if code.isdecimal() else -1, "as the sandbox was told")
        if request.query.get("corpid") != self._keys[0]:
            return errcode(40013, "invalid corpid")
        if not chat.same(request.query.get("corpsecret", ""), self._keys[1]):
            return errcode(40091, "secret is invalid")
        if not self.tokens.valid(self._current):
            self._current = self.tokens.issue()
        lifetime = int(self.tokens.lifetime)
        return errcode(0, "ok", access_token=self._current, expires_in=lifetime)

    async def _send(self, request: web.Request) -> web.StreamResponse:
        if not self.tokens.valid(request.query.get("access_token", "")):
            return errcode(40014, "invalid access_token")
        raw = await request.read()
        fields = await chat.read_object(request)
        if fields is None:
            return self.refuse(errcode(40035, "invalid parameter"))
        if fault := self._fault(fields):
            return self.refuse(fault, to=str(fields.get("touser")), content=fields)
        members = fields["touser"].split("|")
        if (earlier := self._earlier(raw, fields)) is not None:
            return self._answer(*earlier)
        if sum(self.judge.throttled() for _ in members):
            return await self._turn_down(request, fields, Fate.THROTTLED)
        fates = [self.judge.draw(chat.magic_of(one)) for one in members]
        whole = next((one for one in _WHOLE if one in fates), Fate.TAKEN)
        if whole not in (Fate.TAKEN, Fate.LOST):
            return await self._turn_down(request, fields, whole)
        return await self._take(request, fields, dict(zip(members, fates, strict=True)), whole)

    async def _take(
        self,
        request: web.Request,
        fields: Mapping[str, Any],
        fates: Mapping[str, Fate],
        whole: Fate,
    ) -> web.StreamResponse:
        invalid = [one for one, fate in fates.items() if fate is Fate.RECIPIENT]
        if len(invalid) == len(fates):
            return await self._turn_down(request, fields, Fate.RECIPIENT)
        unlicensed = [one for one in fates if one.lower().startswith("unlicensed-")]
        id_ = f"sandbox-{next(self._ids)}"
        self._remember(await request.read(), (invalid, unlicensed, id_))
        for one in fates:
            served = one not in invalid and one not in unlicensed
            fate = whole if served else Fate.RECIPIENT
            self.record(one, fields, fate=fate, answer="0", id=id_ if served else "")
        return await self.conclude(request, whole, self._answer(invalid, unlicensed, id_))

    def _answer(
        self, invalid: Sequence[str] = (), unlicensed: Sequence[str] = (), id: str = ""
    ) -> web.Response:
        return errcode(
            0,
            "ok",
            invaliduser="|".join(invalid).lower(),
            invalidparty="",
            invalidtag="",
            unlicenseduser="|".join(unlicensed).lower(),
            msgid=id,
        )

    async def _turn_down(
        self, request: web.Request, fields: Mapping[str, Any], fate: Fate
    ) -> web.StreamResponse:
        """The whole call."""
        answer = self._answer() if fate is Fate.HUNG else self.error(fate, request)
        for member in fields["touser"].split("|"):
            self.record(member, fields, fate=fate, answer=str(answer.status))
        return await self.conclude(request, fate, answer)

    def _earlier(self, raw: bytes, fields: Mapping[str, Any]) -> Said | None:
        """What was said to the same request, in the time in which it wants to be known again."""
        if fields.get("enable_duplicate_check") != 1 or raw not in self._seen:
            return None
        window = int(fields.get("duplicate_check_interval", 1800))
        at, said = self._seen[raw]
        return said if self.now() - at < window else None

    def _remember(self, raw: bytes, said: Said) -> None:
        self._seen[raw] = (self.now(), said)
        if len(self._seen) > _KEPT:
            del self._seen[next(iter(self._seen))]

    def _fault(self, fields: Mapping[str, Any]) -> web.Response | None:
        members = fields.get("touser")
        if not chat.is_text(members) or not isinstance(members, str):
            return errcode(82001, "user & party & tag all empty")
        if len(members.split("|")) > MOST_MEMBERS:
            return errcode(40032, "invalid user list size")
        if fields.get("agentid") != self._agent_id:
            return errcode(40056, "invalid agentid")
        return _content_fault(fields, _TYPES)

    async def _robot(self, request: web.Request) -> web.StreamResponse:
        key = request.query.get("key", "")
        if not chat.same(key, self._robot_key) and key.partition("-")[0] not in chat.MAGIC:
            return errcode(93000, "invalid webhook url")
        fields = await chat.read_object(request)
        if fields is None:
            return self.refuse(errcode(40035, "invalid parameter"))
        if fault := _content_fault(fields, _ROBOT_TYPES):
            return self.refuse(fault, content=fields)
        id_ = f"robot-{next(self._ids)}"
        return await self.judge_one(request, to=key, content=fields, id=id_)

    def success(self, id: str) -> web.Response:
        return errcode(0, "ok")

    def error(self, fate: Fate, request: web.Request) -> web.Response:
        is_refused = fate in (Fate.RECIPIENT, Fate.CREDENTIAL)
        if is_refused and request.path.endswith("/webhook/send"):
            return errcode(93000, "invalid webhook url")
        return errcode(*_ERRORS[fate])

    def write(self, member: str, text: str, *, id: str = "1234567890123456") -> None:
        """Push what a member wrote to the application, if there is where to."""
        if not self.knobs.receipt_url:
            return
        document = document_of(
            {
                "ToUserName": self._keys[0],
                "FromUserName": member,
                "CreateTime": int(self._wall()),
                "MsgType": "text",
                "Content": text,
                "MsgId": int(id),
                "AgentID": self._agent_id,
            }
        )

        def build() -> wire.HttpRequest:
            return self.seal.post(self.knobs.receipt_url, document, at=int(self._wall()))

        self.reporter.schedule(0, reports.Report(build=build, retries=_RETRIES))


def _content_fault(fields: Mapping[str, Any], types: frozenset[str]) -> web.Response | None:
    kind = fields.get("msgtype")
    if kind not in types:
        return errcode(40008, "invalid message type")
    part = fields.get(str(kind))
    if not isinstance(part, dict):
        return errcode(40063, "some parameters are empty")
    if not all(chat.is_text(part.get(name)) for name in _NEEDED.get(str(kind), ())):
        return errcode(44004, "text content is empty")
    return None
