"""MAIL, RCPT and DATA in one write: what each combination of replies comes to (RFC 2920)."""

import asyncio

import pytest

from gateway.model import errors, wire
from tests.transport.test_smtp import CONTENT, EHLO, Peer, Relay, Serve, envelope, failure, pool

OFFER = (*EHLO, "PIPELINING")


async def hear_group(peer: Peer, *, reset: bool = False) -> list[str]:
    """A whole group, before anything of it is answered."""
    verbs = [*(["RSET"] if reset else []), "MAIL", "RCPT", "DATA"]
    return [await peer.hear(verb) for verb in verbs]


def say_all(peer: Peer, *replies: str) -> None:
    peer.say("\r\n".join(replies))


async def take(peer: Peer, *, reset: bool = False) -> bytes:
    """A whole message."""
    await hear_group(peer, reset=reset)
    say_all(peer, *(["250 reset"] if reset else []), "250 ok", "250 ok", "354 go")
    content = await peer.content()
    peer.say("250 2.0.0 Ok: queued as 4Xyz12")
    return content


async def take_all(peer: Peer) -> None:
    await peer.greet(*OFFER)
    while True:
        await take(peer)


async def test_message_goes_in_two_writes(serve: Serve) -> None:
    heard: list[object] = []

    async def script(peer: Peer) -> None:
        await peer.greet(*OFFER)
        heard.append(await hear_group(peer))
        say_all(peer, "250 2.1.0 ok", "250-2.1.5 two", "250 lines", "354 go")
        heard.append(await peer.content())
        peer.say("250 2.0.0 Ok: queued as 4Xyz12")
        heard.append(await take(peer))

    port = await serve(Relay(script))

    async with pool(port) as transport:
        replies = [await transport.send(envelope(), timeout=30) for _ in range(2)]

    assert {(one.code, one.stage) for one in replies} == {(250, "content")}
    assert heard == [
        [
            f"MAIL FROM:<us@example.com> SIZE={len(CONTENT)}",
            "RCPT TO:<li@example.com>",
            "DATA",
        ],
        CONTENT + b".\r\n",
        CONTENT + b".\r\n",
    ]


@pytest.mark.parametrize(
    ("replies", "code", "stage"),
    [
        (("550 5.1.8 no", "503 5.5.1 no MAIL", "503 5.5.1 no MAIL"), 550, "mail"),
        (("250 ok", "550 5.1.1 unknown", "554 5.5.1 no recipients"), 550, "rcpt"),
        (("250 ok", "252 perhaps", "451 4.3.0 later"), 451, "data"),
        (("250 ok", "550 5.1.1 unknown", "354 go"), 550, "rcpt"),
        (("451 4.3.0 later", "250 ok", "354 go"), 451, "mail"),
    ],
)
async def test_first_refusal_counts_and_nothing_of_it_is_left_for_the_next(
    serve: Serve, replies: tuple[str, ...], code: int, stage: str
) -> None:
    empty: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.greet(*OFFER)
        await hear_group(peer)
        say_all(peer, *replies)
        if replies[-1].startswith("354"):
            empty.append(await peer.reader.readline())
            peer.say("554 5.5.1 no valid recipients")
        assert await take(peer, reset=True) == CONTENT + b".\r\n"
        assert await take(peer) == CONTENT + b".\r\n"

    relay = Relay(script)
    port = await serve(relay)

    async with pool(port) as transport:
        first = await transport.send(envelope(), timeout=30)
        others = [await transport.send(envelope(), timeout=30) for _ in range(2)]

    assert (first.code, first.stage) == (code, stage)
    assert [one.code for one in others] == [250, 250]
    assert empty == ([b".\r\n"] if replies[-1].startswith("354") else [])
    assert relay.connections == 1


async def test_relay_that_leaves_after_a_refusal_has_refused(serve: Serve) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet(*OFFER)
        await hear_group(peer)
        say_all(peer, "250 ok", "550 5.1.1 unknown", "354 go")

    relay = Relay(script, take_all)
    port = await serve(relay)

    async with pool(port) as transport:
        first = await transport.send(envelope(), timeout=30)
        second = await transport.send(envelope(), timeout=30)

    assert (first.code, first.stage, second.code) == (550, "rcpt", 250)
    assert relay.connections == 2


