"""Knobs and logs over HTTP."""

from collections.abc import Callable

import aiohttp
import pytest

from gateway.sandbox.base import Simulator
from gateway.sandbox.fast import FastHttpSimulator
from gateway.sandbox.http import HttpServiceSimulator
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.smtp import SmtpSimulator

URLS: list[Callable[[Simulator], str]] = [lambda one: one.url, lambda one: one.control_url]


@pytest.mark.parametrize("url_of", URLS, ids=["main", "control"])
@pytest.mark.parametrize("build", [HttpServiceSimulator, FastHttpSimulator])
async def test_knobs_are_read_and_turned_on_either_port(
    session: aiohttp.ClientSession,
    build: type[Simulator],
    url_of: Callable[[Simulator], str],
) -> None:
    async with build(knobs=Knobs(receipt_rate=0.5)) as simulator:
        url = f"{url_of(simulator)}/_sandbox/knobs"

        async with session.patch(url, json={"latency": 0.25, "error": "recipient"}) as response:
            turned = await response.json()
        async with session.get(url) as response:
            read = await response.json()

        assert turned == read == simulator.knobs.to_json()
        assert (simulator.knobs.latency, simulator.knobs.receipt_rate) == (0.25, 0.5)


@pytest.mark.parametrize("body", [b'{"latency": -1}', b'{"speed": 1}', b"[]", b"{", b""])
async def test_wrong_knobs_are_refused(session: aiohttp.ClientSession, body: bytes) -> None:
    async with SmtpSimulator() as simulator:
        url = f"{simulator.control_url}/_sandbox/knobs"

        async with session.patch(url, data=body) as response:
            assert response.status == 422
            assert (await response.json())["detail"]

        assert simulator.knobs == Knobs()


async def test_log_is_paged_and_cleared(session: aiohttp.ClientSession) -> None:
    async with HttpServiceSimulator() as simulator:
        for number in range(5):
            message = {"to": "+15005550006", "text": "x", "ref": str(number)}
            async with session.post(f"{simulator.url}/v1/send", json=message) as response:
                assert response.status == 200
        url = f"{simulator.url}/_sandbox/log"

        async with session.get(url, params={"after": "2", "limit": "2"}) as response:
            page = await response.json()
        async with session.delete(url) as response:
            assert response.status == 204
        async with session.get(url) as response:
            empty = await response.json()

        assert [one["reference"] for one in page["arrivals"]] == ["2", "3"]
        assert (page["total"], page["taken"], page["counts"]) == (5, 5, {"taken": 5})
        assert empty == {"total": 0, "taken": 0, "counts": {}, "arrivals": []}


async def test_odd_page_is_refused(session: aiohttp.ClientSession) -> None:
    async with HttpServiceSimulator() as simulator:
        url = f"{simulator.url}/_sandbox/log"

        async with session.get(url, params={"after": "x"}) as response:
            assert response.status == 422
