"""Vonage's SMS API, as it looks from outside: HTTP 200 whatever happened, a status a segment.

Send: https://developer.vonage.com/api/sms. Receipts:
https://developer.vonage.com/messaging/sms/guides/delivery-receipts. Magic numbers: `magic.PHONES`,
with the statuses that Vonage has for such a fate.

Receipts go to the message's `callback`, else to the knob `receipt_url`, which stands for the
account's own; as JSON, signed, one for each segment.
"""

import base64
import hashlib
import hmac
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Unpack

import orjson
from aiohttp import web

from gateway.model import wire
from gateway.sandbox import base, control, reports, vonage_sms_rules
from gateway.sandbox.log import Arrival, find_reference
from gateway.sandbox.magic import ORDINARY, PHONES, Fate

#: What it is built with unless told otherwise; no real account has them.
API_KEY, API_SECRET = "sandbox2", "SandboxSecret2"
SIGNATURE_SECRET = "signature secret of the sandbox, long enough"

#: The status of each fate.
_CODES: Mapping[Fate, str] = {
    Fate.TEMPORARY: "5",
    Fate.THROTTLED: "1",
    Fate.PERMANENT: "6",
    Fate.RECIPIENT: "33",
    Fate.CREDENTIAL: "4",
}
#: Status and err-code of the last receipt, by what it is to tell.
_ENDS: Mapping[wire.ReceiptEvent, tuple[str, str]] = {
    wire.ReceiptEvent.ACCEPTED: ("accepted", "0"),
    wire.ReceiptEvent.SENT: ("buffered", "0"),
    wire.ReceiptEvent.DELIVERED: ("delivered", "0"),
    wire.ReceiptEvent.READ: ("delivered", "0"),
    wire.ReceiptEvent.FAILED: ("failed", "2"),
    wire.ReceiptEvent.EXPIRED: ("expired", "1"),
    wire.ReceiptEvent.OPTED_OUT: ("rejected", "9"),
    wire.ReceiptEvent.BOUNCED: ("failed", "3"),
    wire.ReceiptEvent.COMPLAINED: ("delivered", "0"),
    wire.ReceiptEvent.UNKNOWN: ("unknown", "0"),
}
#: Tries of a webhook after the first; Vonage goes on for a day.
_RETRIES = 5


