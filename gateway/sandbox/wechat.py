"""WeChat service account, as it looks from outside.

Token: https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken. Templates:
https://developers.weixin.qq.com/doc/service/api/notify/template/api_sendtemplatemessage, with
reports of what became of them; and subscription notifications.

Magic openids: those of `chat.MAGIC`; `failed-…` is taken and reported as failed, `blocked-…` as
blocked by the recipient.
"""

import itertools
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Unpack

from aiohttp import web

from gateway.model import wire
from gateway.sandbox import base, chat, control, oauth, reports
from gateway.sandbox.chat import errcode
from gateway.sandbox.magic import Fate
from gateway.sandbox.wechat_seal import Seal, document_of

#: What it is built with unless told otherwise; no real account has them.
APP_ID, APP_SECRET = "wx0000000000000001", "sandbox-app-secret"
CALLBACK_TOKEN = "sandboxtoken"
ENCODING_AES_KEY = "c2FuZGJveCBvZiB0aGUgZ2F0ZXdheSwgMzIgYnl0ZXM"
TEMPLATES = frozenset({"TM00015"})

_ERRORS: Mapping[Fate, tuple[int, str]] = {
    Fate.RECIPIENT: (40003, "invalid openid"),
    Fate.PERMANENT: (47003, "argument invalid! data.thing1.value is empty"),
    Fate.THROTTLED: (45011, "api minute-quota reach limit, must slower, retry next minute"),
    Fate.TEMPORARY: (-1, "system error"),
    Fate.CREDENTIAL: (48001, "api unauthorized"),
}
#: `Status` of a template's report, ErrorCode and ErrorStatus of a subscription's.
_REPORTS: Mapping[wire.ReceiptEvent, tuple[str, int]] = {
    wire.ReceiptEvent.DELIVERED: ("success", 0),
    wire.ReceiptEvent.READ: ("success", 0),
    wire.ReceiptEvent.FAILED: ("failed: system failed", 43101),
    wire.ReceiptEvent.OPTED_OUT: ("failed:user block", 43101),
}
_MAGIC_REPORTS = {
    "failed": wire.ReceiptEvent.FAILED,
    "blocked": wire.ReceiptEvent.OPTED_OUT,
}
#: Characters that a field of this name takes.
_LIMITS = {"thing": 20, "const": 20, "character_string": 32, "phone_number": 17, "car_number": 8}
_NAME = re.compile(r"([a-z_]+?)[0-9]+")
#: `\\uXXXX`, which is refused; a backslash that is itself escaped is none.
_ESCAPED = re.compile(rb"(?<!\\)(?:\\\\)*\\u[0-9a-fA-F]{4}")
#: Copies of a report that got no answer.
_RETRIES = 3
#: Seconds in which a client_msg_id is known again.
_REMEMBERED = 600.0
#: How many of them.
_KEPT = 100_000


