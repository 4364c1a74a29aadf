"""One mail transaction of the simulator: its commands' arguments, its recipients, its headers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.sandbox.magic import Fate

_PATH = re.compile(r"\s*<([^<>\s]{0,320})>(?:\s+(.*))?", re.DOTALL)
_FOLD = re.compile(r"\r\n[ \t]+")

#: Of the headers, what is kept, in bytes.
_HEAD_KEPT = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of a message for one recipient."""

    fate: Fate = Fate.TAKEN
    #: of a refusal
    reply: str = ""
    #: said after the content rather than at RCPT
    late: bool = False

    @property
    def refused(self) -> bool:
        """Whether RCPT is to be refused."""
        return bool(self.reply) and not self.late


_TAKEN = Verdict()


@dataclass(slots=True, kw_only=True)
class Mail:
    """One transaction so far."""

    sender: str
    envelope_id: str = ""
    #: whether MAIL had SMTPUTF8 (RFC 6531)
    is_utf8: bool = False
    #: those not refused, with what becomes of the message on their account
    recipients: list[tuple[str, Verdict]] = field(default_factory=list)
    #: what has come by BDAT so far
    chunks: bytearray = field(default_factory=bytearray)
    #: by recipient: what RCPT asked for, such as NOTIFY
    asked: dict[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """What becomes of the whole message: the first recipient who is not ordinary decides."""
        return next((one for _, one in self.recipients if one.fate is not Fate.TAKEN), _TAKEN)


def parse(arg: str, *, keyword: str, known: frozenset[str]) -> tuple[str, dict[str, str]] | str:
    """(address, parameters) of MAIL or RCPT, or the reply that refuses them."""
    if arg[: len(keyword)].upper() != keyword:
        return f"501 5.5.4 syntax: {keyword}<address>"
    found = _PATH.fullmatch(arg[len(keyword) :])
    if found is None:
        return "553 5.1.3 malformed address"
    parameters: dict[str, str] = {}
    for parameter in (found[2] or "").split():
        name, _, value = parameter.partition("=")
        if name.upper() not in known or name.upper() in parameters:
            return "555 5.5.4 parameter not recognised"
        parameters[name.upper()] = value
    return found[1], parameters


def headers_of(content: bytes) -> dict[str, str]:
    """Header fields by lower-case name, unfolded, as they stand; the last of each name."""
    head = content[:_HEAD_KEPT].partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
    headers: dict[str, str] = {}
    for line in _FOLD.sub(" ", head).split("\r\n"):
        name, colon, value = line.partition(":")
        if colon:
            headers[name.lower()] = value.strip()
    return headers
