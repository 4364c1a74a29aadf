"""Depths are read from a gateway's metrics, by lane."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from benchmarks import load
from benchmarks.depth import Depths
from benchmarks.processes import Running

METRICS = """\
# HELP gateway_queue_rows Unclaimed rows
gateway_queue_rows{lane="sms",phase="ready"} 5.0
gateway_queue_rows{lane="sms",phase="waiting"} 2.0
gateway_queue_rows{lane="email",phase="ready"} 0.0
gateway_queue_rows_other{lane="sms"} 100.0
gateway_up 1.0
"""


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(text=METRICS)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield Running(0, url, url)
    await runner.cleanup()


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with load.session() as session:
        yield session


async def test_samples_are_added_up_by_name_and_labels(
    running: Running, client: aiohttp.ClientSession
) -> None:
    assert await running.metric(client, "gateway_queue_rows") == 7.0
    assert await running.metric(client, "gateway_up") == 1.0
    assert await running.metric_where(client, "gateway_queue_rows", ['phase="waiting"']) == 2.0
    assert await running.by_label(client, "gateway_queue_rows", "lane") == {
        "sms": 7.0,
        "email": 0.0,
    }


async def test_lanes_on_which_something_waited_are_drawn(running: Running) -> None:
    depths = Depths()

    async with depths.watch(running):
        pass
    chart = depths.chart("rows that wait")

    assert set(chart.lines) == {"sms"}
    assert {rows for _, rows in chart.lines["sms"]} == {7.0}
