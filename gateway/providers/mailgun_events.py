"""What Mailgun's events mean: tables from their names, reasons and codes to ours.

Events: https://documentation.mailgun.com/docs/mailgun/user-manual/events/event-types. What a mail
server's refusal says of an address is decided as for a relay of one's own: see `smtp_replies`.
"""

import re
from collections.abc import Mapping
from typing import TypeAlias

from gateway.model import wire
from gateway.providers import mail_api, smtp_replies

Json: TypeAlias = Mapping[str, object]

_EVENT = wire.ReceiptEvent
#: Failures, and opens and clicks by machines, are told apart below.
EVENTS = {
    "accepted": _EVENT.SENT,
    "delivered": _EVENT.DELIVERED,
    "rejected": _EVENT.FAILED,
    "opened": _EVENT.READ,
    "clicked": _EVENT.READ,
    "complained": _EVENT.COMPLAINED,
    "unsubscribed": _EVENT.OPTED_OUT,
}
#: About incoming mail.
IGNORED = frozenset({"stored"})
#: By reason and by code: the address was on one of Mailgun's own lists.
SUPPRESSED: Mapping[str, wire.ReceiptEvent] = {
    "suppress-bounce": _EVENT.FAILED,
    "605": _EVENT.FAILED,
    "suppress-unsubscribe": _EVENT.OPTED_OUT,
    "606": _EVENT.OPTED_OUT,
    "suppress-complaint": _EVENT.OPTED_OUT,
    "607": _EVENT.OPTED_OUT,
}
_SUPPRESSING = frozenset({_EVENT.COMPLAINED, _EVENT.OPTED_OUT})
#: Mailgun's own: no mail server, and no connection to it. No word about the address.
_UNREACHED = frozenset({"498", "499"})
_CODE = re.compile(r"[1-9][0-9]{2}")
_REASON = re.compile(r"[a-z][a-z-]{0,29}")


def read(data: Json) -> tuple[wire.ReceiptEvent, str, bool]:
    """Of `event-data`: (event, code, whether the address is done for)."""
    name = mail_api.text_of(data, "event")
    if name == "failed":
        return _failure(data)
    event = EVENTS.get(name, _EVENT.UNKNOWN)
    bot = mail_api.table_of(data, "client-info").get("bot")
    if event is _EVENT.READ and bot:
        event = _EVENT.DELIVERED  # fetched by a machine, which says no more than that it is there
    return event, name[:30], event in _SUPPRESSING


def _failure(data: Json) -> tuple[wire.ReceiptEvent, str, bool]:
    status = mail_api.table_of(data, "delivery-status")
    number = str(status.get("code", ""))
    number = number if _CODE.fullmatch(number) else ""
    enhanced = mail_api.status_code(status.get("enhanced-code")) or mail_api.status_code(
        status.get("bounce-code")
    )
    reason = mail_api.text_of(data, "reason")
    reason = reason if _REASON.fullmatch(reason) else ""
    code = f"{number} {enhanced}".strip() or reason or "failed"
    if mail_api.text_of(data, "severity") == "temporary":
        return _EVENT.ACCEPTED, code, False
    for key in (reason, number):
        if key in SUPPRESSED:
            return SUPPRESSED[key], code, True
    if reason == "old":
        return _EVENT.EXPIRED, code, False
    return (
        _EVENT.BOUNCED,
        code,
        _is_hard(number, enhanced, reason, mail_api.text_of(status, "message")),
    )


def _is_hard(number: str, enhanced: str, reason: str, words: str) -> bool:
    """Whether nothing will ever reach the address, and not just this message from this sender."""
    if number in _UNREACHED:
        return False
    code = int(number) if number and 400 <= int(number) <= 599 else 550
    reply = wire.SmtpReply(code=code, text=f"{enhanced} {words}".strip(), stage="rcpt")
    verdict = smtp_replies.read(reply)
    if not isinstance(verdict, wire.Rejected):
        return False
    said_nothing = not enhanced and verdict.scope is wire.Scope.MESSAGE
    return verdict.suppress or (said_nothing and (reason == "bounce" or number == "550"))
