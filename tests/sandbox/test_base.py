"""What every simulator does, shown on the plain JSON service."""

import asyncio
import socket

import aiohttp
import pytest

from gateway.model import wire
from gateway.sandbox.http import HttpServiceSimulator
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.log import Arrival
from gateway.sandbox.magic import Fate

MESSAGE = {"to": "+15005550006", "text": "hello", "ref": "r-1"}


def arrived(simulator: HttpServiceSimulator) -> asyncio.Event:
    """Set when the next message arrives."""
    event = asyncio.Event()

    def note(_: Arrival) -> None:
        event.set()

    simulator.log.watchers.append(note)
    return event


async def send(session: aiohttp.ClientSession, simulator: HttpServiceSimulator) -> int:
    async with session.post(f"{simulator.url}/v1/send", json=MESSAGE) as response:
        await response.read()
        return response.status


async def test_refusing_closes_the_port_and_its_connections(
    session: aiohttp.ClientSession,
) -> None:
    async with HttpServiceSimulator() as simulator:
        assert await send(session, simulator) == 200

        simulator.knobs.refuse = True

        with pytest.raises(ConnectionRefusedError):
            await asyncio.to_thread(socket.create_connection, ("127.0.0.1", simulator.port))
        with pytest.raises(aiohttp.ClientConnectionError):
            await send(session, simulator)


async def test_refusing_ends_on_the_same_port(session: aiohttp.ClientSession) -> None:
    async with HttpServiceSimulator(knobs=Knobs(refuse=True)) as simulator:
        port = simulator.port
        with pytest.raises(aiohttp.ClientConnectorError):
            await send(session, simulator)

        async with session.patch(
            f"{simulator.control_url}/_sandbox/knobs", json={"refuse": False}
        ) as response:
            assert response.status == 200
        await simulator.ready()

        assert await send(session, simulator) == 200
        assert simulator.port == port


async def test_refusing_can_be_turned_on_and_off_in_a_breath(
    session: aiohttp.ClientSession,
) -> None:
    async with HttpServiceSimulator() as simulator:
        for _ in range(3):
            simulator.knobs.refuse = True
            simulator.knobs.refuse = False
            simulator.knobs.refuse = True
            simulator.knobs.refuse = False
        await simulator.ready()

        assert await send(session, simulator) == 200


async def test_taken_port_is_an_error() -> None:
    async with HttpServiceSimulator() as simulator:
        with pytest.raises(OSError, match="in use"):
            await HttpServiceSimulator(port=simulator.port).__aenter__()


async def test_latency_holds_back_the_answer_and_not_the_message(
    session: aiohttp.ClientSession,
) -> None:
    async with HttpServiceSimulator(knobs=Knobs(latency=3600)) as simulator:
        came = arrived(simulator)
        answer = asyncio.create_task(send(session, simulator))
        async with asyncio.timeout(20):
            await came.wait()

        assert simulator.log.taken == 1
        assert not answer.done()
        answer.cancel()


async def test_hanging_takes_nothing_and_drops_the_connection_when_it_ends(
    session: aiohttp.ClientSession,
) -> None:
    async with HttpServiceSimulator(knobs=Knobs(hang=True)) as simulator:
        came = arrived(simulator)
        answer = asyncio.create_task(send(session, simulator))
        async with asyncio.timeout(20):
            await came.wait()
            simulator.knobs.hang = False
            with pytest.raises(aiohttp.ClientError):
                await answer

        assert (simulator.log.taken, simulator.log.counts[Fate.HUNG]) == (0, 1)
        assert await send(session, simulator) == 200


async def test_lost_answer_leaves_the_message_taken(session: aiohttp.ClientSession) -> None:
    async with HttpServiceSimulator(knobs=Knobs(lost_answer_rate=1)) as simulator:
        with pytest.raises(aiohttp.ClientError):
            await send(session, simulator)

        assert simulator.log.taken == 1
        assert simulator.log.counts == {Fate.LOST: 1}


async def test_stopping_does_not_wait_for_those_that_hang(
    session: aiohttp.ClientSession,
) -> None:
    simulator = HttpServiceSimulator(knobs=Knobs(hang=True))
    await simulator.__aenter__()
    came = arrived(simulator)
    answer = asyncio.create_task(send(session, simulator))

    async with asyncio.timeout(20):
        await came.wait()
        await simulator.__aexit__(None, None, None)
        with pytest.raises(aiohttp.ClientError):
            await answer
        await simulator.__aexit__(None, None, None)


async def test_receipt_may_overtake_its_answer(
    session: aiohttp.ClientSession, sink_url: str, inbox: list[wire.HttpRequest]
) -> None:
    knobs = Knobs(latency=3600, receipt_url=sink_url)
    async with HttpServiceSimulator(knobs=knobs) as simulator, asyncio.timeout(20):
        came = arrived(simulator)
        answer = asyncio.create_task(send(session, simulator))
        await came.wait()
        await simulator.reporter.join()

        assert len(inbox) == 1
        assert not answer.done()
        answer.cancel()


async def test_log_holds_what_arrived_and_what_was_answered(
    session: aiohttp.ClientSession,
) -> None:
    async with HttpServiceSimulator(now=lambda: 12.5) as simulator:
        async with session.post(f"{simulator.url}/v1/send", json=MESSAGE) as response:
            id = (await response.json())["id"]

        assert simulator.log.arrivals == [
            Arrival(
                at=12.5,
                id=id,
                reference="r-1",
                to="+15005550006",
                fate=Fate.TAKEN,
                answer="200",
                content=MESSAGE,
            )
        ]
