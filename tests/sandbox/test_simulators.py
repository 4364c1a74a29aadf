"""Each kind starts from its name alone, on either event loop."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import pytest
import uvloop

from gateway.sandbox import simulators
from gateway.sandbox.base import Simulator
from gateway.sandbox.knobs import Knobs

Run = Callable[[Coroutine[Any, Any, None]], None]


async def start_and_stop(kind: str, **settings: Any) -> None:
    """Run a simulator until its control port has answered."""
    started: asyncio.Future[Simulator] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(
        simulators.run(kind, knobs=Knobs(latency=0.5), started=started.set_result, **settings)
    )
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        simulator = await started
        assert simulator.port
        async with session.get(f"{simulator.control_url}/_sandbox/knobs") as response:
            assert (await response.json())["latency"] == 0.5
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", simulator.port)


@pytest.mark.parametrize("kind", list(simulators.SIMULATORS))
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_every_kind_starts_and_stops(run: Run, kind: str) -> None:
    run(start_and_stop(kind))


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_settings_of_a_kind_are_handed_on(security: str) -> None:
    asyncio.run(start_and_stop("smtp", security=security, username="li", password="x"))


async def test_unknown_kind_and_setting_are_errors() -> None:
    with pytest.raises(KeyError):
        await simulators.run("pigeon")
    with pytest.raises(TypeError):
        await simulators.run("smtp", wings=2)


def test_kinds_are_named_as_they_say() -> None:
    assert {kind: one.kind for kind, one in simulators.SIMULATORS.items()} == {
        kind: kind
        for kind in (
            *("smtp", "twilio", "fcm", "http", "fast", "receiver"),
            *("postmark", "ses"),
        )
    }
