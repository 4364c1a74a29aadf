"""Mails that come back: what they say about which message of ours.

RFC 3464 and RFC 6533 (delivery status notifications), RFC 5965 (feedback reports), RFC 3834
(answers of machines). Bounces of systems that follow none of these, such as qmail and old Exim,
are read by `bounce_words`.

Everything in them is the work of strangers. What a mail is about it must name by something that
only those who had the message, or we ourselves, can know; see `_find`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from gateway.content import mail_parts
from gateway.model import errors, message, wire
from gateway.providers import bounce_words, smtp_replies, verp

#: Our name in a message, for relays that replace Message-ID.
REFERENCE_HEADER = "X-Gateway-Reference"

_EVENT = wire.ReceiptEvent

#: What a mail system did (RFC 3464 §2.3.3), but for `failed`.
_ACTIONS: Mapping[str, wire.ReceiptEvent] = {
    "delayed": _EVENT.ACCEPTED,
    "delivered": _EVENT.DELIVERED,
    "relayed": _EVENT.SENT,
    "expanded": _EVENT.SENT,
}

#: What is told of several recipients that our one address became: the best of it.
_BEST = (
    *(_EVENT.DELIVERED, _EVENT.SENT, _EVENT.ACCEPTED, _EVENT.UNKNOWN),
    *(_EVENT.BOUNCED, _EVENT.EXPIRED),
)

_STATUS_TYPES = frozenset({"message/delivery-status", "message/global-delivery-status"})
_FEEDBACK_TYPE = "message/feedback-report"
_RETURNED_TYPES = frozenset(
    {
        *("message/rfc822", "text/rfc822-headers", "message/rfc822-headers"),
        *("message/global", "message/global-headers"),
    }
)

#: Where a mail system notes the address that the mail came to: Postfix, Exim, others.
_ENVELOPE_FIELDS = ("x-original-to", "delivered-to", "envelope-to", "to")

_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?!\S)")
_REPLY = re.compile(r"([245]\d\d)(?:[ -]+(?:#?([245]\.\d{1,3}\.\d{1,3})(?!\S))?|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mail:
    """The mail and what was found in it."""

    whole: mail_parts.Part
    #: where it came to, as the mail system told us
    envelope_to: str
    leaves: Sequence[mail_parts.Part]
    #: header of the message that it returns
    returned: Mapping[str, str]


def read(
    raw: bytes, *, envelope_to: str, addresses: verp.Addresses | None
) -> Sequence[wire.DeliveryReceipt]:
    """What the mail reports; nothing if it reports nothing, or nothing about us.

    addresses: by which envelope senders are made and known. Raises UnreadableReceipt for what is
    no mail, and for reports without what their form requires.
    """
    try:
        whole = mail_parts.read(raw)
    except ValueError:
        raise errors.UnreadableReceipt("not a mail") from None
    leaves = mail_parts.leaves(whole)
    returned = next((one for one in leaves if one.type in _RETURNED_TYPES), None)
    fields = mail_parts.fields(returned.content().lstrip(b"\n")) if returned else {}
    mail = _Mail(whole=whole, envelope_to=envelope_to, leaves=leaves, returned=fields)
    for leaf in leaves:
        if leaf.type in _STATUS_TYPES:
            return _read_status(mail, leaf, addresses)
        if leaf.type == _FEEDBACK_TYPE:
            return _read_feedback(mail, leaf, addresses)
    return _read_words(mail, addresses)


def came_to(mail: mail_parts.Part) -> Sequence[str]:
    """Where it may have come to, by its header."""
    return [mail.headers.get(name, "") for name in _ENVELOPE_FIELDS]


def _find(
    mail: _Mail,
    addresses: verp.Addresses | None,
    *,
    senders: Sequence[str] = (),
    names: Sequence[str] = (),
) -> str:
    """The reference of the message that it is about; empty if it names none.

    First by an address with our tag, then by what a report or the returned header says. The
    latter are known to those who have had the message, since a reference is beyond guessing. An
    address with a wrong tag is a forgery: then nothing is believed.
    senders: further addresses that may hold a tag. names: further texts, trusted most.
    """
    if addresses is not None:
        path = mail.returned.get("return-path", "")
        try:
            for text in (mail.envelope_to, *came_to(mail.whole), path, *senders):
                if reference := addresses.read(text):
                    return reference
        except verp.Forged:
            return ""
    returned = [mail.returned.get(REFERENCE_HEADER.lower(), "")]
    returned.append(mail.returned.get("message-id", "").partition("@")[0].lstrip("<"))
    for text in (*names, *returned):
        if message.read_reference(text.strip()) is not None:
            return text.strip()
    return ""


def _read_status(
    mail: _Mail, leaf: mail_parts.Part, addresses: verp.Addresses | None
) -> Sequence[wire.DeliveryReceipt]:
    """RFC 3464 §2: a group of fields about the message, then one for each recipient."""
    about, recipients = _status_groups(mail_parts.groups(leaf.content()))
    reference = _find(mail, addresses, names=[about.get("original-envelope-id", "")])
    receipts = [_read_recipient(one, reference) for one in recipients]
    if not receipts:
        raise errors.UnreadableReceipt("a status report about nobody")
    if not reference:
        return ()
    best = min(receipts, key=lambda one: _BEST.index(one.event))
    if not all(one.suppress for one in receipts):
        best = next((one for one in receipts if one.event is best.event and not one.suppress), best)
    return [best]


def _status_groups(
    groups: Sequence[Mapping[str, str]],
) -> tuple[Mapping[str, str], Sequence[Mapping[str, str]]]:
    """The first group is about the message, unless a system has left out the empty line."""
    recipients = [one for one in groups if "action" in one]
    return (groups[0] if groups else {}), recipients


def _read_recipient(fields: Mapping[str, str], reference: str) -> wire.DeliveryReceipt:
    action = fields["action"].partition(" ")[0].partition(";")[0].lower()
    status = match[0] if (match := _STATUS.match(fields.get("status", "")[:20])) else ""
    code, words = _diagnosis(fields.get("diagnostic-code", ""), status)
    at = _date(fields.get("last-attempt-date", ""))
    if action == "failed":
        return _failure(reference, code, words, at=at, is_final=not status.startswith("4"))
    event = _ACTIONS.get(action, _EVENT.UNKNOWN)
    return wire.DeliveryReceipt(event=event, reference=reference, code=status, at=at)


def _diagnosis(field: str, status: str) -> tuple[int, str]:
    """The reply that decided: as the remote server gave it, else as the status has it.

    0: neither says anything.
    """
    kind, semicolon, words = field[:1000].partition(";")
    words = words.strip() if semicolon else field[:1000]
    found = _REPLY.match(words) if kind.strip().lower() in ("smtp", "smtps", "lmtp") else None
    if found is not None:
        own = found[2] or ""
        rest = words[found.end() :]
        if not own and status[:1] == found[1][:1] and not status.endswith(".0.0"):
            own = status
        return int(found[1]), f"{own} {rest}".strip()
    return (int(status[0]) * 100 + 50 if status else 0), f"{status} {words}".strip()


def _failure(
    reference: str, code: int, words: str, *, at: datetime | None = None, is_final: bool = True
) -> wire.DeliveryReceipt:
    """The reply means what it would at RCPT. The address is banned only for a lasting fault.

    is_final: no other field calls it temporary.
    """
    reply = wire.SmtpReply(code=code, text=words, stage="rcpt")
    result = smtp_replies.read(reply)
    detail, named = result.detail, str(code) if code else "failed"
    event = _EVENT.BOUNCED
    if isinstance(result, wire.Rejected | wire.Deferred) and code:
        named = result.code
    if _is_expiry(code, words):
        event = _EVENT.EXPIRED
    suppress = isinstance(result, wire.Rejected) and result.suppress and is_final
    return wire.DeliveryReceipt(
        event=event, reference=reference, code=named, detail=detail, at=at, suppress=suppress
    )


def _is_expiry(code: int, words: str) -> bool:
    """Tried until the time was up. A mailbox that stays full has bounced (RFC 3463 §3.3)."""
    match = _STATUS.match(words)
    subject = match[0][2:] if match else ""
    return subject == "4.7" or (400 <= code < 500 and subject != "2.2")


def _read_feedback(
    mail: _Mail, leaf: mail_parts.Part, addresses: verp.Addresses | None
) -> Sequence[wire.DeliveryReceipt]:
    """RFC 5965 §3. What the returned message says outranks what the report asserts (§5)."""
    fields = next(iter(mail_parts.groups(leaf.content())), {})
    kind = fields.get("feedback-type", "").lower()
    if not kind:
        raise errors.UnreadableReceipt("a feedback report without its type")
    reference = _find(mail, addresses, senders=[fields.get("original-mail-from", "")])
    if not reference and message.read_reference(fields.get("original-envelope-id", "")):
        reference = fields["original-envelope-id"]
    if not reference:
        return ()
    is_complaint = kind == "abuse"
    return [
        wire.DeliveryReceipt(
            event=_EVENT.COMPLAINED if is_complaint else _EVENT.UNKNOWN,
            reference=reference,
            code=re.sub(r"[^a-z-]", "", kind)[:40],
            at=_date(fields.get("arrival-date", fields.get("received-date", ""))),
            suppress=is_complaint,
        )
    ]


def _read_words(mail: _Mail, addresses: verp.Addresses | None) -> Sequence[wire.DeliveryReceipt]:
    """A bounce without a form."""
    if not bounce_words.is_bounce(mail.whole.headers):
        return ()
    texts = (one.text(bounce_words.MAX_TEXT) for one in mail.leaves if one.type == "text/plain")
    said = bounce_words.read(mail.whole.headers.get("subject", ""), next(texts, ""))
    header = mail_parts.fields(said.copy.encode("utf-8"))
    reference = _find(replace(mail, returned=mail.returned or header), addresses)
    if not reference:
        return ()
    if said.code:
        return [_failure(reference, said.code, said.words)]
    return [wire.DeliveryReceipt(event=said.event, reference=reference, code="words")]


def _date(value: str) -> datetime | None:
    """RFC 5322 §3.3; None when it is none."""
    try:
        at = parsedate_to_datetime(value[:100]) if value else None
        return at.astimezone(UTC) if at is not None and at.tzinfo is not None else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