class WechatSimulator(chat.ChatSimulator):
    """One account, its templates, and the address that it reports to (knob `receipt_url`)."""

    kind: ClassVar[str] = "wechat"

    def __init__(
        self,
        *,
        app_id: str = APP_ID,
        app_secret: str = APP_SECRET,
        callback_token: str = CALLBACK_TOKEN,
        encoding_aes_key: str = ENCODING_AES_KEY,
        templates: Collection[str] = TEMPLATES,
        token_lifetime: float = 7200,
        wall: Callable[[], float] = time.time,
        **options: Unpack[base.Options],
    ) -> None:
        """encoding_aes_key: empty for reports in the plain form. wall: seconds since the epoch."""
        super().__init__(**options)
        self._app = (app_id, app_secret)
        self._templates = templates
        self._wall = wall
        self._ids = itertools.count(200_228_332)
        self._sent: dict[tuple[str, str], tuple[float, str]] = {}
        self._stable = ""
        #: access tokens given so far, and the switch that ends them early
        self.tokens = oauth.Tokens(lifetime=token_lifetime, now=self.now)
        self.seal = Seal(token=callback_token, aes_key=encoding_aes_key, receive_id=app_id)

    def _routes(self) -> Sequence[web.RouteDef]:
        return [
            web.post("/cgi-bin/stable_token", self._token),
            web.post("/cgi-bin/message/template/send", self._template),
            web.post("/cgi-bin/message/subscribe/bizsend", self._subscription),
        ]

    async def _token(self, request: web.Request) -> web.Response:
        fields = await chat.read_object(request) or {}
        if self.knobs.token_error:
            code = self.knobs.token_error
            return errcode(int(code) if code.isdecimal() else -1, "as the sandbox was told")
        if fields.get("grant_type") != "client_credential":
            return errcode(40002, "invalid grant_type")
        if fields.get("appid") != self._app[0]:
            return errcode(40013, "invalid appid")
        if not chat.same(str(fields.get("secret")), self._app[1]):
            return errcode(40125, "invalid appsecret")
        if fields.get("force_refresh") is True or not self.tokens.valid(self._stable):
            self.tokens.revoke()
            self._stable = self.tokens.issue()
        lifetime = int(self.tokens.lifetime)
        return control.json_response({"access_token": self._stable, "expires_in": lifetime})

    async def _template(self, request: web.Request) -> web.StreamResponse:
        return await self._send(request, is_template=True)

    async def _subscription(self, request: web.Request) -> web.StreamResponse:
        return await self._send(request, is_template=False)

    async def _send(self, request: web.Request, *, is_template: bool) -> web.StreamResponse:
        if not self.tokens.valid(request.query.get("access_token", "")):
            return errcode(40001, "invalid credential, access_token is invalid or not latest")
        fields = await chat.read_object(request)
        if fields is None:
            return self.refuse(errcode(47001, "data format error"))
        if _ESCAPED.search(await request.read()):
            return self.refuse(errcode(40033, "invalid charset"))
        openid = str(fields.get("touser", ""))
        if fault := self._fault(fields):
            return self.refuse(fault, to=openid, content=fields)
        reference = str(fields.get("client_msg_id", "")) if is_template else ""
        at, known = self._sent.get((openid, reference), (-_REMEMBERED, ""))
        if reference and self.now() - at < _REMEMBERED:
            return self.success(known)
        id_ = str(next(self._ids))

        def taken() -> None:
            self._remember(openid, reference, id_)
            self._report(openid, id_, fields, is_template)

        return await self.judge_one(request, to=openid, content=fields, id=id_, taken=taken)

    def _remember(self, openid: str, reference: str, id: str) -> None:
        self._sent[openid, reference] = (self.now(), id)
        if len(self._sent) > _KEPT:
            del self._sent[next(iter(self._sent))]

    def success(self, id: str) -> web.Response:
        return control.json_response({"errcode": 0, "errmsg": "ok", "msgid": int(id)})

    def error(self, fate: Fate, request: web.Request) -> web.Response:
        return errcode(*_ERRORS[fate])

    def _fault(self, fields: Mapping[str, Any]) -> web.Response | None:
        if not chat.is_text(fields.get("touser")):
            return errcode(40003, "invalid openid")
        if fields.get("template_id") not in self._templates:
            return errcode(40037, "invalid template_id")
        data = fields.get("data")
        if not isinstance(data, dict):
            return errcode(47001, "data format error")
        for name, entry in data.items():
            value = entry.get("value") if isinstance(entry, dict) else None
            known = _NAME.fullmatch(name)
            limit = _LIMITS.get(known[1] if known else "", 200)
            if not isinstance(value, str) or not 0 < len(value) <= limit:
                return errcode(47003, f"argument invalid! data.{name}.value invalid")
        return None

    def write(self, openid: str, text: str, *, id: str = "4363689963896700987") -> None:
        """Push what somebody wrote to the account."""
        self._push(
            {
                "ToUserName": "gh_sandbox",
                "FromUserName": openid,
                "CreateTime": int(self._wall()),
                "MsgType": "text",
                "Content": text,
                "MsgId": int(id),
            }
        )

    def _report(self, openid: str, id: str, fields: Mapping[str, Any], is_template: bool) -> None:
        event = _MAGIC_REPORTS.get(openid.partition("-")[0]) or self.judge.receipt()
        told = _REPORTS.get(event) if event else None
        if told is None:
            return
        status, code = told
        head: dict[str, Any] = {
            "ToUserName": "gh_sandbox",
            "FromUserName": openid,
            "CreateTime": int(self._wall()),
            "MsgType": "event",
        }
        if is_template:
            tail: dict[str, Any] = {
                "Event": "TEMPLATESENDJOBFINISH",
                "MsgID": int(id),
                "Status": status,
            }
        else:
            row = {
                "TemplateId": fields["template_id"],
                "MsgID": int(id),
                "ErrorCode": code,
                "ErrorStatus": status,
            }
            tail = {
                "Event": "subscribe_msg_sent_event",
                "SubscribeMsgSentEvent": {"List": row},
            }
        for _ in range(1 + self.knobs.receipt_repeats):
            self._push({**head, **tail}, delay=self.judge.receipt_delay())

    def _push(self, fields: Mapping[str, Any], *, delay: float = 0) -> None:
        if not self.knobs.receipt_url:
            return
        document = document_of(fields)

        def build() -> wire.HttpRequest:
            return self.seal.post(self.knobs.receipt_url, document, at=int(self._wall()))

        report = reports.Report(
            build=build, retries=_RETRIES, retry_delay=lambda: self.knobs.receipt_retry_delay
        )
        self.reporter.schedule(delay, replace(report, total_timeout=5.0))
