"""Bounces that follow no standard, by who sent them and what they say.

https://cr.yp.to/proto/qsbmf.txt (qmail), RFC 3834 (answers of machines). What they are about is
not decided here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.model import wire

#: Octets of the text that are read.
MAX_TEXT = 32 * 1024

#: Characters kept after the code.
_MAX_WORDS = 300

#: Answers of people's machines, which say nothing about delivery.
_VACATION = re.compile(
    r"out of (?:the )?office|vacation|auto(?:mat\w{0,8})?[ -]?(?:reply|response|answer)|on leave"
    r"|abwesenheit|absence|自动回复|自動応答|不在",
    re.IGNORECASE,
)
_DAEMON = re.compile(r"mailer-daemon|mail delivery (?:sub)?system|postmaster@", re.IGNORECASE)
_DELAY = re.compile(r"delay|warning|still being|will be retried", re.IGNORECASE)
_FAILURE = re.compile(
    r"undeliver|fail|could ?n[o']t|unable to|returned (?:mail|message|to sender)|rejected"
    r"|wasn't able",
    re.IGNORECASE,
)
#: Where the message that comes back begins.
_COPY = re.compile(
    r"^-+ ?(?:below this line|this is a copy|original message|returned message|begin)"
    r"|^(?:message-id|received|return-path):",
    re.IGNORECASE | re.MULTILINE,
)
#: A reply or an enhanced code in the middle of words, and no piece of an address or a date.
_CODE = re.compile(
    r"(?<![\d.:-])(?:([45]\d\d)[ -]+)?\(?#?(?<![\d.])([45]\.\d{1,2}\.\d{1,3})(?![\d.])\)?"
    r"|(?<![\d.:-])([45]\d\d)[ -](?=[A-Za-z<])"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the words come to."""

    #: when there is no code
    event: wire.ReceiptEvent
    #: of the reply that ended it; 0: none was found
    code: int = 0
    words: str = ""
    #: what follows the words: the message that came back, if it is there
    copy: str = ""


def is_bounce(headers: Mapping[str, str]) -> bool:
    """Whether a mail system sent it, and not somebody's vacation notice.

    Old Exim calls its bounces `auto-replied` too, but names who failed.
    """
    if "x-failed-recipients" in headers:
        return True
    if headers.get("auto-submitted", "").lower().startswith("auto-replied"):
        return False
    if _VACATION.search(headers.get("subject", "")[:1000]):
        return False
    is_null = headers.get("return-path", "").replace(" ", "") == "<>"
    return is_null or _DAEMON.search(headers.get("from", "")[:1000]) is not None


def read(subject: str, text: str) -> Said:
    """What a bounce with this subject and this text says."""
    copy = _COPY.search(text)
    reason, rest = (text[: copy.start()], text[copy.start() :]) if copy else (text, "")
    rest = rest.partition("\n")[2] if rest.startswith("-") else rest
    if _DELAY.search(subject[:1000]):
        return Said(event=wire.ReceiptEvent.ACCEPTED, copy=rest.lstrip("\n"))
    found = _CODE.search(reason)
    is_failure = _FAILURE.search(subject[:1000]) or _FAILURE.search(reason)
    event = wire.ReceiptEvent.BOUNCED if is_failure or found else wire.ReceiptEvent.UNKNOWN
    if found is None:
        return Said(event=event, copy=rest.lstrip("\n"))
    status = found[2] or ""
    code = int(found[1] or found[3] or int(status[0]) * 100 + 50)
    words = f"{status} {reason[found.end() : found.end() + _MAX_WORDS]}".strip()
    return Said(event=event, code=code, words=words, copy=rest.lstrip("\n"))
