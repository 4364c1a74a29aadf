"""What tests of several simulators need."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import aiohttp
import pytest
import uvloop
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.model import wire

#: Modules whose subjects handle transports themselves, which differ between event loops.
ON_BOTH_LOOPS = {"test_base.py", "test_fast.py", "test_smpp.py", "test_smtp.py"}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "asyncio": asyncio.new_event_loop
    }
    if item.path.name in ON_BOTH_LOOPS:
        factories["uvloop"] = uvloop.new_event_loop
    return factories


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that gives up in time."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as client:
        yield client


@pytest.fixture
def inbox() -> list[wire.HttpRequest]:
    """What arrived at `sink_url`, oldest first."""
    return []


@pytest.fixture
def answers() -> list[int]:
    """Statuses that `sink_url` gives, one for each request; 204 when none is left."""
    return []


@pytest.fixture
async def sink_url(inbox: list[wire.HttpRequest], answers: list[int]) -> AsyncIterator[str]:
    """Where receipts can be posted; ends without a slash, any path and query will do."""

    async def take(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        inbox.append(
            wire.HttpRequest(
                method=request.method,
                url=f"http://{request.host}{request.raw_path}",
                headers=headers,
                body=await request.read(),
            )
        )
        return web.Response(status=answers.pop(0) if answers else 204)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", take)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


@pytest.fixture
def secret() -> str:
    """The first secret of the Standard Webhooks vectors."""
    return "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
