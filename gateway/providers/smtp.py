"""Email by an SMTP relay: one's own, or the SMTP endpoint of a mail service.

RFC 5321 (envelope), RFC 3461 and RFC 6533 §4.2 (DSN), RFC 5890 (domain names), RFC 6376 (DKIM);
what replies mean is in `smtp_replies`, what comes back by mail in `bounces`.

A relay tells no more than its replies; bounces and complaints are mails. Whatever receives them
posts them whole to `/v1/receipts/<account>`, as `Content-Type: message/rfc822`, with
`X-Receipt-Secret` and, if it can, the address they came to in `X-Envelope-To`. So with what
recipients write to the address of `unsubscribe`, see `leaving`.
"""

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from gateway.clock import Clock
from gateway.content import attachments, dkim, mime
from gateway.model import errors, wire
from gateway.providers import base, bounces, leaving, mailboxes, smtp_replies, verp
from gateway.transport.smtp_connect import is_loopback

#: RFC 3461 §4.2: characters that ORCPT may have.
_MAX_ORCPT = 500

#: Whoever gets a mail could guess a shorter one at leisure, by the tag.
_MIN_SECRET = 16

#: What addresses are tried with: as long as an ordinary reference.
_EXAMPLE = "00000000-0000-7000-8000-000000000000-0-0-0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dkim:
    """A key to sign with. Not for relays that sign, or that change what they are given."""

    #: of `From`, or one above it, so that DMARC passes
    domain: str
    #: where the domain has published the key: `<selector>._domainkey.<domain>`
    selector: str
    #: private key in PEM: RSA of 2048 bits, or Ed25519, which not all receivers know
    key: str = field(repr=False)

    def signer(self) -> dkim.Signer:
        """Raises ValueError."""
        domain = mailboxes.ascii_domain("@" + self.domain).removeprefix("@")
        return dkim.Signer(domain=domain, selector=self.selector, key=self.key)


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
    #: `bounces+{reference}@example.com`: each message gets an envelope sender of its own, with a
    #: tag that nobody else can make, at a domain whose mail is posted to us; needs
    #: receipt_secret; default: envelope_sender for all
    bounce: str = ""
    #: `unsubscribe+{reference}@example.com`: in List-Unsubscribe, each message gets an address of
    #: its own beside the link of its category; who writes there gets no more of it. At a domain
    #: whose mail is posted to us; needs receipt_secret; default: the link alone
    unsubscribe: str = ""
    #: ask for bounces that name our reference (RFC 3461); default false
    dsn: bool = False
    #: ask for reports of delivery too, with dsn; many servers say only that they have passed the
    #: message on; default false
    dsn_success: bool = False
    #: what proves that a posted mail comes from our mail system; default: none is believed
    receipt_secret: str = field(default="", repr=False)
    #: the secret before, while old bounces may come; default: none
    receipt_secret_previous: str = field(default="", repr=False)
    #: sign with this key, or with each of several; default: leave it to the relay
    dkim: Sequence[Dkim] | Dkim | None = None
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
        faults += self._report_faults()
        faults += self._dkim_faults()
        if faults:
            raise errors.SettingsError(faults)

    def _report_faults(self) -> list[str]:
        faults = []
        if self.dsn_success and not self.dsn:
            faults.append("dsn_success: needs dsn")
        if self.receipt_secret_previous and not self.receipt_secret:
            faults.append("receipt_secret_previous: needs receipt_secret")
        for key, pattern in (("bounce", self.bounce), ("unsubscribe", self.unsubscribe)):
            faults += self._pattern_faults(key, pattern) if pattern else []
        if self.unsubscribe and self.unsubscribe.lower() == self.bounce.lower():
            faults.append("unsubscribe: is the address of bounce")
        return faults

    def _pattern_faults(self, key: str, pattern: str) -> list[str]:
        if len(self.receipt_secret) < _MIN_SECRET:
            return [f"{key}: needs a receipt_secret of {_MIN_SECRET} characters or more"]
        local, _, domain = pattern.rpartition("@")
        if local.count(verp.PLACE) != 1 or verp.PLACE in domain:
            return [f"{key}: not one {verp.PLACE} before the @"]
        if mailboxes.read(pattern.replace(verp.PLACE, "x")) is None:
            return [f"{key}: not an email address"]
        if not verp.Addresses(pattern, ["x"], account="").make(_EXAMPLE):
            return [f"{key}: over {verp.MAX_PREFIX} octets beside {verp.PLACE} before the @"]
        return []

    def _dkim_faults(self) -> list[str]:
        faults = []
        for at, one in enumerate(self.keys):
            place = "dkim" if isinstance(self.dkim, Dkim) else f"dkim[{at}]"
            try:
                one.signer()
            except ValueError as error:
                faults.append(f"{place}: {error}")
        if len({(one.domain, one.selector) for one in self.keys}) < len(self.keys):
            faults.append("dkim: two keys under one name")
        return faults

    @property
    def keys(self) -> Sequence[Dkim]:
        """Of `dkim`, as a list."""
        return [self.dkim] if isinstance(self.dkim, Dkim) else (self.dkim or ())


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
        tells = settings.dsn and settings.dsn_success and settings.receipt_secret
        self.reports = frozenset({wire.ReceiptEvent.DELIVERED} if tells else ())
        self._settings = settings
        self._clock = clock
        self._sender = sender
        self._reply_to = mailboxes.read(settings.reply_to)
        returns = mailboxes.read(settings.envelope_sender) or sender
        self._envelope_sender = returns.address
        self._signers = [one.signer() for one in settings.keys]
        secrets = (settings.receipt_secret, settings.receipt_secret_previous)
        self._secrets = [secret for secret in secrets if secret]
        self._addresses = self._sealed(settings.bounce, "verp")
        self._exits = self._sealed(settings.unsubscribe, "unsubscribe")

    def _sealed(self, pattern: str, purpose: str) -> verp.Addresses | None:
        if not pattern:
            return None
        address = mailboxes.ascii_domain(pattern)
        return verp.Addresses(address, self._secrets, account=self.account, purpose=purpose)

    @property
    def settings(self) -> Settings:
        return self._settings

    def build_envelopes(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[wire.Message, wire.Envelope]]:
        """Of `content.extra` it reads `list_unsubscribe`, a URI or a list of them, `can_leave`,
        `feedback_id` and `attachments`.

        Raises ValueError for an address, subject or URI that no header can hold.
        """
        return [(message, self._envelope(message)) for message in messages]

    def _envelope(self, message: wire.Message) -> wire.Envelope:
        recipient = mailboxes.ascii_domain(message.to.email)
        return wire.Envelope(
            sender=self._sender_of(message),
            recipients=(recipient,),
            content=self._finish(message, self._content(message, recipient)),
            mail_options=self._mail_options(message),
            rcpt_options=self._rcpt_options(recipient),
        )

    def _content(self, message: wire.Message, recipient: str) -> bytes:
        unsubscribe = self._unsubscribe_uris(message)
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

    def _unsubscribe_uris(self, message: wire.Message) -> Sequence[str]:
        uris = mailboxes.unsubscribe_uris(message.content)
        if self._exits is None or not message.content.extra.get("can_leave"):
            return uris
        exit_ = self._exits.make(message.reference)
        return [*uris, leaving.uri(exit_)] if exit_ else uris

    def _sender_of(self, message: wire.Message) -> str:
        """Where bounces of this message go."""
        own = self._addresses.make(message.reference) if self._addresses else ""
        return own or self._envelope_sender

    def _finish(self, message: wire.Message, content: bytes) -> bytes:
        """What comes last: our name where the relay may replace Message-ID, and signatures."""
        if self._secrets:
            name = f"{bounces.REFERENCE_HEADER}: {message.reference}\r\n"
            content = name.encode("ascii") + content
        now_s = self._clock.now_ms() // 1000
        return b"".join([one.sign(content, now_s=now_s) for one in self._signers]) + content

    def _mail_options(self, message: wire.Message) -> Sequence[str]:
        if not self._settings.dsn:
            return ()
        return "RET=HDRS", f"ENVID={_xtext(message.reference)}"

    def _rcpt_options(self, recipient: str) -> Sequence[str]:
        if not self._settings.dsn:
            return ()
        notify = "NOTIFY=SUCCESS,FAILURE" if self._settings.dsn_success else "NOTIFY=FAILURE"
        original = _original(recipient)
        return (notify, original) if len(original) <= _MAX_ORCPT else (notify,)

    def read_reply(self, message: wire.Message, reply: wire.SmtpReply) -> wire.AttemptResult:
        return smtp_replies.read(reply)

    def verify_receipt(self, request: wire.HttpRequest) -> bool:
        """Whether it has the secret. Without one in the settings nothing is believed."""
        offered = request.headers.get("x-receipt-secret", "").encode("utf-8", "replace")
        proofs = [hmac.compare_digest(offered, one.encode("utf-8")) for one in self._secrets]
        return request.method == "POST" and any(proofs)

    def read_receipts(self, request: wire.HttpRequest) -> Sequence[wire.DeliveryReceipt]:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in ("message/rfc822", "message/global"):
            raise errors.UnreadableReceipt("not posted as message/rfc822")
        envelope_to = request.headers.get("x-envelope-to", "")
        return bounces.read(request.body, envelope_to=envelope_to, addresses=self._addresses)

    def read_leaving(self, request: wire.HttpRequest) -> Sequence[str]:
        if self._exits is None:
            return ()
        envelope_to = request.headers.get("x-envelope-to", "")
        found = leaving.read(request.body, envelope_to=envelope_to, addresses=self._exits)
        return [found] if found else ()

    def answer_receipt(self, request: wire.HttpRequest) -> wire.HttpResponse:
        return wire.HttpResponse(status=204)


def _xtext(value: str) -> str:
    """RFC 3461 §4."""
    return re.sub(r"[^!-*,-<>-~]", lambda match: f"+{ord(match[0]):02X}", value)


def _original(recipient: str) -> str:
    """ORCPT: as xtext, or as RFC 6533 §3 has what is not ASCII, in ASCII."""
    if recipient.isascii():
        return f"ORCPT=rfc822;{_xtext(recipient)}"
    escaped = re.sub(r"[^!-*,-<>-\[\]-~]", lambda match: f"\\x{{{ord(match[0]):X}}}", recipient)
    return f"ORCPT=utf-8;{escaped}"
