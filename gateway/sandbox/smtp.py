"""A mail relay: submission with STARTTLS, AUTH, PIPELINING and DSN, on aiosmtpd.

RFC 5321, 2920 (PIPELINING), 3207 (STARTTLS), 4954 (AUTH), 3461 (DSN), 3463 and 5248 (enhanced
codes). Magic addresses are those whose local part, up to a `+`, is one of `MAGIC`, at any domain.
What it has taken may come back by mail: such mails are posted to the knob `receipt_url`.
"""

import asyncio
import logging
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import ClassVar, Literal, TypeAlias, Unpack

from gateway.model import wire
from gateway.sandbox import base, certificate, smtp_mail, smtp_offer, smtp_reports, smtp_session
from gateway.sandbox.log import Arrival, find_reference
from gateway.sandbox.magic import ORDINARY, Fate, Magic

Security: TypeAlias = Literal["none", "starttls", "tls"]

#: At RCPT, unless `_AT_CONTENT` has the address.
MAGIC: Mapping[str, Magic] = {
    "unknown": Magic(fate=Fate.RECIPIENT, code="550 5.1.1 <>: user unknown"),
    "disabled": Magic(fate=Fate.RECIPIENT, code="550 5.2.1 mailbox disabled"),
    "full": Magic(fate=Fate.TEMPORARY, code="452 4.2.2 mailbox full"),
    "defer": Magic(fate=Fate.TEMPORARY, code="451 4.7.1 greylisted, try again later"),
    "greylist": Magic(fate=Fate.TEMPORARY, code="451 4.7.1 greylisted, try again later"),
    "blocked": Magic(fate=Fate.PERMANENT, code="550 5.7.1 refused by policy"),
    "bounce": Magic(fate=Fate.RECIPIENT, code="550 5.1.1 no such mailbox"),
    "spam": Magic(fate=Fate.PERMANENT, code="554 5.7.1 message refused as spam"),
    "big": Magic(fate=Fate.PERMANENT, code="552 5.3.4 message too big"),
    "later": Magic(fate=Fate.TEMPORARY, code="451 4.3.0 try again later"),
    "lost": Magic(fate=Fate.LOST),
    "hang": Magic(fate=Fate.HUNG),
    # taken, and then a mail comes back
    "gone": Magic(receipt=wire.ReceiptEvent.BOUNCED),
    "expired": Magic(receipt=wire.ReceiptEvent.EXPIRED),
    "filtered": Magic(receipt=wire.ReceiptEvent.FAILED),
    "complaint": Magic(receipt=wire.ReceiptEvent.COMPLAINED),
    "silent": Magic(silent=True),
}

#: Refused only after the whole content has come.
_AT_CONTENT = frozenset({"bounce", "spam", "big", "later", "lost", "hang"})

#: Refused once, then taken.
_ONCE = "greylist"

#: Greylisted addresses remembered.
_REMEMBERED = 100_000

#: What the knobs' errors are answered, and at which stage: RCPT or content.
_ERRORS: Mapping[Fate, tuple[str, bool]] = {
    Fate.TEMPORARY: ("451 4.3.0 temporary trouble", True),
    Fate.PERMANENT: ("554 5.6.0 content refused", True),
    Fate.RECIPIENT: ("550 5.1.1 user unknown", False),
    Fate.CREDENTIAL: ("530 5.7.0 authentication required", False),
    Fate.THROTTLED: (smtp_session.THROTTLED, False),
}


