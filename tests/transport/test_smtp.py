"""The SMTP pool against scripted relays: what was sent, what was not, what nobody knows."""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import pytest

from gateway.clock import LoopClock, SystemClock
from gateway.model import errors, wire
from gateway.transport.smtp import PooledSmtpTransport

Serve = Callable[..., Awaitable[int]]

EHLO = ("SIZE 10000", "8BITMIME", "DSN", "SMTPUTF8", "AUTH PLAIN LOGIN")
CONTENT = b"Subject: x\r\n\r\nbody\r\n"


def envelope(
    *,
    sender: str = "us@example.com",
    recipient: str = "li@example.com",
    content: bytes = CONTENT,
    mail_options: Sequence[str] = (),
    rcpt_options: Sequence[str] = (),
) -> wire.Envelope:
    return wire.Envelope(
        sender=sender,
        recipients=(recipient,),
        content=content,
        mail_options=mail_options,
        rcpt_options=rcpt_options,
    )


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, text: str) -> None:
        self.writer.write(text.encode() + b"\r\n")

    async def hear(self, verb: str) -> str:
        """The next line, which must begin with the verb; ConnectionError at QUIT or the end."""
        line = await self.reader.readline()
        if not line or line == b"QUIT\r\n":
            raise ConnectionResetError
        assert line.endswith(b"\r\n"), line
        text = line[:-2].decode()
        assert text.startswith(verb), f"{text!r}, not {verb}"
        return text

    async def greet(self, *keywords: str) -> None:
        self.say("220 relay.test ESMTP")
        await self.hear("EHLO gw.test")
        self.say("\r\n".join(f"250-{one}" for one in ("relay.test", *keywords)) + "\r\n250 HELP")

    async def envelope(self) -> tuple[str, str]:
        """MAIL, RCPT and DATA, all welcome."""
        mail = await self.hear("MAIL")
        self.say("250 2.1.0 ok")
        rcpt = await self.hear("RCPT")
        self.say("250 2.1.5 ok")
        await self.hear("DATA")
        self.say("354 go")
        return mail, rcpt

    async def content(self) -> bytes:
        return await self.reader.readuntil(b"\r\n.\r\n")

    async def take(self) -> tuple[str, str, bytes]:
        """A whole message."""
        mail, rcpt = await self.envelope()
        content = await self.content()
        self.say("250 2.0.0 Ok: queued as 4Xyz12")
        return mail, rcpt, content

    async def until_closed(self) -> bytes:
        return await self.reader.read()


Script = Callable[[Peer], Awaitable[None]]


