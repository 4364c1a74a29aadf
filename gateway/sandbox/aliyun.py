"""Alibaba Cloud SMS, as it looks from outside.

Send: https://help.aliyun.com/document_detail/419273.html. Reports:
https://help.aliyun.com/document_detail/101867.html; replies: 101847. A batch is taken or refused
as one. Magic numbers: those of `magic.PHONES`, also as mobiles at home (see `mainland`).
"""

import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar, Unpack

from aiohttp import web

from gateway.model import wire
from gateway.sandbox import aliyun_rules, base, control, mainland
from gateway.sandbox.log import Arrival, find_reference
from gateway.sandbox.magic import Fate

#: What it is built with unless told otherwise; no real account has them.
ACCESS_KEY_ID = "sandbox-access-key"
ACCESS_KEY_SECRET = "sandbox-access-key-secret"
SIGNS = ("Example",)
TEMPLATES: Mapping[str, Collection[str]] = {"SMS_123456789": ("code",)}

_CODES: Mapping[Fate, str] = {
    Fate.TEMPORARY: "isp.SYSTEM_ERROR",
    Fate.THROTTLED: "isv.BUSINESS_LIMIT_CONTROL",
    Fate.PERMANENT: "isv.BLACK_KEY_CONTROL_LIMIT",
    Fate.RECIPIENT: "isv.MOBILE_NUMBER_ILLEGAL",
    Fate.CREDENTIAL: "InvalidAccessKeyId.Inactive",
}
#: Twilio's code of a number that has opted out, by which `magic` tells it.
_STOPPED = "21610"
_OPTED_OUT = "isv.CUSTOMER_REFUSED"
#: (success, err_code, err_msg) by what a report is to tell.
_REPORTS: Mapping[wire.ReceiptEvent, tuple[bool, str, str]] = {
    wire.ReceiptEvent.ACCEPTED: (False, "REQUEST_SUCCESS", "请求成功"),
    wire.ReceiptEvent.SENT: (False, "REQUEST_SUCCESS", "请求成功"),
    wire.ReceiptEvent.DELIVERED: (True, "DELIVERED", "用户接收成功"),
    wire.ReceiptEvent.READ: (True, "DELIVERED", "用户接收成功"),
    wire.ReceiptEvent.FAILED: (False, "MOBILE_NOT_ON_SERVICE", "用户停机"),
    wire.ReceiptEvent.EXPIRED: (False, "MOBLLE_TERMINAL_ERROR", "手机终端问题"),
    wire.ReceiptEvent.OPTED_OUT: (False, "MOBILE_IN_BLACK", "手机号在黑名单"),
    wire.ReceiptEvent.BOUNCED: (False, "INVALID_NUMBER", "号码状态异常"),
    wire.ReceiptEvent.COMPLAINED: (True, "DELIVERED", "用户接收成功"),
    wire.ReceiptEvent.UNKNOWN: (False, "SANDBOX_UNHEARD_OF", "未知"),
}
#: Tries of a push after the first, 1, 5 and 10 minutes apart in reality.
_RETRIES = 3


