"""Twilio's status callbacks: their fields, signature and retries."""

import base64
import hashlib
import hmac
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, urldefrag, urlencode

from gateway.model import wire
from gateway.sandbox import reports
from gateway.sandbox.knobs import Knobs

#: How a message ends by what its receipt is to tell: statuses after `sent`, with their code.
_ENDS: Mapping[wire.ReceiptEvent, Sequence[tuple[str, int]]] = {
    wire.ReceiptEvent.ACCEPTED: (),
    wire.ReceiptEvent.SENT: (),
    wire.ReceiptEvent.DELIVERED: (("delivered", 0),),
    wire.ReceiptEvent.READ: (("delivered", 0), ("read", 0)),
    wire.ReceiptEvent.FAILED: (("undelivered", 30003),),
    wire.ReceiptEvent.EXPIRED: (("failed", 30036),),
    wire.ReceiptEvent.OPTED_OUT: (("undelivered", 30630),),
    wire.ReceiptEvent.BOUNCED: (("undelivered", 30005),),
    wire.ReceiptEvent.COMPLAINED: (("delivered", 0),),
    wire.ReceiptEvent.UNKNOWN: (("sandbox_unheard_of", 0),),
}

_RETRIES = range(6)


def steps(fields: Mapping[str, str], event: wire.ReceiptEvent) -> Iterator[tuple[float, str, int]]:
    """What is reported on a message: (share of the delay, status, error code or 0), in order.

    The status that the answer gave is not reported again.
    """
    ends = _ENDS[event]
    statuses: list[tuple[str, int]] = []
    if fields.get("MessagingServiceSid"):
        statuses.append(("queued", 0))
    if event is not wire.ReceiptEvent.ACCEPTED and ("failed", 30036) not in ends:
        statuses.append(("sent", 0))
    statuses.extend(ends)
    for index, (status, code) in enumerate(statuses, 1):
        yield index / len(statuses), status, code


def common_fields(fields: Mapping[str, str], account: str, sid: str) -> dict[str, str]:
    """The fields that are the same in all callbacks of a message."""
    common = {
        "AccountSid": account,
        "ApiVersion": "2010-04-01",
        "From": fields.get("From") or "+15005550006",  # a service picks a sender
        "MessageSid": sid,
        "SmsSid": sid,
        "To": fields["To"],
    }
    if service := fields.get("MessagingServiceSid"):
        common["MessagingServiceSid"] = service
    return common


def status_fields(status: str, code: int) -> dict[str, str]:
    """The fields that tell one status."""
    told = {"MessageStatus": status, "SmsStatus": status}
    return {**told, "ErrorCode": str(code)} if code else told


def inbound_fields(
    account: str, *, sender: str, to: str, text: str, opt_out_type: str = ""
) -> dict[str, str]:
    """The fields of what somebody wrote.

    opt_out_type: STOP, START or HELP, as Advanced Opt-Out of a Messaging Service adds it.
    """
    sid = "SM" + uuid.uuid4().hex
    fields = {
        **dict.fromkeys(("MessageSid", "SmsSid", "SmsMessageSid"), sid),
        "AccountSid": account,
        "ApiVersion": "2010-04-01",
        "From": sender,
        "To": to,
        "Body": text,
        "NumMedia": "0",
        "NumSegments": "1",
        "SmsStatus": "received",
    }
    return {**fields, "OptOutType": opt_out_type} if opt_out_type else fields


def signature(token: str, url: str, fields: Mapping[str, str]) -> str:
    """X-Twilio-Signature of a form post to `url`, which has no fragment."""
    signed = url + "".join(name + fields[name] for name in sorted(fields))
    return base64.b64encode(hmac.digest(token.encode(), signed.encode(), hashlib.sha1)).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """Where the callbacks of a message go, as its `StatusCallback` says."""

    #: with the fragment that may configure retries
    url: str
    token: str
    knobs: Knobs

    def report(self, fields: Mapping[str, str]) -> reports.Report:
        """The callback of one status; all its tries carry the same idempotency token."""
        url, fragment = urldefrag(self.url)
        settings = {name: values[-1] for name, values in parse_qs(fragment).items()}
        request = wire.HttpRequest(
            method="POST",
            url=url,
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                "User-Agent": "TwilioProxy/1.1",
                "I-Twilio-Idempotency-Token": str(uuid.uuid4()),
                "X-Twilio-Signature": signature(self.token, url, fields),
            },
            body=urlencode(fields).encode(),
        )

        return reports.Report(
            build=lambda: request,
            retries=_retries(settings.get("rc", "")),
            again=_policy(settings.get("rp", "ct")),
            retry_delay=lambda: self.knobs.receipt_retry_delay,
            connect_timeout=_milliseconds(settings.get("ct", ""), 5.0),
            total_timeout=_milliseconds(settings.get("tt", ""), 15.0),
        )


def _retries(value: str) -> int:
    """`rc`: once unless it says otherwise."""
    return int(value) if re.fullmatch(r"\d", value) and int(value) in _RETRIES else 1


def _policy(value: str) -> Callable[[reports.Outcome], bool]:
    """`rp`: the outcomes that are tried again."""
    names = set(value.split(","))

    def again(outcome: reports.Outcome) -> bool:
        if not reports.not_ok(outcome):
            return False
        return "all" in names or _policy_name(outcome) in names

    return again


def _policy_name(outcome: reports.Outcome) -> str:
    if outcome is reports.Trouble.CONNECT:
        return "ct"
    return "rt" if outcome is reports.Trouble.READ else f"{outcome // 100}xx"


def _milliseconds(value: str, default: float) -> float:
    return int(value) / 1000 if re.fullmatch(r"[1-9]\d{0,5}", value) else default