class Relay:
    """Plays one script for each connection, the last one for all that follow."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = self.scripts[min(self.connections, len(self.scripts) - 1)]
        self.connections += 1
        await script(Peer(reader, writer))


async def take_all(peer: Peer) -> None:
    await peer.greet(*EHLO)
    while True:
        await peer.take()


def pool(port: int, **options: object) -> PooledSmtpTransport:
    defaults: dict[str, object] = {
        "host": "127.0.0.1",
        "port": port,
        "security": "none",
        "local_hostname": "gw.test",
        "clock": SystemClock(),
    }
    return PooledSmtpTransport(**{**defaults, **options})  # type: ignore[arg-type]


async def failure(
    transport: PooledSmtpTransport, timeout: float = 30
) -> tuple[type[errors.TransportError], str]:
    with pytest.raises(errors.TransportError) as caught:
        await transport.send(envelope(), timeout=timeout)
    return type(caught.value), caught.value.reason


async def test_message_is_sent_and_the_final_reply_returned(serve: Serve) -> None:
    heard = []

    async def script(peer: Peer) -> None:
        await peer.greet(*EHLO)
        heard.append(await peer.take())

    port = await serve(Relay(script))

    async with pool(port) as transport:
        reply = await transport.send(envelope(), timeout=30)

    assert reply == wire.SmtpReply(
        code=250, text="2.0.0 Ok: queued as 4Xyz12", stage="content", recipient="li@example.com"
    )
    ((mail, rcpt, content),) = heard
    assert mail == f"MAIL FROM:<us@example.com> SIZE={len(CONTENT)}"
    assert rcpt == "RCPT TO:<li@example.com>"
    assert content == CONTENT + b".\r\n"


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        (b".", b"..\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"a\r\n.\r\nb\r\n", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\r\n..b", b"a\r\n...b\r\n.\r\n"),
        (b"a.\r\nb\r\n", b"a.\r\nb\r\n.\r\n"),
    ],
)
async def test_dots_at_line_starts_are_stuffed(serve: Serve, content: bytes, sent: bytes) -> None:
    heard = []

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.envelope()
        heard.append(await peer.reader.readexactly(len(sent)))
        peer.say("250 ok")

    port = await serve(Relay(script))

    async with pool(port) as transport:
        await transport.send(envelope(content=content), timeout=30)

    assert heard == [sent]


async def test_options_are_sent_only_where_they_are_offered(serve: Serve) -> None:
    heard = []

    def script(*keywords: str) -> Script:
        async def play(peer: Peer) -> None:
            await peer.greet(*keywords)
            heard.append((await peer.take())[:2])

        return play

    port = await serve(Relay(script("DSN"), script("SIZE"), script("8BITMIME", "SMTPUTF8")))
    message = envelope(mail_options=("RET=HDRS", "ENVID=a"), rcpt_options=("NOTIFY=FAILURE",))
    eight = envelope(recipient="李@example.com", content="Subject: x\r\n\r\nü\r\n".encode())

    async with pool(port, messages_per_connection=1) as transport:
        for one in (message, message, eight):
            await transport.send(one, timeout=30)

    assert heard[0] == (
        "MAIL FROM:<us@example.com> RET=HDRS ENVID=a",
        "RCPT TO:<li@example.com> NOTIFY=FAILURE",
    )
    assert heard[1] == ("MAIL FROM:<us@example.com> SIZE=20", "RCPT TO:<li@example.com>")
    assert heard[2] == (
        "MAIL FROM:<us@example.com> BODY=8BITMIME SMTPUTF8",
        "RCPT TO:<李@example.com>",
    )


@pytest.mark.parametrize(
    ("message", "code", "status", "stage"),
    [
        (envelope(recipient="a b@example.com"), 553, "5.1.3", "rcpt"),
        (envelope(recipient="a@example.com> NOTIFY=NEVER"), 553, "5.1.3", "rcpt"),
        (envelope(recipient="a@example.com\r\nDATA"), 553, "5.1.3", "rcpt"),
        (envelope(recipient=""), 553, "5.1.3", "rcpt"),
        (envelope(sender="a\r\nRSET"), 553, "5.1.7", "mail"),
        (envelope(recipient="李@example.com"), 553, "5.6.7", "rcpt"),
        (envelope(sender="李@example.com"), 550, "5.6.7", "mail"),
        (envelope(content="Subject: ü\r\n\r\n".encode()), 550, "5.6.7", "mail"),
        (envelope(content="Subject: x\r\n\r\nü\r\n".encode()), 554, "5.6.3", "mail"),
        (envelope(content=b"x" * 101), 552, "5.3.4", "mail"),
        (envelope(content=b"a\n.\nb\r\n"), 554, "5.6.0", "mail"),
        (envelope(content=b"a\r.\rb\r\n"), 554, "5.6.0", "mail"),
    ],
)
async def test_message_that_the_relay_cannot_carry_is_refused_here(
    serve: Serve, message: wire.Envelope, code: int, status: str, stage: str
) -> None:
    admitted = []

    async def admit() -> None:
        admitted.append(True)

    async def script(peer: Peer) -> None:
        await peer.greet("SIZE 100")
        assert await peer.until_closed() == b"QUIT\r\n"

    port = await serve(Relay(script))

    async with pool(port) as transport:
        reply = await transport.send(message, timeout=30, admit=admit)

    assert (reply.code, reply.stage) == (code, stage)
    assert reply.text.startswith(status)
    assert not admitted


async def test_unknown_and_unsafe_options_are_dropped(serve: Serve) -> None:
    heard = []

    async def script(peer: Peer) -> None:
        await peer.greet("DSN")
        heard.append((await peer.take())[0])

    port = await serve(Relay(script))
    options = ("ENVID=a\r\nRSET", "ENVID=a b", "XCLIENT=1", "ENVID=good")

    async with pool(port) as transport:
        await transport.send(envelope(mail_options=options), timeout=30)

    assert heard == ["MAIL FROM:<us@example.com> ENVID=good"]


@pytest.mark.parametrize("refused", ["mail", "rcpt", "data", "content"])
async def test_refusal_is_a_reply_and_the_connection_is_reset_before_the_next(
    serve: Serve, refused: str
) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        for verb, stage, welcome in (
            ("MAIL", "mail", "250 ok"),
            ("RCPT", "rcpt", "252 perhaps"),
            ("DATA", "data", "354 go"),
        ):
            await peer.hear(verb)
            if stage == refused:
                peer.say("550-5.7.1 no\r\n550 5.7.1 never")
                break
            peer.say(welcome)
        else:
            await peer.content()
            peer.say("550-5.7.1 no\r\n550 5.7.1 never")
        if refused != "content":
            await peer.hear("RSET")
            peer.say("250 ok")
        await peer.take()

    relay = Relay(script)
    port = await serve(relay)

    async with pool(port) as transport:
        first = await transport.send(envelope(), timeout=30)
        second = await transport.send(envelope(), timeout=30)

    assert (first.code, first.stage) == (550, refused)
    assert first.text == "5.7.1 no\n5.7.1 never"
    assert second.code == 250
    assert relay.connections == 1


async def test_refused_reset_costs_the_connection_and_not_the_message(serve: Serve) -> None:
    async def refuse(peer: Peer) -> None:
        await peer.greet()
        await peer.hear("MAIL")
        peer.say("451 4.3.0 later")
        await peer.hear("RSET")
        peer.say("500 what")
        assert not await peer.until_closed()

    relay = Relay(refuse, take_all)
    port = await serve(relay)

    async with pool(port) as transport:
        first = await transport.send(envelope(), timeout=30)
        second = await transport.send(envelope(), timeout=30)

    assert (first.code, second.code) == (451, 250)
    assert relay.connections == 2


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "content"])
async def test_421_is_a_reply_and_ends_the_connection(serve: Serve, stage: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        for verb, name, welcome in (
            ("MAIL", "mail", "250 ok"),
            ("RCPT", "rcpt", "250 ok"),
            ("DATA", "data", "354 go"),
        ):
            await peer.hear(verb)
            if name == stage:
                break
            peer.say(welcome)
        else:
            await peer.content()
        peer.say("421 4.3.2 shutting down")
        assert not await peer.until_closed()

    relay = Relay(script, take_all)
    port = await serve(relay)

    async with pool(port) as transport:
        first = await transport.send(envelope(), timeout=30)
        second = await transport.send(envelope(), timeout=30)

    assert (first.code, first.stage) == (421, stage)
    assert second.code == 250
    assert relay.connections == 2


@pytest.mark.parametrize("greeting", ["554 5.7.1 go away", "421 4.7.0 too many connections"])
async def test_refused_greeting_is_a_reply(serve: Serve, greeting: str) -> None:
    async def script(peer: Peer) -> None:
        peer.say(greeting)
        await peer.until_closed()

    port = await serve(Relay(script))

    async with pool(port) as transport:
        reply = await transport.send(envelope(), timeout=30)

    assert (reply.code, reply.stage) == (int(greeting[:3]), "connect")
    assert reply.text == greeting[4:]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("", "disconnected"),
        ("what is this\r\n", "malformed reply"),
        ("220-" + "x" * 100_000, "malformed reply"),
    ],
)
async def test_greeting_that_is_none_is_not_sent(serve: Serve, script: str, reason: str) -> None:
    async def play(peer: Peer) -> None:
        peer.writer.write(script.encode())
        if script:
            await peer.until_closed()

    port = await serve(Relay(play))

    async with pool(port) as transport:
        result = await failure(transport)

    assert result == (errors.NotSent, reason)


async def test_silent_greeting_is_not_sent(serve: Serve) -> None:
    async def script(peer: Peer) -> None:
        assert not await peer.until_closed()

    port = await serve(Relay(script))

    async with pool(port, connect_timeout=0.05) as transport:
        result = await failure(transport)

    assert result == (errors.NotSent, "connect timeout")


async def test_refused_connection_is_not_sent(serve: Serve) -> None:
    async with contextlib.AsyncExitStack() as stack:
        server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        stack.callback(server.close)

    async with pool(port) as transport:
        result = await failure(transport)

    assert result == (errors.NotSent, "connect refused")


async def play_until(peer: Peer, stage: str) -> None:
    """Welcomes everything before the stage, and hears what belongs to it."""
    await peer.greet()
    for verb, name, welcome in (
        ("MAIL", "mail", "250 ok"),
        ("RCPT", "rcpt", "250 ok"),
        ("DATA", "data", "354 go"),
    ):
        await peer.hear(verb)
        if name == stage:
            return
        peer.say(welcome)
    await peer.content()


STAGES = [
    ("mail", errors.NotSent),
    ("rcpt", errors.NotSent),
    ("data", errors.NotSent),
    ("content", errors.AnswerLost),
]


@pytest.mark.parametrize(("stage", "kind"), STAGES)
async def test_drop_is_lost_only_after_the_content(
    serve: Serve, stage: str, kind: type[errors.TransportError]
) -> None:
    async def script(peer: Peer) -> None:
        await play_until(peer, stage)

    relay = Relay(script, take_all)
    port = await serve(relay)

    async with pool(port) as transport:
        result = await failure(transport)
        after = await transport.send(envelope(), timeout=30)

    assert result == (kind, "disconnected")
    assert after.code == 250
    assert relay.connections == 2


@pytest.mark.parametrize(("stage", "kind"), STAGES)
async def test_silence_is_lost_only_after_the_content(
    serve: Serve, stage: str, kind: type[errors.TransportError]
) -> None:
    closed = asyncio.Event()

    async def script(peer: Peer) -> None:
        await play_until(peer, stage)
        assert not await peer.until_closed()
        closed.set()

    port = await serve(Relay(script))

    async with pool(port, content_timeout=0.05) as transport:
        result = await failure(transport, timeout=0.05)
        await asyncio.wait_for(closed.wait(), 30)

    assert result == (kind, "timeout")


@pytest.mark.parametrize(("stage", "kind"), STAGES)
@pytest.mark.parametrize(
    ("noise", "reason"),
    [
        (b"nonsense\r\n", "malformed reply"),
        (b"250-more\r\n" * 20_000, "reply too long"),
        (b"250 " + b"x" * 100_000, "reply too long"),
    ],
)
async def test_endless_or_malformed_reply_ends_the_connection(
    serve: Serve, stage: str, kind: type[errors.TransportError], noise: bytes, reason: str
) -> None:
    async def script(peer: Peer) -> None:
        await play_until(peer, stage)
        peer.writer.write(noise)
        await peer.until_closed()

    port = await serve(Relay(script))

    async with pool(port) as transport:
        result = await failure(transport)

    assert result == (kind, reason)


async def test_two_replies_in_one_segment_are_never_paired_with_the_next_command(
    serve: Serve,
) -> None:
    async def doubled(peer: Peer) -> None:
        await peer.greet()
        await peer.hear("MAIL")
        peer.say("250 ok\r\n250 and for RCPT, unasked")
        await peer.until_closed()

    relay = Relay(doubled, take_all)
    port = await serve(relay)

    async with pool(port) as transport:
        result = await failure(transport)
        after = await transport.send(envelope(), timeout=30)

    assert result == (errors.NotSent, "out of step")
    assert after.code == 250


async def test_reply_after_the_last_one_ends_the_connection_and_not_the_message(
    serve: Serve,
) -> None:
    async def doubled(peer: Peer) -> None:
        await peer.greet()
        await peer.envelope()
        await peer.content()
        peer.say("250 queued\r\n250 queued again")
        await peer.until_closed()

    relay = Relay(doubled, take_all)
    port = await serve(relay)

    async with pool(port) as transport:
        first = await transport.send(envelope(), timeout=30)
        second = await transport.send(envelope(), timeout=30)

    assert (first.text, second.code) == ("queued", 250)
    assert relay.connections == 2


@pytest.mark.parametrize("rest", ["250-more to come", "250-more to come\r\n"])
async def test_beginning_of_another_reply_takes_the_connection_out_of_the_pool(
    serve: Serve, rest: str
) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.envelope()
        await peer.content()
        peer.writer.write(f"250 queued\r\n{rest}".encode())
        assert not await peer.until_closed()

    relay = Relay(script, take_all)
    port = await serve(relay)

    async with pool(port) as transport:
        await transport.send(envelope(), timeout=30)
        reply = await transport.send(envelope(), timeout=30)

    assert reply.code == 250
    assert relay.connections == 2


async def test_reply_split_over_segments_is_read_as_one(serve: Serve) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.envelope()
        await peer.content()
        for part in (b"25", b"0-2.0.0 a\r", b"\n250 2.0", b".0 b\r\n"):
            peer.writer.write(part)
            await peer.writer.drain()
            await asyncio.sleep(0)

    port = await serve(Relay(script))

    async with pool(port) as transport:
        reply = await transport.send(envelope(), timeout=30)

    assert reply.text == "2.0.0 a\n2.0.0 b"


@pytest.mark.parametrize(("stage", "_kind"), STAGES)
async def test_cancelled_send_closes_its_connection(serve: Serve, stage: str, _kind: type) -> None:
    reached, late = asyncio.Event(), asyncio.Event()

    async def held(peer: Peer) -> None:
        await play_until(peer, stage)
        reached.set()
        await late.wait()
        peer.say("250 late")
        assert not await peer.until_closed()

    relay = Relay(held, take_all)
    port = await serve(relay)

    async with pool(port, connections=1) as transport:
        sending = asyncio.create_task(transport.send(envelope(), timeout=30))
        await asyncio.wait_for(reached.wait(), 30)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        late.set()
        reply = await transport.send(envelope(), timeout=30)

    assert reply.text == "2.0.0 Ok: queued as 4Xyz12"
    assert relay.connections == 2


@pytest.mark.parametrize("goodbye", ["", "421 4.4.2 idle for too long"])
async def test_idle_connection_that_has_gone_is_replaced_in_silence(
    serve: Serve, goodbye: str
) -> None:
    admitted = []

    async def admit() -> None:
        admitted.append(True)

    async def leave(peer: Peer) -> None:
        await peer.greet()
        await peer.take()
        await peer.hear("MAIL")
        if goodbye:
            peer.say(goodbye)

    relay = Relay(leave, take_all)
    port = await serve(relay)

    async with pool(port) as transport:
        await transport.send(envelope(), timeout=30)
        reply = await transport.send(envelope(), timeout=30, admit=admit)

    assert reply.code == 250
    assert relay.connections == 2
    assert len(admitted) == 1


async def test_fresh_connection_that_goes_is_not_replaced(serve: Serve) -> None:
    async def leave(peer: Peer) -> None:
        await peer.greet()
        await peer.hear("MAIL")

    relay = Relay(leave)
    port = await serve(relay)

    async with pool(port) as transport:
        result = await failure(transport)

    assert result == (errors.NotSent, "disconnected")
    assert relay.connections == 1


async def test_reused_connection_that_goes_after_mail_is_not_replaced(serve: Serve) -> None:
    async def leave(peer: Peer) -> None:
        await peer.greet()
        await peer.take()
        await peer.hear("MAIL")
        peer.say("250 ok")
        await peer.hear("RCPT")

    relay = Relay(leave)
    port = await serve(relay)

    async with pool(port) as transport:
        await transport.send(envelope(), timeout=30)
        result = await failure(transport)

    assert result == (errors.NotSent, "disconnected")
    assert relay.connections == 1


async def test_unasked_421_takes_an_idle_connection_out_of_the_pool(serve: Serve) -> None:
    gone = asyncio.Event()

    async def leave(peer: Peer) -> None:
        await peer.greet()
        await peer.take()
        peer.say("421 4.4.2 timeout")
        assert not await peer.until_closed()
        gone.set()

    relay = Relay(leave, take_all)
    port = await serve(relay)

    async with pool(port) as transport:
        await transport.send(envelope(), timeout=30)
        await asyncio.wait_for(gone.wait(), 30)
        reply = await transport.send(envelope(), timeout=30)

    assert reply.code == 250
    assert relay.connections == 2


async def test_admit_is_awaited_once_after_set_up_and_before_mail(serve: Serve) -> None:
    events = []

    async def script(peer: Peer) -> None:
        await peer.greet()
        events.append("ready")
        for _ in range(2):
            await peer.hear("MAIL")
            events.append("MAIL")
            peer.say("250 ok")
            await peer.hear("RCPT")
            peer.say("250 ok")
            await peer.hear("DATA")
            peer.say("354 go")
            await peer.content()
            peer.say("250 ok")

    async def admit() -> None:
        for _ in range(10):
            await asyncio.sleep(0)
        events.append("admitted")

    port = await serve(Relay(script))

    async with pool(port) as transport:
        for _ in range(2):
            await transport.send(envelope(), timeout=30, admit=admit)

    assert events == ["ready", "admitted", "MAIL", "admitted", "MAIL"]


async def test_what_admit_raises_goes_through_and_the_connection_is_kept(serve: Serve) -> None:
    relay = Relay(take_all)
    port = await serve(relay)

    async def admit() -> None:
        raise LookupError

    async with pool(port) as transport:
        with pytest.raises(LookupError):
            await transport.send(envelope(), timeout=30, admit=admit)
        reply = await transport.send(envelope(), timeout=30)

    assert reply.code == 250
    assert relay.connections == 1


async def test_pool_is_bounded_and_serves_waiters_in_order(serve: Serve) -> None:
    order: list[str] = []
    full, release = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.greet()
        while True:
            mail = await peer.hear("MAIL")
            order.append(mail.partition("<")[2].partition("@")[0])
            if len(order) == 3:
                full.set()
            await release.wait()
            peer.say("250 ok")
            await peer.hear("RCPT")
            peer.say("250 ok")
            await peer.hear("DATA")
            peer.say("354 go")
            await peer.content()
            peer.say("250 ok")

    relay = Relay(script)
    port = await serve(relay)
    names = [f"{number:02}" for number in range(12)]

    async with pool(port, connections=3) as transport, asyncio.TaskGroup() as group:
        for name in names:
            message = envelope(sender=f"{name}@example.com")
            group.create_task(transport.send(message, timeout=30))
        await asyncio.wait_for(full.wait(), 30)
        assert relay.connections == 3
        release.set()

    assert sorted(order[:3]) == names[:3]
    assert sorted(order) == names
    assert all(abs(names.index(name) - at) < 3 for at, name in enumerate(order))
    assert relay.connections == 3


async def test_connection_says_quit_after_its_share_of_messages(serve: Serve) -> None:
    quits: asyncio.Queue[bytes] = asyncio.Queue()

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.take()
        await peer.take()
        quits.put_nowait(await peer.until_closed())

    relay = Relay(script)
    port = await serve(relay)

    async with pool(port, messages_per_connection=2) as transport:
        for _ in range(6):
            await transport.send(envelope(), timeout=30)
        ends = [await asyncio.wait_for(quits.get(), 30) for _ in range(3)]

    assert relay.connections == 3
    assert ends == [b"QUIT\r\n"] * 3


@pytest.mark.parametrize(
    ("limits", "share"),
    [("LIMITS RCPTMAX=50 MAILMAX=2", 2), ("LIMITS mailmax=9", 3), ("LIMITS MAILMAX=x", 3)],
)
async def test_connection_carries_no_more_than_its_relay_announces(
    serve: Serve, limits: str, share: int
) -> None:
    taken: asyncio.Queue[int] = asyncio.Queue()

    async def script(peer: Peer) -> None:
        await peer.greet(limits)
        count = 0
        with contextlib.suppress(ConnectionResetError):
            while True:
                await peer.take()
                count += 1
        taken.put_nowait(count)

    port = await serve(Relay(script))

    async with pool(port, messages_per_connection=3) as transport:
        for _ in range(6):
            await transport.send(envelope(), timeout=30)
        shares = [await asyncio.wait_for(taken.get(), 30) for _ in range(6 // share)]

    assert shares == [share] * (6 // share)


class HandClock:
    """Time that stands still until it is moved; sleepers wake when asked to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.wake = asyncio.Event()

    def now_ms(self) -> int:
        return int(self.now * 1000)

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        await self.wake.wait()
        self.wake.clear()