@pytest.mark.parametrize(("answered", "stage"), [(0, "mail"), (1, "rcpt"), (2, "data")])
async def test_421_ends_the_group_and_the_connection(
    serve: Serve, answered: int, stage: str
) -> None:
    async def script(peer: Peer) -> None:
        await peer.greet(*OFFER)
        await hear_group(peer)
        say_all(peer, *["250 ok"] * answered, "421 4.3.2 shutting down")
        assert not await peer.until_closed()

    relay = Relay(script, take_all)
    port = await serve(relay)

    async with pool(port) as transport:
        first = await transport.send(envelope(), timeout=30)
        second = await transport.send(envelope(), timeout=30)

    assert (first.code, first.stage, second.code) == (421, stage, 250)
    assert relay.connections == 2


async def test_refused_reset_costs_the_connection_and_not_the_message(serve: Serve) -> None:
    async def refuse(peer: Peer) -> None:
        await peer.greet(*OFFER)
        await hear_group(peer)
        say_all(peer, "451 4.3.0 later", "503 no", "503 no")
        await hear_group(peer, reset=True)
        say_all(peer, "500 what", "250 ok", "250 ok", "354 go")
        assert not await peer.until_closed()

    relay = Relay(refuse, take_all)
    port = await serve(relay)

    async with pool(port) as transport:
        codes = [(await transport.send(envelope(), timeout=30)).code for _ in range(2)]

    assert codes == [451, 250]
    assert relay.connections == 2


@pytest.mark.parametrize("goodbye", ["", "421 4.4.2 idle for too long"])
async def test_idle_connection_that_has_gone_is_replaced_in_silence(
    serve: Serve, goodbye: str
) -> None:
    async def leave(peer: Peer) -> None:
        await peer.greet(*OFFER)
        await take(peer)
        await hear_group(peer)
        if goodbye:
            peer.say(goodbye)

    relay = Relay(leave, take_all)
    port = await serve(relay)

    async with pool(port) as transport:
        codes = [(await transport.send(envelope(), timeout=30)).code for _ in range(2)]

    assert codes == [250, 250]
    assert relay.connections == 2


@pytest.mark.parametrize("answered", [0, 1, 2])
async def test_drop_before_the_content_is_not_sent(serve: Serve, answered: int) -> None:
    async def leave(peer: Peer) -> None:
        await peer.greet(*OFFER)
        if answered:  # on a fresh connection that goes with MAIL unanswered as well
            await take(peer)
        await hear_group(peer)
        if answered:
            say_all(peer, *["250 ok"] * answered)

    relay = Relay(leave)
    port = await serve(relay)

    async with pool(port) as transport:
        if answered:
            await transport.send(envelope(), timeout=30)
        result = await failure(transport)

    assert result == (errors.NotSent, "disconnected")
    assert relay.connections == 1


async def test_drop_and_silence_after_the_content_are_lost(serve: Serve) -> None:
    async def leave(peer: Peer) -> None:
        await peer.greet(*OFFER)
        await hear_group(peer)
        say_all(peer, "250 ok", "250 ok", "354 go")
        await peer.content()

    port = await serve(Relay(leave))

    async with pool(port) as transport:
        assert await failure(transport) == (errors.AnswerLost, "disconnected")


@pytest.mark.parametrize("answered", [0, 2])
async def test_silence_within_the_group_ends_the_connection(serve: Serve, answered: int) -> None:
    async def mute(peer: Peer) -> None:
        await peer.greet(*OFFER)
        await hear_group(peer)
        if answered:
            say_all(peer, *["250 ok"] * answered)
        assert not await peer.until_closed()

    relay = Relay(mute, take_all)
    port = await serve(relay)

    async with pool(port) as transport:
        result = await failure(transport, timeout=0.2)
        reply = await transport.send(envelope(), timeout=30)

    assert result == (errors.NotSent, "timeout")
    assert reply.code == 250
    assert relay.connections == 2


async def test_cancelled_group_closes_its_connection(serve: Serve) -> None:
    asked = asyncio.Event()

    async def mute(peer: Peer) -> None:
        await peer.greet(*OFFER)
        await hear_group(peer)
        asked.set()
        assert not await peer.until_closed()

    relay = Relay(mute, take_all)
    port = await serve(relay)

    async with pool(port) as transport:
        task = asyncio.create_task(transport.send(envelope(), timeout=30))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        reply: wire.SmtpReply = await transport.send(envelope(), timeout=30)

    assert reply.code == 250
    assert relay.connections == 2
