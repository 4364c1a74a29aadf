"""What a relay's reply means for the message: a table from codes and words to results.

RFC 5321 §4.2 (codes), RFC 3463 and the IANA registry of enhanced status codes, RFC 4954 §4, §6
(AUTH). Services: https://docs.aws.amazon.com/ses/latest/dg/troubleshoot-smtp.html (SES),
https://learn.microsoft.com/exchange/mail-flow-best-practices (Exchange Online).

The code decides between now and never, the enhanced code and the words whose fault it is. An
address is suppressed only for a reply to its RCPT or to the content.
"""

import re
from dataclasses import dataclass
from typing import TypeAlias

from gateway.model import wire
from gateway.model.values import replace

#: Longest part of a reply that is looked at, against patterns whose time grows as its square.
_MAX_TEXT = 1000

#: Longest part of its words that is kept.
_MAX_DETAIL = 200


def read(reply: wire.SmtpReply) -> wire.AttemptResult:
    """The result of the attempt that ended with this reply."""
    text = reply.text[:_MAX_TEXT]
    if reply.stage == "content" and 200 <= reply.code < 300:
        return wire.Accepted(provider_id=_queue_id(text))
    status = _STATUS.match(text)
    code = f"{reply.code} {status[0]}" if status else str(reply.code)
    words = _words(text[status.end() :] if status else text)
    if not 400 <= reply.code <= 599:
        return _unreadable(reply, code, words)
    key = ".".join(status.groups()) if status else ""
    return replace(_classify(reply, key, words), code=code, detail=words[:_MAX_DETAIL])


def _unreadable(reply: wire.SmtpReply, code: str, words: str) -> wire.AttemptResult:
    """A code that has no place there: only after the content may it have been taken."""
    if reply.stage == "content":
        return wire.Unknown(code=code, detail=words[:_MAX_DETAIL])
    return wire.Deferred(code=code, detail=words[:_MAX_DETAIL])


_ANY_ADDRESS = re.compile(r"<?[^\s<>]+@[^\s<>]+>?")


def _words(text: str) -> str:
    """The relay's words on one line, without addresses, whose names mean nothing."""
    line = " ".join(_ANY_ADDRESS.sub("<address>", text).split())
    return "".join(char for char in line if char.isprintable())


#: How servers name what they have taken: Postfix, Exim, Exchange, Sendmail, SES.
_QUEUE_IDS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"queued as ([\w.-]{4,64})",
        r"\bid=([\w.-]{4,64})",
        r"\bInternalId=(\d{1,20})",
        r"([\w.-]{8,64}) Message accepted for delivery",
        r"^(?:2\.\d\.\d )?Ok:? ([\w-]{16,128})$",
    )
)


def _queue_id(text: str) -> str:
    matches = (pattern.search(text) for pattern in _QUEUE_IDS)
    return next((match[1] for match in matches if match), "")


#: RFC 3463 §2. The class digit is left out of comparisons: the reply's code decides.
_STATUS = re.compile(r"[245]\.(\d{1,3})\.(\d{1,3})(?!\S)")

_Refusal: TypeAlias = wire.Rejected | wire.Deferred

PERM_RCPT = wire.Rejected(code="", scope=wire.Scope.RECIPIENT, suppress=True)
#: as PERM_RCPT, but for what this relay lacks
NO_ROUTE_RCPT = wire.Rejected(code="", scope=wire.Scope.RECIPIENT)
PERM_MSG = wire.Rejected(code="", scope=wire.Scope.MESSAGE)
POLICY = wire.Rejected(code="", scope=wire.Scope.PROVIDER)
THROTTLE = wire.Deferred(code="", cause=wire.Cause.THROTTLED)
#: SES counts over the last 24 h, so that something is free again every hour.
QUOTA = wire.Deferred(code="", cause=wire.Cause.THROTTLED, retry_after=3600.0)
TEMP = wire.Deferred(code="", cause=wire.Cause.TEMPORARY)
#: Greylists let nothing through before five minutes have passed.
GREYLIST = wire.Deferred(code="", cause=wire.Cause.TEMPORARY, retry_after=300.0)
MBOX_FULL = wire.Deferred(code="", cause=wire.Cause.RECIPIENT, retry_after=3600.0)
AUTH = wire.Deferred(code="", cause=wire.Cause.CREDENTIAL)
#: The connection ended before a message was begun on it.
CONNECT = wire.Deferred(code="", cause=wire.Cause.CONNECT)