async def test_idle_connection_is_not_used_again(serve: Serve) -> None:
    clock = HandClock()
    relay = Relay(take_all)
    port = await serve(relay)

    async with pool(port, clock=clock) as transport:
        await transport.send(envelope(), timeout=30)
        clock.now += 19.0
        await transport.send(envelope(), timeout=30)
        assert relay.connections == 1
        clock.now += 20.0
        await transport.send(envelope(), timeout=30)

    assert relay.connections == 2


async def test_old_connection_is_not_used_again_however_busy(serve: Serve) -> None:
    clock = HandClock()
    relay = Relay(take_all)
    port = await serve(relay)

    async with pool(port, clock=clock) as transport:
        for _ in range(30):
            await transport.send(envelope(), timeout=30)
            clock.now += 10.0
        assert relay.connections == 1
        await transport.send(envelope(), timeout=30)

    assert relay.connections == 2


async def test_idle_connections_are_closed_without_being_asked_for(serve: Serve) -> None:
    clock = HandClock()
    closed = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.take()
        assert await peer.until_closed() == b"QUIT\r\n"
        closed.set()

    port = await serve(Relay(script))

    async with pool(port, clock=clock) as transport:
        await transport.send(envelope(), timeout=30)
        clock.now += 20.0
        clock.wake.set()
        await asyncio.wait_for(closed.wait(), 30)


