"""One message at a time over one SMTP connection, in lock-step.

Where the relay offers it, `smtp_pipeline` takes its place.

RFC 5321 (commands), RFC 1870 (SIZE), RFC 6152 (8BITMIME), RFC 6531 (SMTPUTF8), RFC 3461 (DSN),
RFC 9422 (LIMITS).
"""

import asyncio
import math
import re
from collections.abc import Mapping, Sequence

from gateway.model import errors, wire
from gateway.transport.smtp_stream import CLOSING, Reply, ReplyStream

#: RFC 5321 §4.5.3.2.6: giving up earlier makes duplicates.
CONTENT_TIMEOUT = 600.0

#: Would end or open an address or a parameter, or a command.
_UNSAFE = re.compile(r"[\x00-\x20\x7f<>]")

_OPTION = re.compile(r"[!-~]+")

#: RFC 9422 §4.1: MAIL commands of a session.
_MAIL_MAX = re.compile(r"\bMAILMAX=([1-9]\d{0,5})(?!\S)", re.IGNORECASE)

#: Codes of RCPT after which content may follow (RFC 5321 §3.3, §3.4, §3.5.3).
TAKES_RCPT = frozenset({250, 251, 252})

#: Keyword of MAIL or RCPT to the extension that defines it.
_DEFINED_BY = {
    "ENVID": "dsn",
    "RET": "dsn",
    "NOTIFY": "dsn",
    "ORCPT": "dsn",
    "MT-PRIORITY": "mt-priority",
    "DELIVERBY": "deliverby",
    "REQUIRETLS": "requiretls",
}


class Stale(errors.NotSent):
    """An idle connection turned out to be gone before MAIL was answered: use a fresh one."""