class SmtpSimulator(base.Simulator):
    """A relay that takes mail for any address and keeps the headers."""

    kind: ClassVar[str] = "smtp"
    scheme: ClassVar[str] = "smtp"

    def __init__(
        self,
        *,
        security: Security = "none",
        username: str = "",
        password: str = "",
        pipelining: bool = True,
        chunking: bool = True,
        messages_per_connection: int = 0,
        receipt_secret: str = "",
        **options: Unpack[base.Options],
    ) -> None:
        """messages_per_connection: after so many MAIL is answered 421; 0: no limit.

        receipt_secret: what the mail system shows with mails that come back.
        """
        super().__init__(**options)
        self.security = security
        #: what clients must trust, once it is entered; None without TLS
        self.certificate: certificate.Certificate | None = None
        self.settings = smtp_offer.Settings(
            starttls=None,
            username=username.encode(),
            password=password.encode(),
            pipelining=pipelining,
            chunking=chunking,
            messages_per_connection=messages_per_connection,
        )
        self._receipt_secret = receipt_secret
        self.sessions: set[smtp_session.Session] = set()
        self._greylisted: OrderedDict[str, None] = OrderedDict()

    async def _start(self, stack: AsyncExitStack) -> Callable[[], asyncio.BaseProtocol]:
        # It logs addresses at INFO, and warns of its own use of what it has deprecated.
        logging.getLogger("mail.log").setLevel(logging.ERROR)
        if self.security != "none":
            self.certificate = certificate.self_signed()
            context = self.certificate.context
            self._tls = context if self.security == "tls" else None
            starttls = context if self.security == "starttls" else None
            self.settings = replace(self.settings, starttls=starttls)
        stack.push_async_callback(self._finish_sessions)
        return lambda: smtp_session.Session(self)

    def _drop_connections(self) -> None:
        for session in tuple(self.sessions):
            session.abort()

    async def _finish_sessions(self) -> None:
        tasks = [session.task for session in self.sessions if session.task is not None]
        self._drop_connections()
        if tasks:
            await asyncio.wait(tasks, timeout=1)

    def judge_recipient(self, address: str) -> smtp_mail.Verdict:
        """What becomes of a message for the address, and when that is said."""
        local = _local(address)
        magic = MAGIC.get(local, ORDINARY)
        if local == _ONCE and not self._is_first(address):
            magic = ORDINARY
        fate = self.judge.draw(magic)
        if magic.code and fate is magic.fate:
            reply = magic.code.replace("<>", f"<{address}>")
            return smtp_mail.Verdict(fate=fate, reply=reply, late=local in _AT_CONTENT)
        if fate in _ERRORS:
            reply, late = _ERRORS[fate]
            return smtp_mail.Verdict(fate=fate, reply=reply, late=late)
        return smtp_mail.Verdict(fate=fate)

    def _is_first(self, address: str) -> bool:
        if address in self._greylisted:
            return False
        self._greylisted[address] = None
        if len(self._greylisted) > _REMEMBERED:
            self._greylisted.popitem(last=False)
        return True

    def record_refusal(self, address: str, verdict: smtp_mail.Verdict) -> None:
        """A recipient that was refused before there was content."""
        self.log.add(
            Arrival(at=self.now(), to=address, fate=verdict.fate, answer=verdict.reply[:9])
        )

    def record_mail(self, mail: smtp_mail.Mail, content: bytes) -> str:
        """Log the whole message, once a recipient; its queue id."""
        id, at = uuid.uuid4().hex[:16], self.now()
        headers = smtp_mail.headers_of(content)
        reference = find_reference(mail.envelope_id, headers.get("message-id", ""), str(headers))
        described = {"from": mail.sender, "headers": headers, "size": len(content)}
        verdict = mail.verdict
        fate = verdict.fate
        for to, _ in mail.recipients:
            self.log.add(
                Arrival(
                    at=at,
                    id=id if fate in (Fate.TAKEN, Fate.LOST) else "",
                    reference=reference,
                    to=to,
                    fate=fate,
                    answer=verdict.reply[:9] or "250 2.0.0",
                    content=described,
                )
            )
            if fate in (Fate.TAKEN, Fate.LOST):
                self._bring_back(mail, to, content)
        return id

    def _bring_back(self, mail: smtp_mail.Mail, to: str, content: bytes) -> None:
        event = self.judge.receipt(MAGIC.get(_local(to), ORDINARY))
        if event is None or not self.knobs.receipt_url:
            return
        asked = mail.asked.get(to, {})
        sent = smtp_reports.Sent(
            sender=mail.sender,
            recipient=to,
            content=content,
            envelope_id=mail.envelope_id,
            notify=asked.get("NOTIFY", ""),
            original=asked.get("ORCPT", ""),
        )
        if not (back := smtp_reports.compose(sent, event)):
            return
        report = smtp_reports.report(
            self.knobs.receipt_url,
            self._receipt_secret,
            back,
            # complaints go to the postmaster's desk, not to the envelope sender
            envelope_to="" if event is wire.ReceiptEvent.COMPLAINED else mail.sender,
            retry_delay=lambda: self.knobs.receipt_retry_delay,
        )
        delay = self.judge.receipt_delay()
        for _ in range(1 + self.knobs.receipt_repeats):
            self.reporter.schedule(delay, report)


def _local(address: str) -> str:
    """What magic goes by."""
    return address.partition("@")[0].partition("+")[0].lower()