@dataclass(frozen=True, slots=True)
class _Rule:
    """Matches when all that is given matches."""

    result: _Refusal
    #: of the three-digit code
    code: str
    #: of subject and detail of the enhanced code, such as `1.1`; "" where there is none
    status: str = ".*"
    stage: str = ".*"
    #: searched for in the text, without regard to case
    words: str = ""

    def matches(self, reply: wire.SmtpReply, status: str, words: str) -> bool:
        return (
            re.fullmatch(self.code, str(reply.code)) is not None
            and re.fullmatch(self.status, status) is not None
            and re.fullmatch(self.stage, reply.stage) is not None
            and re.search(self.words, words, re.IGNORECASE) is not None
        )


#: Where a refusal can be the recipient's fault. Never suppress for a reply to MAIL or DATA.
_RCPT = "rcpt|content"
_BUSY = r"\brate\b|throttl|too many (connections|messages)|unusual"
_GREYLISTED = r"gr[ea]ylist|try again"
_SPAM = r"spam|blacklist|blocklist|blocked|reputation|\blisted\b"
#: Postfix says this at RCPT about the sender and about us, with `unknown` for a host's name.
_NOT_RCPT = (
    r"client host|helo command|not verified|access denied"
    r"|\brelay(ing)?\b.*(denied|not allowed|prohibited)|(unable|not (permitted|allowed)) to relay"
)
_NOBODY = (
    r"\bunknown\b(?!\[)|no such|does not exist|invalid (mailbox|recipient)|user .*not found"
    r"|mailbox unavailable|disabled|inactive"
)

#: The first that matches decides.
_RULES = (
    # 4xx: not now
    _Rule(THROTTLE, "421", status=r"7\..*"),
    _Rule(THROTTLE, "421|451", status=r"4\.5"),
    _Rule(THROTTLE, "421", stage="connect"),
    _Rule(QUOTA, "454", words=r"daily .*quota"),
    _Rule(THROTTLE, "4..", words=_BUSY),
    _Rule(CONNECT, "421", stage="starttls|auth"),
    _Rule(TEMP, "4..", stage="starttls|auth"),  # 454 is no reason to doubt the password
    _Rule(MBOX_FULL, "[45]..", status=r"2\.2", stage=_RCPT),
    _Rule(GREYLIST, "45[01]", status=r"7\.1|2\.0", stage="rcpt"),
    _Rule(GREYLIST, "45[01]", status="", stage="rcpt", words=_GREYLISTED),
    _Rule(THROTTLE, "45[0-5]", status=r"7\..*"),
    _Rule(TEMP, "4.."),
    # 5xx: about us
    _Rule(AUTH, "530|534|535|538"),
    _Rule(AUTH, "5..", stage="auth"),
    _Rule(AUTH, "523|525", stage="mail"),
    _Rule(POLICY, "5..", stage="connect|starttls"),
    _Rule(PERM_MSG, "5..", words=r"sender address rejected"),
    _Rule(PERM_RCPT, "550", status=r"4\.1", stage="rcpt", words="recipient address rejected"),
    _Rule(POLICY, "55[04]", words=_NOT_RCPT),
    # about the recipient
    _Rule(PERM_RCPT, "521|556", stage="rcpt"),
    _Rule(TEMP, "5..", status=r"5\.3", stage="rcpt"),  # too many recipients
    _Rule(PERM_MSG, "50[0-4]"),
    _Rule(PERM_RCPT, "5..", status=r"1\.([01236]|10)|2\.1|7\.1[78]", stage=_RCPT),
    _Rule(POLICY, "55[04]", words=_SPAM),
    # about routes, the message, the sender
    _Rule(TEMP, "5..", status=r"4\.[47]"),
    _Rule(PERM_MSG, "5..", status=r"2\.3|3\.4|4\.6|1\.[78]"),
    _Rule(NO_ROUTE_RCPT, "5..", status=r"6\.7", stage="rcpt"),
    _Rule(PERM_MSG, "5..", status=r"6\..*"),
    _Rule(PERM_RCPT, "55[04]", status=r"7\.1", stage=_RCPT, words=_NOBODY),
    _Rule(POLICY, "5..", status=r"7\..*"),
    # by subject, then by words
    _Rule(PERM_RCPT, "5..", status=r"1\..*", stage="rcpt"),
    _Rule(MBOX_FULL, "552", status="", stage="rcpt", words="quota|full|storage"),
    _Rule(PERM_RCPT, "5[15].", stage="rcpt", words=_NOBODY),
    _Rule(PERM_MSG, "..."),
)


def _classify(reply: wire.SmtpReply, status: str, words: str) -> _Refusal:
    return next(rule.result for rule in _RULES if rule.matches(reply, status, words))
