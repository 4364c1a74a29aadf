"""What a relay of the simulator offers, and what its sessions need of it."""

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from aiosmtpd import smtp

from gateway.sandbox import smtp_mail
from gateway.sandbox.judge import Judge

if TYPE_CHECKING:
    from gateway.sandbox.smtp_session import Session


class Relay(Protocol):
    """What a session needs of its simulator."""

    @property
    def settings(self) -> "Settings": ...
    @property
    def judge(self) -> Judge: ...
    @property
    def sessions(self) -> "set[Session]": ...

    def judge_recipient(self, address: str) -> smtp_mail.Verdict: ...
    def record_refusal(self, address: str, verdict: smtp_mail.Verdict) -> None: ...
    def record_mail(self, mail: smtp_mail.Mail, content: bytes) -> str: ...
    async def pause(self) -> None: ...
    async def hang(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a relay presents itself."""

    #: offered as STARTTLS; required before AUTH and MAIL
    starttls: ssl.SSLContext | None
    #: required before MAIL, when not empty
    username: bytes
    password: bytes
    pipelining: bool
    #: BDAT instead of DATA (RFC 3030)
    chunking: bool
    #: after so many, MAIL is answered 421; 0: no limit
    messages_per_connection: int


class Hooks:
    """What aiosmtpd asks of its handler."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def handle_EHLO(
        self,
        server: smtp.SMTP,
        session: smtp.Session,
        envelope: smtp.Envelope,
        hostname: str,
        responses: list[str],
    ) -> list[str]:
        session.host_name = hostname
        offered = [one for one in responses[:-1] if self._settings.username or "AUTH" not in one]
        if self._settings.pipelining:
            offered.append("250-PIPELINING")
        if self._settings.chunking:
            offered.append("250-CHUNKING")
        return [*offered, "250-DSN", "250 ENHANCEDSTATUSCODES"]