class VonageSmsSimulator(base.HttpSimulator):
    """One account. Requests prove it by Basic, by the pair in the form, or by their signature."""

    kind: ClassVar[str] = "vonage_sms"

    def __init__(
        self,
        *,
        api_key: str = API_KEY,
        api_secret: str = API_SECRET,
        signature_secret: str = SIGNATURE_SECRET,
        signature_method: str = "sha256",
        **options: Unpack[base.Options],
    ) -> None:
        super().__init__(**options)
        self.api_key = api_key
        self.signature_secret = signature_secret
        self._api_secret = api_secret
        self._method = signature_method

    def _routes(self) -> Sequence[web.RouteDef]:
        return [web.post("/sms/json", self._send)]

    async def _send(self, request: web.Request) -> web.StreamResponse:
        posted = await request.post()
        fields = {name: str(posted[name]) for name in posted}
        if code := self._refusal(request, fields):
            return _answer([{"status": code, "error-text": vonage_sms_rules.TEXTS[code]}])
        at = self.now()
        if code := vonage_sms_rules.fault(fields):
            self._record(fields, at=at, fate=Fate.INVALID, answer=code)
            return _answer([{"status": code, "error-text": vonage_sms_rules.TEXTS[code]}])
        magic = PHONES.get(f"+{fields['to']}", ORDINARY)
        fate = self.judge.decide(magic)
        if fate in (Fate.TAKEN, Fate.LOST, Fate.HUNG):
            ids = [uuid.uuid4().hex[:16].upper() for _ in range(vonage_sms_rules.segments(fields))]
            taken = fate is not Fate.HUNG
            self._record(fields, at=at, fate=fate, answer="0", id=ids[0] if taken else "")
            if taken and (event := self.judge.receipt(magic)):
                self._report(fields, ids, event)
            answer = _answer([_segment(fields, one) for one in ids])
            return await self.conclude(request, fate, answer)
        code = _CODES[fate]
        self._record(fields, at=at, fate=fate, answer=code)
        refused = _answer([{"status": code, "error-text": vonage_sms_rules.TEXTS[code]}])
        return await self.conclude(request, fate, refused)

    def _refusal(self, request: web.Request, fields: Mapping[str, str]) -> str:
        """The status of a request that is not from the account; empty for a good one."""
        if "sig" in fields:
            if "api_secret" in fields or "Authorization" in request.headers:
                return "32"
            expected = signature(fields, self.signature_secret, self._method)
            recent = fields.get("timestamp", "").isdecimal() and _is_recent(fields["timestamp"])
            ours = fields.get("api_key") == self.api_key and recent
            good = hmac.compare_digest(fields["sig"].lower().encode(), expected.encode())
            return "" if ours and good else "14"
        pair = f"{fields.get('api_key', '')}:{fields.get('api_secret', '')}"
        given = request.headers.get("Authorization", "Basic " + _base64(pair))
        expected = "Basic " + _base64(f"{self.api_key}:{self._api_secret}")
        good = hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode())
        return "" if good else "4"

    def write(self, sender: str, text: str, *, to: str, url: str = "") -> str:
        """Somebody writes to a number of the account; the id of what they wrote.

        url: the account's for inbound messages; empty: the knob `receipt_url`.
        """
        id = uuid.uuid4().hex[:16].upper()
        fields = {
            "api-key": self.api_key,
            "msisdn": sender.removeprefix("+"),
            "to": to.removeprefix("+"),
            "messageId": id,
            "text": text,
            "type": "text" if text.isascii() else "unicode",
            "keyword": (text.split() or [""])[0].upper(),
            "message-timestamp": _now(),
        }
        self._post(url or self.knobs.receipt_url, fields, delay=0.0)
        return id

    def _record(
        self, fields: Mapping[str, str], *, at: float, fate: Fate, answer: str, id: str = ""
    ) -> None:
        content = {name: fields[name] for name in fields if name not in ("api_secret", "sig")}
        self.log.add(
            Arrival(
                at=at,
                id=id,
                reference=find_reference(fields.get("client-ref", "")),
                to=f"+{fields.get('to', '')}",
                fate=fate,
                answer=answer,
                content=content,
            )
        )

    def _report(
        self, fields: Mapping[str, str], ids: Sequence[str], event: wire.ReceiptEvent
    ) -> None:
        url = fields.get("callback") or self.knobs.receipt_url
        status, code = _ENDS[event]
        delay = self.judge.receipt_delay()
        for index, id in enumerate(ids, 1):
            report = {
                "msisdn": fields["to"],
                "to": fields["from"],
                "network-code": "12345",
                "messageId": id,
                "price": "0.03330000",
                "status": status,
                "scts": datetime.now(UTC).strftime("%y%m%d%H%M"),
                "err-code": code,
                "api-key": self.api_key,
                "message-timestamp": _now(),
            }
            if "client-ref" in fields:
                report["client-ref"] = fields["client-ref"]
            for _ in range(1 + self.knobs.receipt_repeats):
                self._post(url, report, delay=delay * index / len(ids))

    def _post(self, url: str, fields: Mapping[str, str], *, delay: float) -> None:
        """Signed anew at each try."""
        if not url:
            return

        def build() -> wire.HttpRequest:
            signed = {**fields, "timestamp": str(int(time.time())), "nonce": str(uuid.uuid4())}
            signed["sig"] = signature(signed, self.signature_secret, self._method)
            headers = {"Content-Type": "application/json"}
            return wire.HttpRequest(
                method="POST", url=url, headers=headers, body=orjson.dumps(signed)
            )

        self.reporter.schedule(
            delay,
            reports.Report(
                build=build, retries=_RETRIES, retry_delay=lambda: self.knobs.receipt_retry_delay
            ),
        )


def signature(fields: Mapping[str, str], secret: str, method: str) -> str:
    """`sig`: of the fields in the order of their names, each as `&name=value`."""
    text = ""
    for name in sorted(fields.keys() - {"sig"}):
        text += f"&{name}=" + fields[name].replace("&", "_").replace("=", "_")
    if method == "md5hash":
        return hashlib.md5((text + secret).encode()).hexdigest()
    return hmac.new(secret.encode(), text.encode(), method).hexdigest()


def _segment(fields: Mapping[str, str], id: str) -> dict[str, str]:
    segment = {
        "to": fields["to"],
        "message-id": id,
        "status": "0",
        "remaining-balance": "3.14159265",
        "message-price": "0.03330000",
        "network": "12345",
    }
    reference = fields.get("client-ref")
    return {**segment, "client-ref": reference} if reference else segment


def _answer(segments: Sequence[Mapping[str, Any]]) -> web.Response:
    return control.json_response({"message-count": str(len(segments)), "messages": segments})


def _is_recent(timestamp: str) -> bool:
    return abs(int(timestamp[:12]) - time.time()) <= 300


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
