"""One SMTP connection of the simulator: aiosmtpd's state machine with commands of our own.

aiosmtpd knows no DSN parameters and no BDAT (RFC 3030), and spends most of its time in an address
parser and in reading content line by line: MAIL, RCPT, DATA and BDAT are done here. EHLO, STARTTLS,
AUTH, RSET and QUIT are its own.
"""

import asyncio
import contextlib
import hmac
from collections import defaultdict
from typing import Any, cast

from aiosmtpd import smtp

from gateway.sandbox import smtp_mail, smtp_offer
from gateway.sandbox.magic import Fate

THROTTLED = "421 4.7.0 too many messages, slow down"

#: Octets of a message, and what the stream may hold unread.
SIZE_LIMIT = 10 * 1024 * 1024

#: Commands may carry DSN parameters and long addresses.
_COMMAND_LIMIT = 2048

#: Seconds between commands; longer than a client waits for the last reply (RFC 5321 §4.5.3.2.6).
_IDLE = 1200

_RECIPIENT_LIMIT = 100  # RFC 5321 §4.5.3.1.8

_DOT = b".\r\n"
_END = b"\r\n.\r\n"

_MAIL_PARAMETERS = frozenset({"SIZE", "BODY", "SMTPUTF8", "RET", "ENVID"})
_RCPT_PARAMETERS = frozenset({"NOTIFY", "ORCPT"})


class _Envelope(smtp.Envelope):
    """Made anew by aiosmtpd at EHLO, RSET and the start."""

    def __init__(self) -> None:
        super().__init__()
        self.mail: smtp_mail.Mail | None = None


