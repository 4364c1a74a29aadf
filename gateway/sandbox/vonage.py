"""Vonage's Messages API v1, as it looks from outside: text by SMS and RCS.

Send: https://developer.vonage.com/api/messages. Webhooks:
https://developer.vonage.com/messages/concepts/messages-status-callbacks. Magic numbers:
`magic.PHONES`, with the codes that Vonage has for such a fate.

Status webhooks go to the message's `webhook_url`, else to the knob `receipt_url`, which stands for
the application's own; accounts that send without an application get none.
"""

import asyncio
import base64
import hmac
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any, ClassVar, Unpack

import orjson
from aiohttp import web

from gateway.model import wire
from gateway.sandbox import base, control, reports, vonage_rules, vonage_tokens
from gateway.sandbox.log import Arrival, find_reference
from gateway.sandbox.magic import ORDINARY, PHONES, Fate

#: What it is built with unless told otherwise; no real account has them.
APPLICATION_ID = "00000000-0000-4000-8000-000000000001"
API_KEY, API_SECRET = "sandbox1", "SandboxSecret1"
SIGNATURE_SECRET = "signature secret of the sandbox, long enough"

#: The code of each fate.
_CODES: Mapping[Fate, str] = {
    Fate.TEMPORARY: "1030",
    Fate.THROTTLED: "rate-limit",
    Fate.PERMANENT: "1040",
    Fate.RECIPIENT: "1170",
    Fate.CREDENTIAL: "unauthorized",
}
#: Statuses of a message by what its receipt is to tell, each with the code of its error.
_COURSES: Mapping[wire.ReceiptEvent, Sequence[tuple[str, str]]] = {
    wire.ReceiptEvent.ACCEPTED: (),
    wire.ReceiptEvent.SENT: (("submitted", ""),),
    wire.ReceiptEvent.DELIVERED: (("submitted", ""), ("delivered", "")),
    wire.ReceiptEvent.READ: (("submitted", ""), ("delivered", ""), ("read", "")),
    wire.ReceiptEvent.FAILED: (("submitted", ""), ("undeliverable", "1180")),
    wire.ReceiptEvent.EXPIRED: (("submitted", ""), ("rejected", "1360")),
    wire.ReceiptEvent.OPTED_OUT: (("rejected", "1240"),),
    wire.ReceiptEvent.BOUNCED: (("submitted", ""), ("undeliverable", "1190")),
    wire.ReceiptEvent.COMPLAINED: (("submitted", ""), ("delivered", "")),
    wire.ReceiptEvent.UNKNOWN: (("submitted", ""), ("sandbox_unheard_of", "")),
}
#: Tries of a webhook after the first; Vonage goes on for a day.
_RETRIES = 5


