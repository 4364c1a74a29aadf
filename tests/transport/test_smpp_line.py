"""How long is waited before a message centre is asked again."""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.clock import SystemClock
from gateway.transport import smpp_pdu
from gateway.transport.smpp_line import Line
from gateway.transport.smpp_options import SmppOptions
from gateway.transport.smpp_pdu import Bind

Serve = Callable[..., Awaitable[int]]


class Clock(SystemClock):
    """Sleeps are noted, not slept; after so many of them nothing happens any more."""

    def __init__(self, most: int) -> None:
        self.slept: list[float] = []
        self.done = asyncio.Event()
        self.ahead = 0.0
        self._most = most

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if len(self.slept) >= self._most:
            self.done.set()
            await asyncio.Event().wait()


async def run(clock: Clock, port: int, random: float = 1.0) -> list[float]:
    """The waits of a line."""
    line = Line(
        SmppOptions(host="127.0.0.1", port=port, bind=Bind(system_id="a", password="b")),
        smpp_pdu.BIND_TRANSCEIVER,
        clock=clock,
        random=lambda: random,
        tls=None,
        deliver=lambda session, pdu: None,
        changed=lambda: None,
    )
    task = asyncio.create_task(line.run())
    async with asyncio.timeout(20):
        await clock.done.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return clock.slept


async def answer_bind(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, status: int
) -> None:
    length, command, _, sequence = struct.unpack(">IIII", await reader.readexactly(16))
    await reader.readexactly(length - 16)
    writer.write(struct.pack(">IIII", 17, command | 0x80000000, status, sequence) + b"\0")
    await writer.drain()


async def test_waits_double_up_to_the_longest_where_nobody_listens() -> None:
    assert await run(Clock(8), port=1) == [1, 2, 4, 8, 16, 30, 30, 30]


async def test_waits_are_spread_by_half() -> None:
    assert await run(Clock(3), port=1, random=0.0) == [0.5, 1, 2]


@pytest.mark.parametrize(
    ("status", "waits"),
    [(0x0E, [300, 300]), (0x0F, [300, 300]), (0x101, [300, 300]), (0x0D, [1, 2]), (0x05, [1, 2])],
)
async def test_refused_account_is_not_tried_in_a_loop(
    serve: Serve, status: int, waits: list[float]
) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer_bind(reader, writer, status)

    assert await run(Clock(2), await serve(refuse)) == waits


async def test_session_that_soon_ends_is_a_failure(serve: Serve) -> None:
    async def end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer_bind(reader, writer, 0)

    assert await run(Clock(3), await serve(end)) == [1, 2, 4]


async def test_session_that_lasted_is_followed_by_the_next_at_once(serve: Serve) -> None:
    clock = Clock(1)
    bound = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal bound
        await answer_bind(reader, writer, 0)
        bound += 1
        if bound < 4:
            clock.ahead += 11.0

    waits: list[Any] = await run(clock, await serve(script))

    # three that lasted, and one that did not
    assert (bound, waits) == (4, [1])
