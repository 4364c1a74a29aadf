"""A MaaP platform for 5G messages, as it looks from outside.

Send: https://support.huaweicloud.com/api-messageover5g/messageover5g_05_0006.html
Reports: https://support.huaweicloud.com/api-messageover5g/messageover5g_05_0010.html
What answers look like is not documented: this one gives `messageId`, and a text for errors.

Magic numbers: those of `magic.PHONES`, also as mobiles at home (see `mainland`).
"""

import hmac
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Unpack

import orjson
from aiohttp import web

from gateway.model import wire
from gateway.sandbox import base, control, mainland, rcs_5g_rules, reports
from gateway.sandbox.log import Arrival, find_reference
from gateway.sandbox.magic import Fate

#: What it is built with unless told otherwise; no real account has them.
APP_ID = "sandbox-app"
PASSWORD = "sandbox-password"
CHATBOT = "sip:10655000000001@botplatform.rcs.chinamobile.com"
CALLBACK_USERNAME = "sandbox-chatbot"
CALLBACK_PASSWORD = "sandbox-callback"

#: What one number brings upon the whole call, first things first.
_WHOLE: Mapping[Fate, int] = {
    Fate.HUNG: 200,
    Fate.CREDENTIAL: 403,
    Fate.TEMPORARY: 503,
    Fate.THROTTLED: 429,
    Fate.RECIPIENT: 400,
    Fate.PERMANENT: 400,
    Fate.LOST: 200,
}
#: (deliveryStatus, description) by what a report is to tell, those before it first.
_REPORTS: Mapping[wire.ReceiptEvent, Sequence[tuple[str, str]]] = {
    wire.ReceiptEvent.SENT: [("MessageSent", "")],
    wire.ReceiptEvent.DELIVERED: [("MessageSent", ""), ("DeliveredToTerminal", "UP2")],
    wire.ReceiptEvent.READ: [("DeliveredToTerminal", "UP2"), ("MessageDisplayed", "")],
    wire.ReceiptEvent.FAILED: [("DeliveryImpossible", "800")],
    wire.ReceiptEvent.EXPIRED: [("Revoked", "")],
    wire.ReceiptEvent.OPTED_OUT: [("DeliveryImpossible", "SVC0003")],
    wire.ReceiptEvent.BOUNCED: [("DeliveredToNetwork", "SMS")],
    wire.ReceiptEvent.UNKNOWN: [("SandboxUnheardOf", "")],
}
#: How often it reports again is not documented.
_RETRIES = 3
#: What a platform puts after the address that it was given.
_DELIVERY = "/openchatbot/v2/DeliveryInfoNotification"
_STATUS = "/openchatbot/v2/MessageStatusNotification"


class Rcs5gSimulator(base.HttpSimulator):
    """One chatbot."""

    kind: ClassVar[str] = "rcs_5g"

    def __init__(
        self,
        *,
        app_id: str = APP_ID,
        password: str = PASSWORD,
        chatbot: str = CHATBOT,
        callback_username: str = CALLBACK_USERNAME,
        callback_password: str = CALLBACK_PASSWORD,
        **options: Unpack[base.Options],
    ) -> None:
        super().__init__(**options)
        self.chatbot = chatbot
        self._pair = rcs_5g_rules.pair(app_id, password).encode()
        self._callback_pair = rcs_5g_rules.pair(callback_username, callback_password)

    def write(self, phone: str, text: str, *, content_type: str = "text/plain") -> str:
        """Bring what somebody wrote to the chatbot, if there is where to; the id of it."""
        id = str(uuid.uuid4())
        message = {
            "destinationAddress": [self.chatbot],
            "senderAddress": f"tel:{phone}",
            "contentType": content_type,
            "bodyText": text,
            "conversationID": str(uuid.uuid4()),
            "contributionID": id,
        }
        self._post("", 0, message)
        return id

    def _routes(self) -> Sequence[web.RouteDef]:
        return [web.post("/openchatbot/v2/{chatbot}/outbound", self._send)]

    async def _send(self, request: web.Request) -> web.StreamResponse:
        offered = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(offered, self._pair):
            return _refusal(401, "unauthorized")
        if request.match_info["chatbot"] != self.chatbot:
            return _refusal(403, "not your chatbot")
        body, at = await request.read(), self.now()
        found = rcs_5g_rules.read(body, self.chatbot)
        if isinstance(found, str):
            self.log.add(Arrival(at=at, fate=Fate.INVALID, answer=found))
            return _refusal(400, found)
        phones = rcs_5g_rules.phones(found)
        if any(self.judge.throttled() for _ in phones):
            fate = Fate.THROTTLED
        else:
            fates = [self.judge.draw(mainland.magic_of(phone)) for phone in phones]
            fate = next((one for one in _WHOLE if one in fates), Fate.TAKEN)
        taken = fate in (Fate.TAKEN, Fate.LOST)
        id = str(uuid.uuid4()) if taken else ""
        status = _WHOLE.get(fate, 200)
        for phone in phones:
            self._record(found, phone, at=at, fate=fate, answer=str(status), id=id)
        if not taken:
            answer = _refusal(status, fate, base.retry_header(self.knobs))
            return await self.conclude(request, fate, answer)
        for phone in phones:
            self._report(found, phone, id)
        return await self.conclude(request, fate, control.json_response({"messageId": id}))

    def _record(
        self, found: Mapping[str, Any], phone: str, *, at: float, fate: Fate, answer: str, id: str
    ) -> None:
        message = found["outboundIMMessage"]
        arrival = Arrival(
            at=at,
            id=id,
            reference=find_reference(str(found.get("clientCorrelator", ""))),
            to=phone,
            fate=fate,
            answer=answer,
            content={name: message[name] for name in ("contentType", "bodyText")},
        )
        self.log.add(arrival)

    def _report(self, found: Mapping[str, Any], phone: str, id: str) -> None:
        event = self.judge.receipt(mainland.magic_of(phone))
        if event is None:
            return
        delay = self.judge.receipt_delay()
        for status, description in _REPORTS.get(event, ()):
            told = {"address": f"tel:{phone}", "messageId": id}
            link = [{"rel": "OutboundMessageRequest", "href": f"{self.url}/requests/{id}"}]
            if status == "Revoked":
                self._post(_STATUS, delay, {**told, "status": status, "link": link})
            elif rcs_5g_rules.wants(found, status):
                info = {"deliveryStatus": status, "description": description, "text": ""}
                self._post(_DELIVERY, delay, {"deliveryInfo": {**told, **info}, "link": link})

    def _post(self, path: str, delay: float, value: Mapping[str, Any]) -> None:
        if not self.knobs.receipt_url:
            return

        def build() -> wire.HttpRequest:
            headers = {
                "Authorization": self._callback_pair,
                "Content-Type": "application/json",
                "traceUniqueID": f"{uuid.uuid4().int % 10**30:030d}",
            }
            return wire.HttpRequest(
                method="POST",
                url=self.knobs.receipt_url + path,
                headers=headers,
                body=orjson.dumps(value),
            )

        report = reports.Report(
            build=build, retries=_RETRIES, retry_delay=lambda: self.knobs.receipt_retry_delay
        )
        for _ in range(1 + self.knobs.receipt_repeats):
            self.reporter.schedule(delay, report)


def _refusal(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    answer = control.json_response({"error": text}, status=status)
    if status in (429, 503):
        answer.headers.update(headers or {})
    return answer
