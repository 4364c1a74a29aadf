"""Mails that come back from where the relay has passed ours on, posted by a mail system.

RFC 3461 §5.2, §6 (who is told what), RFC 3464 and RFC 6533 (their form), RFC 5965 (complaints).
The mail system hands each to the gateway over HTTP, whole, with a shared secret.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate

from gateway.model import wire
from gateway.sandbox import reports

#: Where bounces come from.
_HOST = "mx.sandbox.example"

#: Action, status and what the other server said, by the last event.
_ENDS: Mapping[wire.ReceiptEvent, tuple[str, str, str]] = {
    wire.ReceiptEvent.DELIVERED: ("delivered", "2.0.0", "250 2.0.0 stored"),
    wire.ReceiptEvent.SENT: ("relayed", "2.0.0", "250 2.0.0 taken"),
    wire.ReceiptEvent.ACCEPTED: ("delayed", "4.4.1", "450 4.4.1 connection timed out"),
    wire.ReceiptEvent.BOUNCED: ("failed", "5.1.1", "550 5.1.1 no such mailbox"),
    wire.ReceiptEvent.FAILED: ("failed", "5.7.1", "550 5.7.1 refused by policy"),
    wire.ReceiptEvent.EXPIRED: ("failed", "4.4.7", "450 4.4.7 tried for too long"),
}

#: What NOTIFY must name for an action to be told.
_WANTED = {"delivered": "SUCCESS", "relayed": "SUCCESS", "delayed": "DELAY", "failed": "FAILURE"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One recipient's mail that was taken."""

    #: to which reports go; empty: they go nowhere
    sender: str
    recipient: str
    content: bytes
    #: as MAIL and RCPT had them
    envelope_id: str = ""
    notify: str = ""
    original: str = ""


def compose(sent: Sent, event: wire.ReceiptEvent) -> bytes:
    """The mail that tells it; empty if nobody asked, or no mail tells such a thing."""
    if not sent.sender:
        return b""
    if event is wire.ReceiptEvent.COMPLAINED:
        return _complaint(sent)
    action, status, reply = _ENDS.get(event, ("", "", ""))
    wanted = sent.notify.upper().split(",") if sent.notify else ["FAILURE", "DELAY"]
    return _notification(sent, action, status, reply) if _WANTED.get(action) in wanted else b""


def _notification(sent: Sent, action: str, status: str, reply: str) -> bytes:
    is_global = not sent.recipient.isascii()
    kind = "message/global-delivery-status" if is_global else "message/delivery-status"
    machine = [
        f"Reporting-MTA: dns; {_HOST}",
        *([f"Original-Envelope-Id: {_decoded(sent.envelope_id)}"] if sent.envelope_id else []),
        "",
        *([f"Original-Recipient: {_decoded(sent.original)}"] if sent.original else []),
        f"Final-Recipient: {'utf-8' if is_global else 'rfc822'}; {sent.recipient}",
        f"Action: {action}",
        f"Status: {status}",
        f"Last-Attempt-Date: {formatdate()}",
        f"Diagnostic-Code: smtp; {reply}",
    ]
    words = f"<{sent.recipient}>: {reply}"
    return _report(
        sent,
        to=sent.sender,
        about="delivery-status",
        words=words,
        kind=kind,
        machine=machine,
        last="message/global-headers" if is_global else "text/rfc822-headers",
    )


def _complaint(sent: Sent) -> bytes:
    machine = [
        "Feedback-Type: abuse",
        "User-Agent: Sandbox/1.0",
        "Version: 1",
        f"Original-Mail-From: <{sent.sender}>",
        f"Arrival-Date: {formatdate()}",
        "Source-IP: 192.0.2.1",
    ]
    return _report(
        sent,
        to="abuse@" + sent.sender.rpartition("@")[2],
        about="feedback-report",
        words="This is an abuse report for a message from you.",
        kind="message/feedback-report",
        machine=machine,
        last="message/rfc822",
    )


def _report(
    sent: Sent, *, to: str, about: str, words: str, kind: str, machine: Sequence[str], last: str
) -> bytes:
    boundary = f"=_{uuid.uuid4().hex}"
    head = sent.content.partition(b"\r\n\r\n")[0]
    lines = [
        "Return-Path: <>",
        f"Delivered-To: {to}",
        f"Date: {formatdate()}",
        f"From: Mail Delivery System <MAILER-DAEMON@{_HOST}>",
        f"To: {to}",
        f"Message-ID: <{uuid.uuid4().hex}@{_HOST}>",
        "Subject: Report about your message",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type={about};\r\n boundary="{boundary}"',
        *("", f"--{boundary}", "Content-Type: text/plain; charset=utf-8", "", words, ""),
        *(f"--{boundary}", f"Content-Type: {kind}", "", *machine, ""),
        *(f"--{boundary}", f"Content-Type: {last}", "", f"Return-Path: <{sent.sender}>", ""),
    ]
    return "\r\n".join(lines).encode() + head + f"\r\n\r\n--{boundary}--\r\n".encode()


def _decoded(xtext: str) -> str:
    """RFC 3461 §4, and RFC 6533 §3 left as it is."""
    first, *rest = xtext.split("+")
    return first + "".join(chr(int(one[:2], 16)) + one[2:] for one in rest)


def report(
    url: str, secret: str, mail: bytes, *, envelope_to: str, retry_delay: Callable[[], float]
) -> reports.Report:
    """The post of one mail, again for a while if it is not taken, as a queue does."""
    headers = {
        "Content-Type": "message/rfc822",
        "X-Receipt-Secret": secret,
        "X-Envelope-To": envelope_to,
    }
    request = wire.HttpRequest(method="POST", url=url, headers=headers, body=mail)
    return reports.Report(build=lambda: request, retries=5, retry_delay=retry_delay)
