"""A plain JSON service, such as a house's own SMS gateway: no provider in particular.

`POST /v1/send` with `{"to", "text", "ref"}` answers `{"id"}`, or `{"error"}` with a fitting status.
Receipts `{"id", "status"}` go to the knob `receipt_url`, signed by Standard Webhooks when the
simulator has a secret. Magic numbers: `magic.PHONES`.
"""

import hmac
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Unpack

import orjson
from aiohttp import web

from gateway.model import wire
from gateway.sandbox import base, control, reports, webhook_signature
from gateway.sandbox.log import Arrival
from gateway.sandbox.magic import ORDINARY, PHONES, Fate, Magic

#: Words of its receipts.
STATUSES: Mapping[wire.ReceiptEvent, str] = {
    wire.ReceiptEvent.ACCEPTED: "ACCEPTD",
    wire.ReceiptEvent.SENT: "ENROUTE",
    wire.ReceiptEvent.DELIVERED: "DELIVRD",
    wire.ReceiptEvent.READ: "READ",
    wire.ReceiptEvent.FAILED: "UNDELIV",
    wire.ReceiptEvent.EXPIRED: "EXPIRED",
    wire.ReceiptEvent.OPTED_OUT: "REJECTD",
    wire.ReceiptEvent.BOUNCED: "DELETED",
    wire.ReceiptEvent.COMPLAINED: "COMPLAINT",
    wire.ReceiptEvent.UNKNOWN: "UNHEARD",
}

_ERRORS: Mapping[Fate, tuple[int, str]] = {
    Fate.TEMPORARY: (503, "unavailable"),
    Fate.THROTTLED: (429, "too many requests"),
    Fate.PERMANENT: (422, "content refused"),
    Fate.RECIPIENT: (404, "no such recipient"),
    Fate.CREDENTIAL: (401, "unauthorized"),
    Fate.INVALID: (400, "invalid request"),
}

#: Tries of a receipt after the first.
_RETRIES = 5


#: Beginning of addresses of which the receipt comes late.
LATE = "late-"
_LATE = Magic(late=1.2)


class HttpServiceSimulator(base.HttpSimulator):
    """The service, with an optional bearer token and an optional secret for its receipts."""

    kind: ClassVar[str] = "http"

    def __init__(
        self, *, token: str = "", receipt_secret: str = "", **options: Unpack[base.Options]
    ) -> None:
        super().__init__(**options)
        self._authorization = f"Bearer {token}".encode() if token else b""
        self._secret = receipt_secret

    def _routes(self) -> Sequence[web.RouteDef]:
        return [web.post("/v1/send", self._send)]

    async def _send(self, request: web.Request) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if self._authorization and not hmac.compare_digest(given, self._authorization):
            return self._error(Fate.CREDENTIAL)
        body, at = await request.read(), self.now()
        message = _readable(body)
        if message is None:
            self.log.add(Arrival(at=at, fate=Fate.INVALID, answer="400"))
            return self._error(Fate.INVALID)
        magic = _LATE if message["to"].startswith(LATE) else PHONES.get(message["to"], ORDINARY)
        fate = self.judge.decide(magic)
        if fate not in (Fate.TAKEN, Fate.LOST, Fate.HUNG):
            self._record(message, at=at, fate=fate, answer=str(_ERRORS[fate][0]))
            return await self.conclude(request, fate, self._error(fate))
        id = uuid.uuid4().hex
        self._record(message, at=at, fate=fate, answer="200", id=id)
        if fate is not Fate.HUNG and (event := self.judge.receipt(magic)):
            self._report(id, event, late=magic.late)
        return await self.conclude(request, fate, control.json_response({"id": id}))

    def _record(
        self, message: Mapping[str, Any], *, at: float, fate: Fate, answer: str, id: str = ""
    ) -> None:
        self.log.add(
            Arrival(
                at=at,
                id="" if fate is Fate.HUNG else id,
                reference=str(message.get("ref", "")),
                to=message["to"],
                fate=fate,
                answer=answer,
                content=message,
            )
        )

    def _report(self, id: str, event: wire.ReceiptEvent, *, late: float) -> None:
        if not self.knobs.receipt_url:
            return
        report = reports.Report(
            build=self._receipt(id, event),
            retries=_RETRIES,
            retry_delay=lambda: self.knobs.receipt_retry_delay,
        )
        delay = self.judge.receipt_delay() + late
        for _ in range(1 + self.knobs.receipt_repeats):
            self.reporter.schedule(delay, report)

    def _receipt(self, id: str, event: wire.ReceiptEvent) -> Callable[[], wire.HttpRequest]:
        body = orjson.dumps({"id": id, "status": STATUSES[event]})
        webhook_id = f"msg_{uuid.uuid4().hex}"

        def build() -> wire.HttpRequest:
            return wire.HttpRequest(
                method="POST",
                url=self.knobs.receipt_url,
                headers={
                    "Content-Type": "application/json",
                    **self._signed_headers(webhook_id, body),
                },
                body=body,
            )

        return build

    def _signed_headers(self, id: str, body: bytes) -> dict[str, str]:
        if not self._secret:
            return {}
        timestamp = int(time.time())
        return {
            "webhook-id": id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": webhook_signature.sign(
                self._secret, id=id, timestamp=timestamp, body=body
            ),
        }

    def _error(self, fate: Fate) -> web.Response:
        status, text = _ERRORS[fate]
        answer = control.json_response({"error": text}, status=status)
        if status in (429, 503):
            answer.headers.update(base.retry_header(self.knobs))
        return answer


def _readable(body: bytes) -> dict[str, Any] | None:
    """The message, if it says to whom and what."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(value, dict):
        return None
    good = all(isinstance(value.get(name), str) and value[name] for name in ("to", "text"))
    return value if good else None