async def test_leaving_says_quit_on_idle_connections_and_drops_busy_ones(serve: Serve) -> None:
    ends: asyncio.Queue[bytes] = asyncio.Queue()
    reached = asyncio.Event()

    async def busy_one(peer: Peer) -> None:
        await peer.greet()
        await peer.take()
        await peer.hear("MAIL")
        reached.set()
        ends.put_nowait(await peer.until_closed())

    async def idle_one(peer: Peer) -> None:
        await peer.greet()
        await peer.take()
        ends.put_nowait(await peer.until_closed())

    port = await serve(Relay(busy_one, idle_one))

    async with pool(port, connections=2) as transport:
        await transport.send(envelope(), timeout=30)
        busy = asyncio.create_task(transport.send(envelope(), timeout=30))
        await asyncio.wait_for(reached.wait(), 30)
        await transport.send(envelope(), timeout=30)
    with pytest.raises(errors.NotSent):
        await busy
    after = await failure(transport)
    await transport.__aexit__(None, None, None)
    last_words = [await asyncio.wait_for(ends.get(), 30) for _ in range(2)]

    assert sorted(last_words) == [b"", b"QUIT\r\n"]
    assert after == (errors.NotSent, "closed")


async def test_closed_pool_opens_nothing(serve: Serve) -> None:
    relay = Relay(take_all)
    port = await serve(relay)
    transport = pool(port)
    before = await failure(transport)
    async with transport:
        pass

    after = await failure(transport)

    assert before == after == (errors.NotSent, "closed")
    assert relay.connections == 0


