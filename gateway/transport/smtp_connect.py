"""A connection to a relay, ready for MAIL: aiosmtplib connects, starts TLS, greets and logs in.

RFC 5321 §4.1.1.1 (EHLO), RFC 3207 (STARTTLS), RFC 4954 (AUTH).
"""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import Literal, TypeAlias

import aiosmtplib

from gateway.model import errors, wire

Security: TypeAlias = Literal["none", "starttls", "tls"]

#: Postfix waits 30 s; a relay on our side of the world answers in less.
CONNECT_TIMEOUT = 30.0

_Step: TypeAlias = tuple[str, Callable[[aiosmtplib.SMTP], Awaitable[None]]]


class _GivenUp(aiosmtplib.SMTPException):
    """We do not go on: the relay lacks what is insisted on."""


class Connector:
    """Opens connections to one relay."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        security: Security,
        username: str,
        password: str,
        local_hostname: str,
        timeout: float,
        tls: ssl.SSLContext | None,
    ) -> None:
        """As `smtp.PooledSmtpTransport`. timeout: seconds for each step."""
        self._host = host
        self._port = port
        self._security = security
        self._username = username
        self._password = password
        self._local_hostname = local_hostname
        self._timeout = timeout
        self._tls = tls

    async def prepare(self) -> None:
        """Read the system's certificates, once."""
        if self._tls is None and self._security != "none":
            self._tls = await asyncio.to_thread(ssl.create_default_context)

    async def connect(self) -> aiosmtplib.SMTP | wire.SmtpReply:
        """Somebody to say MAIL to, or the reply by which the relay declined. Raises NotSent."""
        client = aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            local_hostname=self._local_hostname,
            timeout=self._timeout,
            use_tls=self._security == "tls",
            start_tls=False,
            tls_context=self._tls,
        )
        stage = "connect"
        try:
            for name, step in self._steps():
                stage = name
                await step(client)
            if not client.is_connected or client.transport is None:
                raise aiosmtplib.SMTPServerDisconnected("closed")
        except aiosmtplib.SMTPResponseException as error:
            client.close()
            return _declined(error, stage)
        except (aiosmtplib.SMTPException, OSError) as error:
            client.close()
            raise errors.NotSent(_reason(error)) from None
        except BaseException:
            client.close()
            raise
        return client

    def _steps(self) -> Iterator[_Step]:
        yield "connect", _greet
        if self._security == "starttls":
            yield "starttls", _secure
        if self._username:
            yield "auth", self._log_in
            yield "auth", _greet_again

    async def _log_in(self, client: aiosmtplib.SMTP) -> None:
        """One mechanism, once: a wrong password tried three ways can lock the account."""
        if "plain" in client.server_auth_methods:
            await client.auth_plain(self._username, self._password)
        elif "login" in client.server_auth_methods:
            await client.auth_login(self._username, self._password)
        else:
            raise _GivenUp("auth not offered")


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