class Session(smtp.SMTP):
    """The protocol of one connection."""

    #: what aiosmtpd makes the limit of its stream reader, which holds a whole message here
    line_length_limit = SIZE_LIMIT
    envelope: _Envelope

    def __init__(self, relay: smtp_offer.Relay) -> None:
        # The base class shares one mapping among all connections and adds to it at each EHLO.
        self.command_size_limits = defaultdict(lambda: _COMMAND_LIMIT)
        self._relay = relay
        self._messages = 0
        self._waiting: list[bytes] = []
        settings = relay.settings
        super().__init__(
            smtp_offer.Hooks(settings),
            data_size_limit=SIZE_LIMIT,
            enable_SMTPUTF8=True,
            hostname="localhost",
            ident="ESMTP sandbox",
            tls_context=settings.starttls,
            require_starttls=settings.starttls is not None,
            timeout=_IDLE,
            auth_require_tls=settings.starttls is not None,
            authenticator=self._log_in,
            loop=asyncio.get_running_loop(),
        )

    @property
    def task(self) -> asyncio.Task[None] | None:
        """What reads the commands; ends when the connection is lost."""
        return self._handler_coroutine

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._relay.sessions.add(self)
        assert self.task is not None  # the base class has just started it
        self.task.add_done_callback(_retrieve)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._relay.sessions.discard(self)

    def abort(self) -> None:
        """Drop the connection without a word."""
        # Under STARTTLS the outer transport is there before the inner one.
        for transport in (self.transport, self._original_transport):
            if transport is not None:
                # uvloop's transports are no subclass of it. Python 3.11.2's, closed twice under
                # TLS, has nothing left to abort and says so.
                with contextlib.suppress(AttributeError):
                    cast(asyncio.Transport, transport).abort()

    def _create_envelope(self) -> _Envelope:
        return _Envelope()

    def _log_in(
        self,
        server: smtp.SMTP,
        session: smtp.Session,
        envelope: smtp.Envelope,
        mechanism: str,
        login: Any,
    ) -> smtp.AuthResult:
        settings = self._relay.settings
        good = hmac.compare_digest(login.login, settings.username)
        good &= hmac.compare_digest(login.password, settings.password)
        return smtp.AuthResult(success=good, handled=False)

    async def smtp_MAIL(self, arg: str | None) -> None:
        if not await self.check_helo_needed():
            await self._reply(self._begin(arg or ""))

    def _begin(self, arg: str) -> str:
        settings, session = self._relay.settings, self.session
        if settings.username and not (session and session.authenticated):
            return "530 5.7.0 authentication required"
        if self.envelope.mail is not None:
            return "503 5.5.1 nested MAIL command"
        found = smtp_mail.parse(arg, keyword="FROM:", known=_MAIL_PARAMETERS)
        if isinstance(found, str):
            return found
        sender, parameters = found
        size = parameters.get("SIZE", "0")
        if not size.isdecimal():
            return "501 5.5.4 bad SIZE"
        if not sender.isascii() and "SMTPUTF8" not in parameters:
            return "550 5.6.7 SMTPUTF8 is needed for the sender"
        if int(size) > SIZE_LIMIT:
            return "552 5.3.4 message too big"
        if 0 < settings.messages_per_connection <= self._messages:
            return "421 4.7.0 too many messages on this connection"
        if self._relay.judge.throttled():
            self._relay.record_refusal("", smtp_mail.Verdict(fate=Fate.THROTTLED, reply=THROTTLED))
            return THROTTLED
        self.envelope.mail = smtp_mail.Mail(
            sender=sender,
            envelope_id=parameters.get("ENVID", ""),
            is_utf8="SMTPUTF8" in parameters,
        )
        return "250 2.1.0 sender ok"

    async def smtp_RCPT(self, arg: str | None) -> None:
        await self._reply(self._add(arg or ""))

    def _add(self, arg: str) -> str:
        mail = self.envelope.mail
        if mail is None:
            return "503 5.5.1 need MAIL first"
        found = smtp_mail.parse(arg, keyword="TO:", known=_RCPT_PARAMETERS)
        if isinstance(found, str):
            return found
        address, parameters = found
        if not address:
            return "553 5.1.3 no address"
        if not address.isascii() and not mail.is_utf8:
            return "553 5.6.7 SMTPUTF8 is needed for the recipient"
        if len(mail.recipients) >= _RECIPIENT_LIMIT:
            return "452 4.5.3 too many recipients"
        verdict = self._relay.judge_recipient(address)
        if verdict.refused:
            self._relay.record_refusal(address, verdict)
            return verdict.reply
        mail.recipients.append((address, verdict))
        mail.asked[address] = parameters
        return "250 2.1.5 recipient ok"

    async def smtp_DATA(self, arg: str | None) -> None:
        mail = self.envelope.mail
        if mail is None:
            await self.push("503 5.5.1 need MAIL first")
        elif not mail.recipients:
            await self.push("554 5.5.1 no valid recipients")
        elif arg:
            await self.push("501 5.5.4 DATA takes no argument")
        elif mail.chunks:
            await self.push("503 5.5.1 DATA after BDAT")
        else:
            await self.push("354 end with a dot on a line of its own")
            await self._take(mail)

    async def _take(self, mail: smtp_mail.Mail) -> None:
        try:
            content = await self._read_content()
        except asyncio.LimitOverrunError:
            # The rest is not read, so the connection is of no further use.
            await self.push("552 5.3.4 message too big")
            self._close()
            return
        await self._finish(mail, content)

    async def smtp_BDAT(self, arg: str | None) -> None:
        """A chunk is read whatever comes of it, or its octets would be taken for commands."""
        size, _, last = (arg or "").partition(" ")
        if not (size.isdecimal() and last.upper() in ("", "LAST")):
            await self.push("501 5.5.4 bad BDAT")
            self._close()  # nobody knows where the next command begins
            return
        mail = self.envelope.mail
        taken = len(mail.chunks) if mail is not None else 0
        if taken + int(size) > SIZE_LIMIT:
            await self.push("552 5.3.4 message too big")
            self._close()
            return
        chunk = await self._reader.readexactly(int(size))
        if mail is None:
            await self._reply("503 5.5.1 need MAIL first")
        elif not mail.recipients:
            self.envelope = self._create_envelope()
            await self._reply("554 5.5.1 no valid recipients")
        elif last:
            await self._finish(mail, bytes(mail.chunks + chunk))
        else:
            mail.chunks += chunk
            await self._reply(f"250 2.0.0 {size} octets")

    async def _finish(self, mail: smtp_mail.Mail, content: bytes) -> None:
        self.envelope = self._create_envelope()
        self._messages += 1
        verdict = mail.verdict
        id = self._relay.record_mail(mail, content)
        await self._relay.pause()
        if verdict.fate is Fate.HUNG:
            await self._relay.hang()
        if verdict.fate in (Fate.HUNG, Fate.LOST):
            self.abort()
            return
        await self._reply(verdict.reply or f"250 2.0.0 queued as {id}")

    async def _read_content(self) -> bytes:
        """The content without its final dot and without stuffing (RFC 5321 §4.5.2)."""
        content = await self._reader.readexactly(len(_DOT))
        if content == _DOT:
            return b""
        if b"\r" not in content:
            content += await self._reader.readuntil(_END)
        # A line end among the first octets might belong to the end, so these go line by line.
        while not content.endswith(_END):
            content += await self._reader.readuntil(b"\n")
            if len(content) > SIZE_LIMIT:
                raise asyncio.LimitOverrunError("message too big", 0)
        return (b"\r\n" + content[: -len(_DOT)]).replace(b"\r\n.", b"\r\n")[2:]

    async def push(self, status: str | bytes) -> None:
        """One reply now, after those that were waiting."""
        reply = status.encode() if isinstance(status, str) else status
        self._waiting.append(reply)
        self._flush()
        await self._writer.drain()

    async def _reply(self, reply: str) -> None:
        """One reply that can go in one write with those to the commands after it."""
        if reply.startswith("421"):
            await self.push(reply)
            self._close()
            return
        if not self._waiting:
            self.loop.call_soon(self._flush)
        self._waiting.append(reply.encode())

    def _flush(self) -> None:
        if self._waiting and self.transport is not None:
            self._writer.write(b"\r\n".join([*self._waiting, b""]))
        self._waiting.clear()

    def _close(self) -> None:
        if self.transport is not None:
            self.transport.close()


def _retrieve(task: asyncio.Task[None]) -> None:
    """Take note of how a session ended: a reset by the client is nobody's fault."""
    if not task.cancelled():
        task.exception()