async def test_connection_that_is_ready_after_the_end_is_closed_unused(serve: Serve) -> None:
    reached, release = asyncio.Event(), asyncio.Event()
    last_words: asyncio.Queue[bytes] = asyncio.Queue()

    async def script(peer: Peer) -> None:
        reached.set()
        await release.wait()
        await peer.greet()
        last_words.put_nowait(await peer.until_closed())

    port = await serve(Relay(script))

    async with pool(port) as transport:
        sending = asyncio.create_task(transport.send(envelope(), timeout=30))
        await asyncio.wait_for(reached.wait(), 30)
    release.set()
    with pytest.raises(errors.NotSent, match="closed"):
        await sending

    assert await asyncio.wait_for(last_words.get(), 30) == b""


async def test_password_is_never_sent_over_plain_text() -> None:
    with pytest.raises(ValueError, match="TLS"):
        pool(25, host="relay.example.com", username="u", password="p")


@pytest.mark.parametrize(
    ("offer", "first"),
    [("AUTH LOGIN PLAIN", "AUTH PLAIN AHUAcA=="), ("AUTH=LOGIN", "AUTH LOGIN dQ==")],
)
async def test_login_tries_one_mechanism_once(serve: Serve, offer: str, first: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet(offer)
        assert await peer.hear("AUTH") == first
        peer.say("535 5.7.8 no")
        assert not await peer.until_closed()

    relay = Relay(script)
    port = await serve(relay)

    async with pool(port, username="u", password="p") as transport:
        reply = await transport.send(envelope(), timeout=30)

    assert reply == wire.SmtpReply(code=535, text="5.7.8 no", stage="auth")


@pytest.mark.parametrize(
    ("again", "options"),
    [
        (("SIZE 50000", "DSN"), f" RET=HDRS SIZE={len(CONTENT)}"),
        ((), f" SIZE={len(CONTENT)}"),
    ],
)
async def test_what_is_offered_after_the_login_holds(
    serve: Serve, again: tuple[str, ...], options: str
) -> None:
    """A relay that does not answer a second EHLO leaves its first offer standing."""
    mails: asyncio.Queue[str] = asyncio.Queue()

    async def script(peer: Peer) -> None:
        await peer.greet("AUTH PLAIN", "SIZE 30")
        await peer.hear("AUTH PLAIN")
        peer.say("235 2.7.0 ok")
        await peer.hear("EHLO gw.test")
        peer.say(
            "\r\n".join(["250-relay.test", *(f"250-{one}" for one in again), "250 HELP"])
            if again
            else "503 5.5.1 once is enough"
        )
        mail, _, _ = await peer.take()
        mails.put_nowait(mail)

    port = await serve(Relay(script))
    message = envelope(mail_options=["RET=HDRS"])

    async with pool(port, username="u", password="p") as transport:
        reply = await transport.send(message, timeout=30)

    assert reply.code == 250
    assert mails.get_nowait() == f"MAIL FROM:<us@example.com>{options}"


async def test_relay_without_a_mechanism_of_ours_is_not_sent(serve: Serve) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet("AUTH CRAM-MD5")
        await peer.until_closed()

    port = await serve(Relay(script))

    async with pool(port, username="u", password="p") as transport:
        result = await failure(transport)

    assert result == (errors.NotSent, "auth not offered")


async def test_starttls_that_is_not_offered_is_never_done_without(serve: Serve) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def script(peer: Peer) -> None:
        await peer.greet("AUTH PLAIN")
        heard.put_nowait(await peer.until_closed())

    port = await serve(Relay(script))

    async with pool(port, security="starttls", username="u", password="p") as transport:
        result = await failure(transport)

    assert result == (errors.NotSent, "starttls not offered")
    assert await asyncio.wait_for(heard.get(), 30) == b""


async def test_refused_starttls_is_a_reply(serve: Serve) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet("STARTTLS")
        await peer.hear("STARTTLS")
        peer.say("454 4.7.0 no TLS today")
        assert not await peer.until_closed()

    port = await serve(Relay(script))

    async with pool(port, security="starttls") as transport:
        reply = await transport.send(envelope(), timeout=30)

    assert (reply.code, reply.stage) == (454, "starttls")


async def test_what_follows_the_answer_to_starttls_in_plain_text_is_ignored(
    serve: Serve, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    heard = []

    async def script(peer: Peer) -> None:
        await peer.greet("STARTTLS")
        await peer.hear("STARTTLS")
        peer.say("220 go\r\n250-injected\r\n250 DSN")
        await peer.writer.start_tls(server_tls)
        await peer.hear("EHLO")
        peer.say("250 relay.test")
        heard.append((await peer.take())[0])

    port = await serve(Relay(script))

    async with pool(port, security="starttls", tls=client_tls) as transport:
        await transport.send(envelope(mail_options=("ENVID=a",)), timeout=30)

    assert heard == ["MAIL FROM:<us@example.com>"]


def test_default_clocks_fit() -> None:
    pool(25, clock=LoopClock(datetime.now(UTC)))
