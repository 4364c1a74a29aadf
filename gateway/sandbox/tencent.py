"""Tencent Cloud SMS, as it looks from outside.

Send: https://cloud.tencent.com/document/api/382/55981. Reports:
https://cloud.tencent.com/document/product/382/59177; replies:
https://www.tencentcloud.com/document/product/382/43548. Each number of a call has a status of its
own. Magic numbers: those of `magic.PHONES`, also as mobiles at home (see `mainland`).
"""

import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar, Unpack

from aiohttp import web

from gateway.model import wire
from gateway.sandbox import base, control, mainland, tencent_rules
from gateway.sandbox.log import Arrival, find_reference
from gateway.sandbox.magic import Fate
from gateway.sandbox.tencent_rules import Phone

#: What it is built with unless told otherwise; no real account has them.
SECRET_ID = "sandbox-secret-id"
SECRET_KEY = "sandbox-secret-key"
APP_ID = "1400006666"
SIGNS = ("Example",)
#: How many variables each has.
TEMPLATES: Mapping[str, int] = {"1400001": 1}

#: Of one number.
_CODES: Mapping[Fate, str] = {
    Fate.THROTTLED: "LimitExceeded.PhoneNumberThirtySecondLimit",
    Fate.PERMANENT: "FailedOperation.ContainSensitiveWord",
    Fate.RECIPIENT: "InvalidParameterValue.IncorrectPhoneNumber",
}
_OPTED_OUT = "FailedOperation.PhoneNumberInBlacklist"
#: Of a whole call.
_ERRORS: Mapping[Fate, str] = {
    Fate.HUNG: "",
    Fate.THROTTLED: "RequestLimitExceeded",
    Fate.TEMPORARY: "InternalError.Timeout",
    Fate.CREDENTIAL: "AuthFailure.InvalidSecretId",
}
#: What one number brings upon the whole call, first things first.
_WHOLE = (Fate.HUNG, Fate.CREDENTIAL, Fate.TEMPORARY, Fate.LOST)
#: Twilio's code of a number that has opted out, by which `magic` tells it.
_STOPPED = "21610"
#: (report_status, errmsg, description) by what a report is to tell; what is not final is not told.
_REPORTS: Mapping[wire.ReceiptEvent, tuple[str, str, str]] = {
    wire.ReceiptEvent.DELIVERED: ("SUCCESS", "DELIVRD", "用户短信送达成功"),
    wire.ReceiptEvent.READ: ("SUCCESS", "DELIVRD", "用户短信送达成功"),
    wire.ReceiptEvent.FAILED: ("FAIL", "UNDELIV", "短信送达失败"),
    wire.ReceiptEvent.EXPIRED: ("FAIL", "EXPIRED", "短信过期"),
    wire.ReceiptEvent.OPTED_OUT: ("FAIL", "REJECTD", "用户拒收"),
    wire.ReceiptEvent.BOUNCED: ("FAIL", "MK:0001", "空号"),
    wire.ReceiptEvent.COMPLAINED: ("SUCCESS", "DELIVRD", "用户短信送达成功"),
    wire.ReceiptEvent.UNKNOWN: ("SANDBOX_UNHEARD_OF", "UNKNOWN", "未知"),
}
#: How often it pushes again is not documented.
_RETRIES = 3


