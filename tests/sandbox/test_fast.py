"""The benchmark's service reads HTTP exactly, however it is cut up."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from gateway.sandbox.fast import FastHttpSimulator
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.magic import Fate


def post(body: bytes, name: bytes = b"Content-Length") -> bytes:
    return b"POST /v1/send HTTP/1.1\r\nHost: x\r\n%s: %d\r\n\r\n%s" % (name, len(body), body)


@asynccontextmanager
async def connect(
    simulator: FastHttpSimulator,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        yield reader, writer
    finally:
        writer.close()


async def ids(reader: asyncio.StreamReader, count: int) -> list[str]:
    """The ids of the next answers, each checked to be whole."""
    found = []
    async with asyncio.timeout(20):
        for _ in range(count):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            [length] = [line for line in head.split(b"\r\n") if line.startswith(b"Content-Length")]
            found.append(json.loads(await reader.readexactly(int(length[16:])))["id"])
    return found


async def test_independent_client_understands_it(session: aiohttp.ClientSession) -> None:
    async with FastHttpSimulator() as simulator:
        found = set()
        for _ in range(10):
            async with session.post(f"{simulator.url}/v1/send", json={"to": "x"}) as response:
                assert response.status == 200
                found.add((await response.json())["id"])

        assert len(found) == 10
        assert simulator.log.taken == 10


async def test_pipelined_requests_are_answered_in_order_and_counted() -> None:
    requests = [post(b"x" * length) for length in (0, 1, 150, 70_000, 3)]
    async with FastHttpSimulator() as simulator, connect(simulator) as (reader, writer):
        writer.write(b"".join(requests))
        found = await ids(reader, 5)

        assert found == sorted(found)
        assert len(set(found)) == 5
        assert simulator.log.taken == 5


async def test_message_in_a_query_is_taken() -> None:
    request = b"GET /v1/send?to=x&text=_sandbox/ HTTP/1.1\r\nHost: x\r\n\r\n"
    async with FastHttpSimulator() as simulator, connect(simulator) as (reader, writer):
        writer.write(request + post(b"x") + request)
        found = await ids(reader, 3)

        assert len(set(found)) == 3
        assert simulator.log.taken == 3


async def test_request_cut_at_any_byte_is_one_request() -> None:
    request = post(b"\r\n\r\nPOST / HTTP/1.1\r\n\r\n", b"cOnTeNt-LeNgTh")
    async with FastHttpSimulator() as simulator, connect(simulator) as (reader, writer):
        for cut in range(1, len(request)):
            writer.write(request[:cut])
            await round_trip(simulator)
            writer.write(request[cut:])
            await ids(reader, 1)

        assert simulator.log.taken == len(request) - 1


async def test_ids_of_two_runs_differ() -> None:
    found = []
    for _ in range(2):
        async with FastHttpSimulator() as simulator, connect(simulator) as (reader, writer):
            writer.write(post(b"x"))
            found += await ids(reader, 1)

    assert found[0] != found[1]
    assert len(found[0]) == len(found[1]) == 20


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1e3\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\nX: " + b"x" * 70_000, b"431"),
    ],
)
async def test_what_it_cannot_read_is_refused_after_the_answers_before_it(
    request_bytes: bytes, status: bytes
) -> None:
    async with FastHttpSimulator() as simulator, connect(simulator) as (reader, writer):
        writer.write(post(b"x") + request_bytes)
        await ids(reader, 1)
        async with asyncio.timeout(20):
            answer = await reader.readuntil(b"\r\n\r\n")

        assert answer.startswith(b"HTTP/1.1 " + status)
        assert simulator.log.taken == 1


async def test_control_works_on_a_connection_that_sent_messages() -> None:
    async with FastHttpSimulator() as simulator, connect(simulator) as (reader, writer):
        writer.write(post(b"x") + b"GET /_sandbox/log HTTP/1.1\r\nHost: x\r\n\r\n")
        await ids(reader, 1)
        async with asyncio.timeout(20):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            log = json.loads(await reader.readexactly(length))

        assert (log["total"], log["taken"]) == (1, 1)


async def test_hanging_takes_nothing_and_drops_connections_when_it_ends() -> None:
    async with (
        FastHttpSimulator(knobs=Knobs(hang=True)) as simulator,
        connect(simulator) as (reader, writer),
    ):
        writer.write(post(b"x"))
        await round_trip(simulator)
        simulator.knobs.hang = False

        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await ids(reader, 1)
        assert simulator.log.counts == {Fate.HUNG: 1}


async def test_refusing_drops_connections() -> None:
    async with FastHttpSimulator() as simulator, connect(simulator) as (reader, writer):
        writer.write(post(b"x"))
        await ids(reader, 1)

        simulator.knobs.refuse = True

        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await ids(reader, 1)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", simulator.port)


async def round_trip(simulator: FastHttpSimulator) -> None:
    """What was written before this has been read by the simulator after it."""
    async with connect(simulator) as (reader, writer):
        writer.write(b"GET /_sandbox/knobs HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(20):
            await reader.readuntil(b"}")


async def test_latency_holds_answers_back() -> None:
    knobs = Knobs(latency=3600)
    async with FastHttpSimulator(knobs=knobs) as simulator, connect(simulator) as (reader, writer):
        writer.write(post(b"x"))
        await round_trip(simulator)
        taken = simulator.log.taken
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0)
        knobs.latency = 0.01
        writer.write(post(b"x"))

        assert taken == 1
        assert len(await ids(reader, 1)) == 1