class Session(ReplyStream):
    """Speaks on a connection that is ready for MAIL."""

    def __init__(
        self, transport: asyncio.Transport, *, extensions: Mapping[str, str], opened_at: float
    ) -> None:
        """extensions: keywords in lower case, and parameters, of the last EHLO's reply.

        opened_at: seconds by the pool's clock, as is `idle_since`, which the pool maintains.
        """
        super().__init__(transport)
        self.opened_at = opened_at
        self.idle_since = opened_at
        #: messages begun on it
        self.carried = 0
        self._extensions = extensions
        size = extensions.get("size", "")
        #: octets; 0 for no limit that is known
        self._max_size = int(size) if size.isdecimal() else 0
        limit = _MAIL_MAX.search(extensions.get("limits", ""))
        #: that the relay takes on one connection, refused ones included
        self.most_messages = float(limit[1]) if limit else math.inf
        #: a transaction may be open: it must be reset before the next
        self._dirty = False

    def objection(self, envelope: wire.Envelope) -> wire.SmtpReply | None:
        """The refusal that this relay would have to give, found without asking it.

        Codes are those of RFC 3463 and RFC 6531 §3.5, as a server would use them.
        """
        fault = (
            _bad_sender(envelope.sender)
            or _bad_recipient(envelope.recipients)
            or self._cannot_encode(envelope)
            or (
                0 < self._max_size < len(envelope.content)
                and (552, "5.3.4 larger than SIZE", "mail")
            )
            or (not _is_canonical(envelope.content) and (554, "5.6.0 bare CR or LF", "mail"))
        )
        if not fault:
            return None
        code, text, stage = fault
        return wire.SmtpReply(code=code, text=text, stage=stage, recipient=envelope.recipients[0])

    def _cannot_encode(self, envelope: wire.Envelope) -> tuple[int, str, str] | None:
        offers_utf8 = "smtputf8" in self._extensions
        if not envelope.recipients[0].isascii() and not offers_utf8:
            return 553, "5.6.7 the relay does not offer SMTPUTF8", "rcpt"
        if _needs_utf8(envelope) and not offers_utf8:
            return 550, "5.6.7 the relay does not offer SMTPUTF8", "mail"
        if not envelope.content.isascii() and "8bitmime" not in self._extensions:
            return 554, "5.6.3 the relay does not offer 8BITMIME", "mail"
        return None

    async def transact(
        self, envelope: wire.Envelope, *, timeout: float, content_timeout: float = CONTENT_TIMEOUT
    ) -> wire.SmtpReply:
        """The reply that decides. For an envelope without objection, with one recipient.

        timeout: seconds for each reply. Raises NotSent before the content is written, of it
        Stale while nothing has been answered on a connection used before; AnswerLost after.
        """
        recipient = envelope.recipients[0]
        reply, stage = await self._introduce(envelope, recipient, timeout)
        if stage == "content":
            self._check()
            try:
                reply = await self.ask(_dot_stuffed(envelope.content), content_timeout)
            except ConnectionError:
                raise errors.AnswerLost(self.broken) from None
            self._dirty = False  # RFC 5321 §4.1.1.4: cleared, whatever the reply
        return wire.SmtpReply(code=reply.code, text=reply.text, stage=stage, recipient=recipient)

    async def _introduce(
        self, envelope: wire.Envelope, recipient: str, timeout: float
    ) -> tuple[Reply, str]:
        """MAIL, RCPT and DATA: the last reply, and the stage whose turn it is or that refused."""
        reply = await self._begin(self._mail(envelope), timeout)
        if reply.code != 250:
            return reply, "mail"
        reply = await self._command(self._rcpt(envelope, recipient), timeout)
        if reply.code not in TAKES_RCPT:
            return reply, "rcpt"
        reply = await self._command("DATA", timeout)
        return reply, "content" if reply.code == 354 else "data"

    async def _begin(self, mail: str, timeout: float) -> Reply:
        """The reply to MAIL, after a RSET if the last transaction was left open.

        Without it Postfix would send this message under the old envelope.
        """
        reused = self.carried > 0
        self.carried += 1
        try:
            if self._dirty and (await self._command("RSET", timeout)).code != 250:
                self.abort("out of step")
            self._dirty = True
            reply = await self._command(mail, timeout)
        except errors.NotSent as error:
            raise (Stale(error.reason) if reused else error) from None
        if reply.code == CLOSING and reused:
            raise Stale(self.broken)
        return reply

    def _mail(self, envelope: wire.Envelope) -> str:
        options = [option for option in envelope.mail_options if self._offers(option)]
        if "size" in self._extensions:
            options.append(f"SIZE={len(envelope.content)}")
        if not envelope.content.isascii():
            options.append("BODY=8BITMIME")
        if _needs_utf8(envelope):
            options.append("SMTPUTF8")
        return " ".join((f"MAIL FROM:<{envelope.sender}>", *options))

    def _rcpt(self, envelope: wire.Envelope, recipient: str) -> str:
        options = [option for option in envelope.rcpt_options if self._offers(option)]
        return " ".join((f"RCPT TO:<{recipient}>", *options))

    def _offers(self, option: str) -> bool:
        extension = _DEFINED_BY.get(option.partition("=")[0].upper())
        return extension in self._extensions and _OPTION.fullmatch(option) is not None

    def _check(self) -> None:
        if not self.is_usable:
            raise errors.NotSent(self.broken or "disconnected")

    async def _command(self, line: str, timeout: float) -> Reply:
        self._check()
        try:
            return await self.ask(line.encode("utf-8") + b"\r\n", timeout)
        except ConnectionError:
            raise errors.NotSent(self.broken) from None


def _bad_sender(sender: str) -> tuple[int, str, str] | None:
    return (553, "5.1.7 bad sender address", "mail") if _UNSAFE.search(sender) else None


def _bad_recipient(recipients: Sequence[str]) -> tuple[int, str, str] | None:
    (recipient,) = recipients
    if not recipient or _UNSAFE.search(recipient):
        return 553, "5.1.3 bad recipient address", "rcpt"
    return None


def _needs_utf8(envelope: wire.Envelope) -> bool:
    if not envelope.recipients[0].isascii() or not envelope.sender.isascii():
        return True
    if envelope.content.isascii():
        return False
    return not envelope.content.partition(b"\r\n\r\n")[0].isascii()


def _is_canonical(content: bytes) -> bool:
    """No CR or LF on its own, which some servers take for the end of the message."""
    ends = content.count(b"\r\n")
    return content.count(b"\n") == ends == content.count(b"\r")


def _dot_stuffed(content: bytes) -> bytes:
    """RFC 5321 §4.5.2, with the final dot."""
    stuffed = content.replace(b"\r\n.", b"\r\n..")
    first = b"." if stuffed.startswith(b".") else b""
    last = b".\r\n" if stuffed.endswith(b"\r\n") else b"\r\n.\r\n"
    return first + stuffed + last
