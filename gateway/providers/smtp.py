"""Email by an SMTP relay: one's own, or the SMTP endpoint of a mail service.

RFC 5321 (envelope), RFC 3461 (DSN), RFC 5890 (domain names); what replies mean is in
`smtp_replies`.

A relay tells no more than its replies; bounces come by mail, so there are no receipts here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from gateway.clock import Clock
from gateway.content import attachments, mime
from gateway.model import errors, wire
from gateway.providers import base, mailboxes, smtp_replies
from gateway.transport.smtp import is_loopback


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Keys of `[providers.<account>]` with `kind = "smtp"`."""

    #: name or address of the relay
    host: str
    #: default 587; 465 goes with `tls`, 25 with a relay of one's own
    port: int = 587
    #: `starttls` and `tls` never fall back to plain text; default starttls
    security: Literal["none", "starttls", "tls"] = "starttls"
    #: default: no login
    username: str = ""
    #: default: empty
    password: str = field(default="", repr=False)
    #: `Example <no-reply@example.com>`, or the address alone
    from_: str
    #: a mailbox like `from`; default: none
    reply_to: str = ""
    #: where bounces go; default: the address of `from`
    envelope_sender: str = ""
    #: ask for bounces that name our reference (RFC 3461); default false
    dsn: bool = False
    #: what we call ourselves in EHLO; default: the machine's name
    local_hostname: str = ""
    #: default 100
    messages_per_connection: int = 100

    def __post_init__(self) -> None:
        faults = mailboxes.faults(
            required={"from": self.from_}, optional={"reply_to": self.reply_to}
        )
        if self.envelope_sender and mailboxes.read(self.envelope_sender) is None:
            faults.append("envelope_sender: not an email address")
        if not self.host:
            faults.append("host: is empty")
        if not 0 < self.port < 65536:
            faults.append("port: not between 1 and 65535")
        if self.messages_per_connection < 1:
            faults.append("messages_per_connection: less than 1")
        if self.username and self.security == "none" and not is_loopback(self.host):
            faults.append("security: a password needs tls or starttls, unless the host is local")
        if faults:
            raise errors.SettingsError(faults)


class Provider(base.SmtpProvider):
    """One account at a relay."""

    name: ClassVar[str] = "smtp"
    batch_limit: ClassVar[int] = 1

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        sender = mailboxes.read(settings.from_)
        if sender is None:
            raise errors.SettingsError(["from: not a mailbox"])
        self.account = account
        self.channel = wire.Channel.EMAIL
        self.reports: frozenset[wire.ReceiptEvent] = frozenset()
        self._settings = settings
        self._clock = clock
        self._sender = sender
        self._reply_to = mailboxes.read(settings.reply_to)
        bounces = mailboxes.read(settings.envelope_sender) or sender
        self._envelope_sender = bounces.address

    @property
    def settings(self) -> Settings:
        return self._settings

    def build_envelopes(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[wire.Message, wire.Envelope]]:
        """Of `content.extra` it reads `list_unsubscribe`, a URI or a list of them, `feedback_id`
        and `attachments`.

        Raises ValueError for an address, subject or URI that no header can hold.
        """
        return [(message, self._envelope(message)) for message in messages]

    def _envelope(self, message: wire.Message) -> wire.Envelope:
        recipient = mailboxes.ascii_domain(message.to.email)
        return wire.Envelope(
            sender=self._envelope_sender,
            recipients=(recipient,),
            content=self._content(message, recipient),
            mail_options=self._mail_options(message),
            rcpt_options=self._rcpt_options(recipient),
        )

    def _content(self, message: wire.Message, recipient: str) -> bytes:
        unsubscribe = mailboxes.unsubscribe_uris(message.content)
        return mime.build(
            sender=self._sender,
            to=recipient,
            reference=message.reference,
            now_ms=self._clock.now_ms(),
            subject=message.content.subject,
            text=message.content.text,
            html=message.content.html,
            reply_to=self._reply_to,
            unsubscribe=unsubscribe,
            automatic=not unsubscribe and message.category != "marketing",
            feedback_id=str(message.content.extra.get("feedback_id", "")),
            attachments=attachments.of(message.content),
        )

    def _mail_options(self, message: wire.Message) -> Sequence[str]:
        if not self._settings.dsn:
            return ()
        return "RET=HDRS", f"ENVID={_xtext(message.reference)}"

    def _rcpt_options(self, recipient: str) -> Sequence[str]:
        if not self._settings.dsn:
            return ()
        if not recipient.isascii():
            return ("NOTIFY=FAILURE",)
        return "NOTIFY=FAILURE", f"ORCPT=rfc822;{_xtext(recipient)}"

    def read_reply(self, message: wire.Message, reply: wire.SmtpReply) -> wire.AttemptResult:
        return smtp_replies.read(reply)


def _xtext(value: str) -> str:
    """RFC 3461 §4."""
    return re.sub(r"[^!-*,-<>-~]", lambda match: f"+{ord(match[0]):02X}", value)
