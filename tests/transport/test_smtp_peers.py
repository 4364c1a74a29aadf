"""The SMTP pool against other people's servers: aiosmtpd, and Postfix's smtp-sink where it is."""

import asyncio
import contextlib
import email
import email.policy
import functools
import os
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from gateway.clock import SystemClock
from gateway.content import mime
from gateway.model import errors, wire
from gateway.transport.smtp import PooledSmtpTransport
from gateway.transport.smtp_connect import Security

CONTENT = mime.build(
    sender=mime.Mailbox(name="Beispiel GmbH", address="us@example.com"),
    to="li@example.com",
    reference="0190a000-0000-7000-8000-000000000000-0-0-0",
    now_ms=1_767_225_600_000,
    subject="Ihr Code ❤",
    text=".Der Code ist 123456.\n..\n.\nEnde",
    html="<p>.</p>\n.\n",
)
ENVELOPE = wire.Envelope(sender="us@example.com", recipients=("li@example.com",), content=CONTENT)


class Mailroom:
    """Keeps what aiosmtpd hands it; refuses some recipients."""

    def __init__(self) -> None:
        self.taken: list[tuple[str | None, list[str], bytes, bool, bool]] = []

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.startswith("nobody"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.taken.append(
            (
                envelope.mail_from,
                envelope.rcpt_tos,
                envelope.content,
                session.ssl is not None,
                session.authenticated or False,
            )
        )
        return f"250 2.0.0 OK queued as {len(self.taken):010}"


def authenticate(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
) -> AuthResult:
    assert isinstance(data, LoginPassword)
    known = (data.login, data.password) == (b"gateway", b"s3cret")
    return AuthResult(success=known, handled=False)


@contextlib.asynccontextmanager
async def aiosmtpd(
    mailroom: Mailroom, options: Mapping[str, Any], tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Runs aiosmtpd on this loop; gives the port."""
    loop = asyncio.get_running_loop()
    make = functools.partial(SMTP, mailroom, loop=loop, **options)
    server = await loop.create_server(make, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def pool(
    port: int, *, security: Security, tls: ssl.SSLContext | None = None, password: str = ""
) -> PooledSmtpTransport:
    return PooledSmtpTransport(
        host="localhost" if tls else "127.0.0.1",
        port=port,
        clock=SystemClock(),
        security=security,
        username="gateway" if password else "",
        password=password,
        connections=4,
        local_hostname="gw.test",
        tls=tls,
    )


def auth_options(tls: ssl.SSLContext, mechanisms: set[str]) -> dict[str, Any]:
    return {
        "tls_context": tls,
        "require_starttls": True,
        "auth_required": True,
        "authenticator": authenticate,
        "auth_exclude_mechanism": mechanisms,
    }


async def test_many_messages_arrive_unchanged_over_few_connections() -> None:
    mailroom = Mailroom()

    async with aiosmtpd(mailroom, {}) as port, pool(port, security="none") as transport:
        replies = await asyncio.gather(*(transport.send(ENVELOPE, timeout=30) for _ in range(100)))

    assert {reply.code for reply in replies} == {250}
    assert len({reply.text for reply in replies}) == 100
    assert {content for _, _, content, _, _ in mailroom.taken} == {CONTENT}
    parsed = email.message_from_bytes(mailroom.taken[0][2], policy=email.policy.default)
    assert parsed["Subject"] == "Ihr Code ❤"


@pytest.mark.parametrize("excluded", [set(), {"PLAIN"}])
async def test_starttls_and_login_come_before_mail(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, excluded: set[str]
) -> None:
    mailroom = Mailroom()
    options = auth_options(server_tls, excluded)

    async with (
        aiosmtpd(mailroom, options) as port,
        pool(port, security="starttls", tls=client_tls, password="s3cret") as transport,
    ):
        reply = await transport.send(ENVELOPE, timeout=30)

    assert reply.code == 250
    ((_, _, _, encrypted, authenticated),) = mailroom.taken
    assert encrypted
    assert authenticated


async def test_wrong_password_is_a_reply(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    options = auth_options(server_tls, set())

    async with (
        aiosmtpd(Mailroom(), options) as port,
        pool(port, security="starttls", tls=client_tls, password="wrong") as transport,
    ):
        reply = await transport.send(ENVELOPE, timeout=30)

    assert (reply.code, reply.stage) == (535, "auth")


async def test_implicit_tls_works(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    mailroom = Mailroom()

    async with (
        aiosmtpd(mailroom, {}, server_tls) as port,
        pool(port, security="tls", tls=client_tls) as transport,
    ):
        replies = [await transport.send(ENVELOPE, timeout=30) for _ in range(3)]

    assert [reply.code for reply in replies] == [250, 250, 250]


@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_untrusted_certificate_is_not_sent(
    server_tls: ssl.SSLContext, security: Security
) -> None:
    options = {} if security == "tls" else {"tls_context": server_tls}
    implicit = server_tls if security == "tls" else None

    async with (
        aiosmtpd(Mailroom(), options, implicit) as port,
        pool(port, security=security) as transport,
    ):
        with pytest.raises(errors.NotSent, match="tls certificate"):
            await transport.send(ENVELOPE, timeout=30)


async def test_refused_recipient_does_not_spoil_the_next_message() -> None:
    mailroom = Mailroom()
    nobody = wire.Envelope(
        sender="us@example.com", recipients=("nobody@example.com",), content=CONTENT
    )

    async with aiosmtpd(mailroom, {}) as port, pool(port, security="none") as transport:
        refused = await transport.send(nobody, timeout=30)
        taken = await transport.send(ENVELOPE, timeout=30)

    assert (refused.code, refused.stage) == (550, "rcpt")
    assert taken.code == 250
    assert [rcpts for _, rcpts, _, _, _ in mailroom.taken] == [["li@example.com"]]


async def test_non_ascii_address_goes_where_smtputf8_is_offered() -> None:
    mailroom = Mailroom()
    message = wire.Envelope(
        sender="us@example.com",
        recipients=("李@example.com",),
        content="To: 李@example.com\r\n\r\nx\r\n".encode(),
    )

    async with (
        aiosmtpd(mailroom, {"enable_SMTPUTF8": True}) as port,
        pool(port, security="none") as transport,
    ):
        reply = await transport.send(message, timeout=30)

    assert reply.code == 250
    assert mailroom.taken[0][1] == ["李@example.com"]


SINK = shutil.which("smtp-sink", path="/usr/sbin:/usr/bin:/usr/libexec/postfix")


@pytest.mark.skipif(SINK is None, reason="smtp-sink (Postfix) is not installed")
async def test_smtp_sink_takes_messages(listener: socket.socket) -> None:
    assert SINK is not None
    port = listener.getsockname()[1]
    listener.close()
    as_user = ("-u", "nobody") if os.geteuid() == 0 else ()  # it insists
    sink = await asyncio.create_subprocess_exec(
        SINK, *as_user, "-c", f"127.0.0.1:{port}", "100", stdout=asyncio.subprocess.PIPE
    )
    assert sink.stdout is not None
    try:
        async with pool(port, security="none") as transport:
            while True:
                assert sink.returncode is None, "smtp-sink has ended"
                with contextlib.suppress(errors.NotSent):
                    await transport.send(ENVELOPE, timeout=30)
                    break
                await asyncio.sleep(0.01)
            replies = await asyncio.gather(
                *(transport.send(ENVELOPE, timeout=30) for _ in range(50))
            )
    finally:
        sink.terminate()
        await sink.wait()

    assert {reply.code for reply in replies} == {250}
