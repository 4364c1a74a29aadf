"""A whole message in one write: what each combination of replies comes to (RFC 3030)."""

import asyncio

import pytest

from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.transport import smtp_chunking
from tests.transport.test_smtp import CONTENT, EHLO, Peer, Relay, Serve, envelope, pool
from tests.transport.test_smtp_pipelining import say_all, take

OFFER = (*EHLO, "PIPELINING", "CHUNKING")


async def hear_whole(peer: Peer) -> list[str | bytes]:
    """A whole message, before anything of it is answered."""
    heard: list[str | bytes] = [await peer.hear(verb) for verb in ("MAIL", "RCPT", "BDAT")]
    _, size, last = str(heard[-1]).split()
    assert last == "LAST"
    return [*heard, await peer.reader.readexactly(int(size))]


async def warm(peer: Peer) -> None:
    """A first message, which goes by DATA, as the connection has not spoken lately."""
    await peer.greet(*OFFER)
    await take(peer)


async def send_two(port: int) -> wire.SmtpReply:
    """The reply to the second message on a connection."""
    async with pool(port) as transport:
        await transport.send(envelope(), timeout=30)
        return await transport.send(envelope(), timeout=30)


async def test_message_goes_in_one_write(serve: Serve) -> None:
    heard: list[object] = []

    async def script(peer: Peer) -> None:
        await warm(peer)
        for _ in range(2):
            heard.append(await hear_whole(peer))
            say_all(peer, "250 2.1.0 ok", "250-2.1.5 two", "250 lines", "250 queued as 4Xyz12")

    relay = Relay(script)
    port = await serve(relay)

    async with pool(port) as transport:
        replies = [await transport.send(envelope(), timeout=30) for _ in range(3)]

    whole = [
        f"MAIL FROM:<us@example.com> SIZE={len(CONTENT)}",
        "RCPT TO:<li@example.com>",
        f"BDAT {len(CONTENT)} LAST",
        CONTENT,
    ]
    assert heard == [whole, whole]
    assert {(one.code, one.stage) for one in replies} == {(250, "content")}
    assert relay.connections == 1


@pytest.mark.parametrize(
    ("replies", "code", "stage"),
    [
        (("550 5.1.8 no", "503 no MAIL", "503 no MAIL"), 550, "mail"),
        (("250 ok", "550 5.1.1 unknown", "554 5.5.1 no recipients"), 550, "rcpt"),
        (("250 ok", "450 4.2.0 greylisted", "250 nobody gets it"), 450, "rcpt"),
        (("250 ok", "250 ok", "554 5.7.1 spam"), 554, "content"),
        (("250 ok", "250 ok", "452 4.3.1 disk full"), 452, "content"),
    ],
)
async def test_first_refusal_counts_and_nothing_of_it_is_left_for_the_next(
    serve: Serve, replies: tuple[str, ...], code: int, stage: str
) -> None:
    async def script(peer: Peer) -> None:
        await warm(peer)
        await hear_whole(peer)
        say_all(peer, *replies)
        await take(peer, reset=True)
        await hear_whole(peer)
        say_all(peer, "250 ok", "250 ok", "250 queued")

    relay = Relay(script)
    port = await serve(relay)

    async with pool(port) as transport:
        await transport.send(envelope(), timeout=30)
        refused = await transport.send(envelope(), timeout=30)
        others = [await transport.send(envelope(), timeout=30) for _ in range(2)]

    assert (refused.code, refused.stage) == (code, stage)
    assert [one.code for one in others] == [250, 250]
    assert relay.connections == 1


@pytest.mark.parametrize("replies", [(), ("250 ok",), ("250 ok", "250 ok")])
async def test_relay_that_leaves_before_it_has_answered_may_have_taken_it(
    serve: Serve, replies: tuple[str, ...]
) -> None:
    async def script(peer: Peer) -> None:
        await warm(peer)
        await hear_whole(peer)
        if replies:
            say_all(peer, *replies)

    port = await serve(Relay(script))

    with pytest.raises(errors.AnswerLost) as lost:
        await send_two(port)
    assert lost.value.reason == "disconnected"


