"""The way of an SMTP connection to where MAIL may follow: greeting, TLS and login, by aiosmtplib.

RFC 5321 §4.1.1.1 (EHLO), RFC 3207 (STARTTLS), RFC 4954 (AUTH).
"""

import contextlib
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import aiosmtplib

from gateway.model import errors, wire

Security: TypeAlias = Literal["none", "starttls", "tls"]

_Step: TypeAlias = tuple[str, Callable[[aiosmtplib.SMTP], Awaitable[None]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """How connections are secured, and who we are."""

    #: `starttls` and `tls` never fall back to plain text
    security: Security
    #: empty: nobody logs in
    username: str
    password: str = field(repr=False)

    async def perform(self, client: aiosmtplib.SMTP) -> wire.SmtpReply | None:
        """Connects. None once the relay takes mail, else the reply by which it declined.

        Raises NotSent. The connection is closed unless it is ready.
        """
        stage = "connect"
        try:
            for name, step in self._steps():
                stage = name
                await step(client)
        except aiosmtplib.SMTPResponseException as error:
            client.close()
            return _declined(error, stage)
        except (aiosmtplib.SMTPException, OSError) as error:
            client.close()
            raise errors.NotSent(_reason(error)) from None
        except BaseException:
            client.close()
            raise
        return None

    def _steps(self) -> Iterator[_Step]:
        yield "connect", _greet
        if self.security == "starttls":
            yield "starttls", _secure
        if self.username:
            yield "auth", self._log_in
            yield "auth", _greet_again

    async def _log_in(self, client: aiosmtplib.SMTP) -> None:
        """One mechanism, once: a wrong password tried three ways can lock the account."""
        if "plain" in client.server_auth_methods:
            await client.auth_plain(self.username, self.password)
        elif "login" in client.server_auth_methods:
            await client.auth_login(self.username, self.password)
        else:
            raise _GivenUp("auth not offered")


class _GivenUp(aiosmtplib.SMTPException):
    """We do not go on: the relay lacks what is insisted on."""


async def _greet(client: aiosmtplib.SMTP) -> None:
    await client.connect()
    await client.ehlo()


async def _secure(client: aiosmtplib.SMTP) -> None:
    if not client.supports_extension("starttls"):
        raise _GivenUp("starttls not offered")
    await client.starttls()
    await client.ehlo()  # RFC 3207 §4.2: what was offered in plain text is forgotten


async def _greet_again(client: aiosmtplib.SMTP) -> None:
    """Some relays offer more, or a larger SIZE, to those whom they know. Not all like to be asked:
    then what they offered before holds (RFC 5321 §4.1.4)."""
    with contextlib.suppress(aiosmtplib.SMTPHeloError):
        await client.ehlo()


def _declined(error: aiosmtplib.SMTPResponseException, stage: str) -> wire.SmtpReply:
    if not 200 <= error.code <= 599:  # the library's own code for what it cannot read
        raise errors.NotSent("malformed reply")
    return wire.SmtpReply(code=error.code, text=error.message, stage=stage)


#: More special types first.
_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (ssl.SSLCertVerificationError, "tls certificate"),
    (ssl.SSLError, "tls"),
    (socket.gaierror, "dns"),
    (ConnectionRefusedError, "connect refused"),
    (TimeoutError, "connect timeout"),
    (aiosmtplib.SMTPServerDisconnected, "disconnected"),
)


def _reason(error: BaseException) -> str:
    """A constant for the error or for what caused it."""
    if isinstance(error, _GivenUp):
        return error.message
    chain = (error.__cause__, error)
    return next(
        (reason for one in chain for kind, reason in _REASONS if isinstance(one, kind)),
        "connect failed",
    )


def is_loopback(host: str) -> bool:
    """Whether what is sent there never leaves the machine. Names but `localhost` are not asked."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