class TencentSimulator(base.HttpSimulator):
    """One account with its key and an application with approved signatures and templates."""

    kind: ClassVar[str] = "tencent"

    def __init__(
        self,
        *,
        secret_id: str = SECRET_ID,
        secret_key: str = SECRET_KEY,
        app_id: str = APP_ID,
        signs: Collection[str] = SIGNS,
        templates: Mapping[str, int] = TEMPLATES,
        wall: Callable[[], float] = time.time,
        **options: Unpack[base.Options],
    ) -> None:
        """wall: seconds since the epoch, by which requests are dated."""
        super().__init__(**options)
        self._keys = {secret_id: secret_key}
        self._own = tencent_rules.Account(app_id=app_id, signs=signs, templates=templates)
        self._wall = wall

    def reply(self, phone: str, text: str, *, sign: str = "Example", extend: str = "") -> None:
        """Push what somebody wrote to a sender of the account, if there is where to."""
        to = tencent_rules.phone(phone)
        row = {
            "extend": extend,
            "mobile": to.mobile,
            "nationcode": to.nation,
            "sign": sign,
            "text": text,
            "time": int(self._wall()),
        }
        if self.knobs.receipt_url:
            self.reporter.schedule(0, mainland.report(self.knobs, lambda: row, retries=_RETRIES))

    def _routes(self) -> Sequence[web.RouteDef]:
        return [web.post("/", self._answer)]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        received = tencent_rules.Received(
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.read(),
        )
        at = self.now()
        if code := tencent_rules.signature_fault(received, self._keys, now=self._wall()):
            return _error(code)
        fields = tencent_rules.read(received, self._own)
        if isinstance(fields, str):
            self.log.add(Arrival(at=at, fate=Fate.INVALID, answer=fields))
            return _error(fields)
        phones = [tencent_rules.phone(one) for one in fields["PhoneNumberSet"]]
        if any(self.judge.throttled() for _ in phones):
            return await self._turn_down(request, fields, Fate.THROTTLED, at=at)
        fates = [self.judge.draw(mainland.magic_of(to.e164)) for to in phones]
        whole = next((one for one in _WHOLE if one in fates), Fate.TAKEN)
        if whole not in (Fate.TAKEN, Fate.LOST):
            return await self._turn_down(request, fields, whole, at=at)
        rows = [
            self._send(fields, to, whole if fate is Fate.TAKEN else fate, at=at)
            for to, fate in zip(phones, fates, strict=True)
        ]
        self._report(list(zip(phones, rows, strict=True)))
        answer = {"SendStatusSet": rows, "RequestId": str(uuid.uuid4())}
        return await self.conclude(request, whole, control.json_response({"Response": answer}))

    async def _turn_down(
        self, request: web.Request, fields: Mapping[str, Any], fate: Fate, *, at: float
    ) -> web.StreamResponse:
        """The whole call."""
        code = _ERRORS[fate]
        for given in fields["PhoneNumberSet"]:
            self._record(fields, tencent_rules.phone(given), at=at, fate=fate, answer=code)
        return await self.conclude(request, fate, _error(code))

    def _send(
        self, fields: Mapping[str, Any], to: Phone, fate: Fate, *, at: float
    ) -> dict[str, Any]:
        """The status of one number."""
        code = tencent_rules.refusal(fields, to, self._own)
        if code:
            fate = Fate.INVALID
        elif fate in _CODES:
            magic = mainland.magic_of(to.e164)
            code = _OPTED_OUT if magic.code == _STOPPED else _CODES[fate]
        serial = "" if code else f"5000:{uuid.uuid4().int % 10**28:028d}"
        self._record(fields, to, at=at, fate=fate, answer=code or "Ok", id=serial)
        return {
            "SerialNo": serial,
            "PhoneNumber": to.e164 or to.given,
            "Fee": 0 if code else 1,
            "SessionContext": fields.get("SessionContext", ""),
            "Code": code or "Ok",
            "Message": tencent_rules.TEXTS.get(code or "Ok", code),
            "IsoCode": to.iso,
        }

    def _record(
        self,
        fields: Mapping[str, Any],
        to: Phone,
        *,
        at: float,
        fate: Fate,
        answer: str,
        id: str = "",
    ) -> None:
        reference = find_reference(fields.get("SessionContext", ""))
        content = {
            name: fields.get(name) for name in ("SignName", "TemplateId", "TemplateParamSet")
        }
        arrival = Arrival(
            at=at,
            id=id,
            reference=reference,
            to=to.e164 or to.given,
            fate=fate,
            answer=answer,
            content=content,
        )
        self.log.add(arrival)

    def _report(self, sent: Sequence[tuple[Phone, Mapping[str, Any]]]) -> None:
        """One push for all numbers of a call that are reported on."""
        told = []
        for to, row in sent:
            event = self.judge.receipt(mainland.magic_of(to.e164)) if row["SerialNo"] else None
            if event is not None and event in _REPORTS:
                told.append((to, row["SerialNo"], _REPORTS[event]))
        if not told or not self.knobs.receipt_url:
            return

        def build() -> list[dict[str, str]]:
            at = mainland.local_time(self._wall())
            return [_row(to, sid, words, at) for to, sid, words in told]

        delay = self.judge.receipt_delay()
        for _ in range(1 + self.knobs.receipt_repeats):
            self.reporter.schedule(delay, mainland.report(self.knobs, build, retries=_RETRIES))


def _row(to: Phone, sid: str, words: tuple[str, str, str], at: str) -> dict[str, str]:
    """One entry of the status push."""
    status, code, text = words
    return {
        "user_receive_time": at,
        "nationcode": to.nation,
        "mobile": to.mobile,
        "report_status": status,
        "errmsg": code,
        "description": text,
        "sid": sid,
    }


def _error(code: str) -> web.Response:
    """An answer about the whole call; its status is 200, as that of all answers."""
    error = {"Code": code, "Message": tencent_rules.TEXTS.get(code, code)}
    return control.json_response({"Response": {"Error": error, "RequestId": str(uuid.uuid4())}})