class AliyunSimulator(base.HttpSimulator):
    """One account with its key, approved signatures and templates."""

    kind: ClassVar[str] = "aliyun"

    def __init__(
        self,
        *,
        access_key_id: str = ACCESS_KEY_ID,
        access_key_secret: str = ACCESS_KEY_SECRET,
        signs: Collection[str] = SIGNS,
        templates: Mapping[str, Collection[str]] = TEMPLATES,
        wall: Callable[[], float] = time.time,
        **options: Unpack[base.Options],
    ) -> None:
        """wall: seconds since the epoch, by which requests are dated."""
        super().__init__(**options)
        self._keys = {access_key_id: access_key_secret}
        self._approved = aliyun_rules.Approved(signs=signs, templates=templates)
        self._nonces: set[str] = set()
        self._wall = wall

    def reply(self, phone: str, text: str, *, dest_code: str = "10690000") -> None:
        """Push what somebody wrote to a sender of the account, if there is where to."""
        row = {
            "phone_number": phone.removeprefix("+86"),
            "content": text,
            "send_time": mainland.local_time(self._wall()),
            "dest_code": dest_code,
            "sequence_id": str(uuid.uuid4().int % 10**10),
        }
        if self.knobs.receipt_url:
            self.reporter.schedule(0, mainland.report(self.knobs, lambda: [row], retries=_RETRIES))

    def _routes(self) -> Sequence[web.RouteDef]:
        return [web.post("/", self._answer)]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        received = aliyun_rules.Received(
            query=request.rel_url.raw_query_string,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.read(),
        )
        at, now = self.now(), self._wall()
        if code := aliyun_rules.signature_fault(received, self._keys, self._nonces, now=now):
            return self._error(code)
        sends = aliyun_rules.read(received, self._approved)
        out_id = received.parameters.get("OutId", "")
        if isinstance(sends, str):
            self.log.add(_arrival(None, out_id, at=at, fate=Fate.INVALID, answer=sends))
            return self._error(sends)
        fate, code = self._decide(sends)
        biz_id = f"{uuid.uuid4().int % 10**18:018d}^0" if code == "OK" else ""
        for send in sends:
            self.log.add(_arrival(send, out_id, at=at, fate=fate, answer=code, id=biz_id))
        if biz_id:
            self._report(sends, biz_id, out_id)
        answer = self._taken(biz_id) if biz_id else self._error(code)
        return await self.conclude(request, fate, answer)

    def _decide(self, sends: Sequence[aliyun_rules.Send]) -> tuple[Fate, str]:
        """The fate of a whole call, and the code of its answer: the first that is not good."""
        if any(self.judge.throttled() for _ in sends):
            return Fate.THROTTLED, "Throttling.User"
        lost = False
        for send in sends:
            magic = mainland.magic_of(aliyun_rules.e164(send.phone))
            fate = self.judge.draw(magic)
            lost = lost or fate is Fate.LOST
            if fate is Fate.HUNG:
                return fate, ""
            if fate in _CODES:
                return fate, _OPTED_OUT if magic.code == _STOPPED else _CODES[fate]
        return (Fate.LOST if lost else Fate.TAKEN), "OK"

    def _taken(self, biz_id: str) -> web.Response:
        return control.json_response(
            {"Message": "OK", "RequestId": _request_id(), "Code": "OK", "BizId": biz_id}
        )

    def _error(self, code: str) -> web.Response:
        answer = {"RequestId": _request_id(), "Code": code}
        if code not in aliyun_rules.GATEWAY and not code.startswith("Missing"):
            text = aliyun_rules.TEXTS.get(code, code)
            return control.json_response({"Message": text, **answer})
        status, text = aliyun_rules.GATEWAY.get(
            code, (400, f"{code.removeprefix('Missing')} is mandatory for this action.")
        )
        response = control.json_response(
            {**answer, "HostId": "dysmsapi.aliyuncs.com", "Message": text}, status=status
        )
        if code == "Throttling.User" and self.knobs.retry_after is not None:
            response.headers["x-acs-retry-after"] = str(round(self.knobs.retry_after * 1000))
        return response

    def _report(self, sends: Sequence[aliyun_rules.Send], biz_id: str, out_id: str) -> None:
        """One push for all numbers of a call that are reported on."""
        told = []
        for send in sends:
            magic = mainland.magic_of(aliyun_rules.e164(send.phone))
            if event := self.judge.receipt(magic):
                told.append((send.phone, event))
        if not told or not self.knobs.receipt_url:
            return
        sent = self._wall()

        def build() -> list[dict[str, Any]]:
            times = (sent, self._wall())
            return [_row(phone, event, biz_id, out_id, times) for phone, event in told]

        delay = self.judge.receipt_delay()
        for _ in range(1 + self.knobs.receipt_repeats):
            self.reporter.schedule(delay, mainland.report(self.knobs, build, retries=_RETRIES))


def _arrival(
    send: aliyun_rules.Send | None,
    out_id: str,
    *,
    at: float,
    fate: Fate,
    answer: str,
    id: str = "",
) -> Arrival:
    """send: None for a request that could not be read."""
    return Arrival(
        at=at,
        id=id,
        reference=find_reference(out_id),
        to=aliyun_rules.e164(send.phone) if send else "",
        fate=fate,
        answer=answer,
        content={"sign": send.sign, "params": send.params} if send else {},
    )


def _request_id() -> str:
    return str(uuid.uuid4()).upper()


def _row(
    phone: str, event: wire.ReceiptEvent, biz_id: str, out_id: str, times: tuple[float, float]
) -> dict[str, Any]:
    """One entry of SmsReport. times: when it was sent and when it is reported."""
    success, code, text = _REPORTS[event]
    row = {
        "phone_number": aliyun_rules.e164(phone).removeprefix("+86").removeprefix("+"),
        "send_time": mainland.local_time(times[0]),
        "report_time": mainland.local_time(times[1]),
        "success": success,
        "err_code": code,
        "err_msg": text,
        "sms_size": "1",
        "biz_id": biz_id,
    }
    return {**row, "out_id": out_id} if out_id else row