async def test_relay_that_leaves_after_a_refusal_has_refused(serve: Serve) -> None:
    async def script(peer: Peer) -> None:
        await warm(peer)
        await hear_whole(peer)
        say_all(peer, "250 ok", "550 5.1.1 unknown")

    reply = await send_two(await serve(Relay(script)))

    assert (reply.code, reply.stage) == (550, "rcpt")


async def test_relay_that_says_goodbye_to_mail_gets_it_on_a_fresh_connection(
    serve: Serve,
) -> None:
    async def leaves(peer: Peer) -> None:
        await warm(peer)
        await hear_whole(peer)
        say_all(peer, "421 4.3.2 shutting down")

    relay = Relay(leaves, warm)
    port = await serve(relay)

    reply = await send_two(port)

    assert (reply.code, reply.stage) == (250, "content")
    assert relay.connections == 2


@pytest.mark.parametrize(
    ("replies", "stage"), [(("250 ok",), "rcpt"), (("250 ok",) * 2, "content")]
)
async def test_goodbye_later_on_is_the_answer(
    serve: Serve, replies: tuple[str, ...], stage: str
) -> None:
    async def script(peer: Peer) -> None:
        await warm(peer)
        await hear_whole(peer)
        say_all(peer, *replies, "421 4.3.2 shutting down")

    reply = await send_two(await serve(Relay(script)))

    assert (reply.code, reply.stage) == (421, stage)


async def test_relay_that_does_not_answer_leaves_it_unknown_when_time_is_up(serve: Serve) -> None:
    async def script(peer: Peer) -> None:
        await warm(peer)
        await hear_whole(peer)
        await asyncio.sleep(3600)

    port = await serve(Relay(script))

    async with pool(port) as transport:
        await transport.send(envelope(), timeout=30)
        with pytest.raises(errors.AnswerLost) as lost:
            await transport.send(envelope(), timeout=0.05)
    assert lost.value.reason == "timeout"


async def test_connection_that_has_rested_asks_first(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp_chunking, "_FRESH", -1.0)

    async def script(peer: Peer) -> None:
        await warm(peer)
        await take(peer)

    assert (await send_two(await serve(Relay(script)))).code == 250


async def test_long_content_asks_first(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp_chunking, "_MOST", len(CONTENT) - 1)

    async def script(peer: Peer) -> None:
        await warm(peer)
        await take(peer)

    port = await serve(Relay(script))

    async with pool(port) as transport:
        await transport.send(envelope(), timeout=30)
        assert (await transport.send(envelope(), timeout=30)).code == 250


async def test_dots_and_bytes_arrive_as_they_are(serve: Serve) -> None:
    content = b"Subject: x\r\n\r\n.\r\n..\r\nno end of line \xc3\xa9"
    heard: list[object] = []

    async def script(peer: Peer) -> None:
        await warm(peer)
        heard.extend(await hear_whole(peer))
        say_all(peer, "250 ok", "250 ok", "250 queued")

    port = await serve(Relay(script))

    async with pool(port) as transport:
        await transport.send(envelope(), timeout=30)
        await transport.send(replace(envelope(), content=content), timeout=30)

    assert heard[-1] == content
    assert "BODY=8BITMIME" in str(heard[0])


async def test_cancelled_send_ends_its_connection(serve: Serve) -> None:
    heard = asyncio.Event()

    async def script(peer: Peer) -> None:
        await warm(peer)
        await hear_whole(peer)
        heard.set()
        await asyncio.sleep(3600)

    relay = Relay(script, warm)
    port = await serve(relay)

    async with pool(port) as transport:
        await transport.send(envelope(), timeout=30)
        sending = asyncio.create_task(transport.send(envelope(), timeout=30))
        await heard.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert (await transport.send(envelope(), timeout=30)).code == 250

    assert relay.connections == 2