class VonageSimulator(base.HttpSimulator):
    """One account with one application, whose key is made at the start."""

    kind: ClassVar[str] = "vonage"

    def __init__(
        self,
        *,
        application_id: str = APPLICATION_ID,
        api_key: str = API_KEY,
        api_secret: str = API_SECRET,
        signature_secret: str = SIGNATURE_SECRET,
        **options: Unpack[base.Options],
    ) -> None:
        super().__init__(**options)
        self.application_id = application_id
        self.api_key = api_key
        self.signature_secret = signature_secret
        credentials = base64.b64encode(f"{api_key}:{api_secret}".encode()).decode()
        self._basic = f"Basic {credentials}".encode()

    def private_key(self) -> str:
        """The application's, PEM. Known once the simulator is entered."""
        return self._application.private_key()

    async def _start(self, stack: AsyncExitStack) -> Callable[[], asyncio.BaseProtocol]:
        self._application = await asyncio.to_thread(vonage_tokens.Application, self.application_id)
        return await super()._start(stack)

    def _routes(self) -> Sequence[web.RouteDef]:
        return [web.post("/v1/messages", self._send)]

    async def _send(self, request: web.Request) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        by_application = self._application.admits(given.removeprefix("Bearer "))
        basic = given.encode("utf-8", "surrogateescape")
        if not by_application and not hmac.compare_digest(basic, self._basic):
            return self._problem("unauthorized")
        body, at = _readable(await request.read()), self.now()
        code, parameter = vonage_rules.fault(body)
        if code:
            self._record(body, at=at, fate=Fate.INVALID, answer=code)
            return self._problem(code, parameter)
        magic = PHONES.get(f"+{body['to']}", ORDINARY)
        fate = self.judge.decide(magic)
        if fate in (Fate.TAKEN, Fate.LOST, Fate.HUNG):
            id = "" if fate is Fate.HUNG else str(uuid.uuid4())
            self._record(body, at=at, fate=fate, answer="202", id=id)
            if id and by_application and (event := self.judge.receipt(magic)):
                self._report(body, id, event)
            answer = control.json_response({"message_uuid": id}, status=202)
            return await self.conclude(request, fate, answer)
        code = _CODES[fate]
        self._record(body, at=at, fate=fate, answer=code)
        return await self.conclude(request, fate, self._problem(code))

    def write(self, sender: str, text: str, *, to: str, url: str = "") -> str:
        """Somebody writes to a number of the account; the id of what they wrote.

        url: the application's for inbound messages; empty: the knob `receipt_url`.
        """
        id = str(uuid.uuid4())
        message = {
            "channel": "sms",
            "message_uuid": id,
            "to": to.removeprefix("+"),
            "from": sender.removeprefix("+"),
            "timestamp": _now(),
            "text": text,
            "sms": {"num_messages": "1", "keyword": (text.split() or [""])[0].upper()},
            "usage": {"currency": "EUR", "price": "0.0000"},
        }
        self._post(url or self.knobs.receipt_url, message, delay=0.0)
        return id

    def _record(
        self, body: Mapping[str, Any], *, at: float, fate: Fate, answer: str, id: str = ""
    ) -> None:
        self.log.add(
            Arrival(
                at=at,
                id=id,
                reference=find_reference(str(body.get("client_ref", ""))),
                to=f"+{body.get('to', '')}",
                fate=fate,
                answer=answer,
                content=body,
            )
        )

    def _report(self, body: Mapping[str, Any], id: str, event: wire.ReceiptEvent) -> None:
        url = body.get("webhook_url") or self.knobs.receipt_url
        course, delay = _COURSES[event], self.judge.receipt_delay()
        for index, (status, code) in enumerate(course, 1):
            report = {
                "message_uuid": id,
                "to": body["to"],
                "from": body["from"],
                "timestamp": _now(),
                "status": status,
                "channel": body["channel"],
            }
            if "client_ref" in body:
                report["client_ref"] = body["client_ref"]
            if code:
                report["error"] = _error(code)
            for _ in range(1 + self.knobs.receipt_repeats):
                self._post(url, report, delay=delay * index / len(course))

    def _post(self, url: str, report: Mapping[str, Any], *, delay: float) -> None:
        """Signed anew at each try."""
        if not url:
            return
        body = orjson.dumps(report)

        def build() -> wire.HttpRequest:
            token = vonage_tokens.webhook(
                self.signature_secret,
                body,
                application_id=self.application_id,
                api_key=self.api_key,
                issued=int(time.time()),
            )
            headers = {"Content-Type": "application/json", "Authorization": token}
            return wire.HttpRequest(method="POST", url=url, headers=headers, body=body)

        self.reporter.schedule(
            delay,
            reports.Report(
                build=build, retries=_RETRIES, retry_delay=lambda: self.knobs.receipt_retry_delay
            ),
        )

    def _problem(self, code: str, parameter: str = "") -> web.Response:
        status, body = vonage_rules.problem(code, parameter)
        answer = control.json_response(body, status=status)
        answer.content_type = "application/problem+json"
        if status == 429:
            answer.headers.update(base.retry_header(self.knobs))
        return answer


def _error(code: str) -> dict[str, str]:
    return {
        "type": f"https://developer.vonage.com/api-errors/messages#{code}",
        "title": code,
        "detail": "As the sandbox was told",
        "instance": uuid.uuid4().hex,
    }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _readable(data: bytes) -> Mapping[str, Any]:
    """The message; empty when it is no JSON object, which lacks everything."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
