"""Twilio Programmable Messaging, as it looks from outside.

Send: https://www.twilio.com/docs/messaging/api/message-resource. Callbacks:
https://www.twilio.com/docs/messaging/guides/outbound-message-status-in-status-callbacks. Magic
numbers: `magic.PHONES`, and for From those of https://www.twilio.com/docs/iam/test-credentials.
"""

import base64
import hmac
import time
import uuid
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from typing import Any, ClassVar, Unpack

from aiohttp import web

from gateway.model import wire
from gateway.sandbox import base, control, twilio_callbacks, twilio_rules
from gateway.sandbox.log import Arrival, find_reference
from gateway.sandbox.magic import ORDINARY, PHONES, Fate

#: What it is built with unless told otherwise; no real account has them.
ACCOUNT_SID = "AC" + "0" * 31 + "1"
AUTH_TOKEN = "0123456789abcdef" * 2

#: The code of each fate, unless the number has one of its own.
_CODES: Mapping[Fate, int] = {
    Fate.TEMPORARY: 20500,
    Fate.THROTTLED: 20429,
    Fate.PERMANENT: 21618,
    Fate.RECIPIENT: 21211,
    Fate.CREDENTIAL: 20003,
}


class TwilioSimulator(base.HttpSimulator):
    """Takes messages of one account and reports on them to their `StatusCallback`."""

    kind: ClassVar[str] = "twilio"

    def __init__(
        self,
        *,
        account_sid: str = ACCOUNT_SID,
        auth_token: str = AUTH_TOKEN,
        **options: Unpack[base.Options],
    ) -> None:
        super().__init__(**options)
        self.account_sid = account_sid
        self.auth_token = auth_token
        credentials = base64.b64encode(f"{account_sid}:{auth_token}".encode()).decode()
        self._authorization = f"Basic {credentials}".encode()

    def _routes(self) -> Sequence[web.RouteDef]:
        return [web.post("/2010-04-01/Accounts/{account}/Messages.json", self._send)]

    async def _send(self, request: web.Request) -> web.StreamResponse:
        if code := self._refusal(request):
            return self._error(code)
        form = await request.post()
        fields = {name: str(form[name]) for name in form}
        at = self.now()
        if code := twilio_rules.fault(fields, media=len(form.getall("MediaUrl", ()))):
            self._record(fields, at=at, fate=Fate.INVALID, answer=str(code))
            return self._error(code)
        magic = PHONES.get(fields["To"], ORDINARY)
        fate = self.judge.decide(magic)
        if fate in (Fate.TAKEN, Fate.LOST, Fate.HUNG):
            sid = "" if fate is Fate.HUNG else "SM" + uuid.uuid4().hex
            self._record(fields, at=at, fate=fate, answer="201", sid=sid)
            if sid and (event := self.judge.receipt(magic)):
                self._report(fields, sid, event)
            return await self.conclude(request, fate, self._created(fields, sid))
        code = int(magic.code) if fate is magic.fate and magic.code else _CODES[fate]
        self._record(fields, at=at, fate=fate, answer=str(code))
        return await self.conclude(request, fate, self._error(code))

    def _refusal(self, request: web.Request) -> int:
        """The code of a request that is not from the account; 0 for a good one."""
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, self._authorization):
            return 20003
        return 0 if request.match_info["account"] == self.account_sid else 20404

    def _record(
        self, fields: Mapping[str, str], *, at: float, fate: Fate, answer: str, sid: str = ""
    ) -> None:
        self.log.add(
            Arrival(
                at=at,
                id=sid,
                reference=find_reference(fields.get("StatusCallback", "")),
                to=fields.get("To", ""),
                fate=fate,
                answer=answer,
                content=fields,
            )
        )

    def _report(self, fields: Mapping[str, str], sid: str, event: wire.ReceiptEvent) -> None:
        url = fields.get("StatusCallback")
        if not url:
            return
        callback = twilio_callbacks.Callback(url=url, token=self.auth_token, knobs=self.knobs)
        common = twilio_callbacks.common_fields(fields, self.account_sid, sid)
        delay = self.judge.receipt_delay()
        for share, status, code in twilio_callbacks.steps(fields, event):
            report = callback.report({**common, **twilio_callbacks.status_fields(status, code)})
            for _ in range(1 + self.knobs.receipt_repeats):
                self.reporter.schedule(delay * share, report)

    def write(
        self, sender: str, text: str, *, to: str, url: str = "", opt_out_type: str = ""
    ) -> str:
        """Somebody writes to a number of the account; the sid of what they wrote.

        url: the number's webhook; empty: the knob `receipt_url`.
        """
        fields = twilio_callbacks.inbound_fields(
            self.account_sid, sender=sender, to=to, text=text, opt_out_type=opt_out_type
        )
        callback = twilio_callbacks.Callback(
            url=url or self.knobs.receipt_url, token=self.auth_token, knobs=self.knobs
        )
        self.reporter.schedule(0.0, callback.report(fields))
        return fields["MessageSid"]

    def _created(self, fields: Mapping[str, str], sid: str) -> web.Response:
        return control.json_response(self._resource(fields, sid), status=201)

    def _resource(self, fields: Mapping[str, str], sid: str) -> dict[str, Any]:
        path = f"/2010-04-01/Accounts/{self.account_sid}/Messages/{sid}"
        now = formatdate(time.time(), localtime=False).replace("-0000", "+0000")
        service = fields.get("MessagingServiceSid")
        body = fields.get("Body", "")
        return {
            "sid": sid,
            "account_sid": self.account_sid,
            "messaging_service_sid": service,
            "api_version": "2010-04-01",
            "to": fields["To"],
            "from": fields.get("From"),
            "body": body,
            "direction": "outbound-api",
            "status": twilio_rules.first_status(fields),
            "num_segments": "0" if service else str(twilio_rules.segments(body)),
            "num_media": "0",
            "price": None,
            "price_unit": None,
            "error_code": None,
            "error_message": None,
            "date_created": now,
            "date_updated": now,
            "date_sent": None,
            "uri": path + ".json",
            "subresource_uris": {"media": path + "/Media.json"},
        }

    def _error(self, code: int) -> web.Response:
        status, text = twilio_rules.ERRORS[code]
        answer = control.json_response(
            {
                "code": code,
                "message": text,
                "more_info": f"https://www.twilio.com/docs/errors/{code}",
                "status": status,
            },
            status=status,
        )
        if status == 429:
            answer.headers.update(base.retry_header(self.knobs))
        return answer
