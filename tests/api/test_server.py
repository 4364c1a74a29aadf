"""Connections: deadlines, caps, unreadable heads, stopping."""

import asyncio
import json
import re
from typing import Any

import pytest

from gateway.api import limits, routes, server

HEAD = b"GET /nothing HTTP/1.1\r\nHost: gw\r\n"


class TestShortDeadlines:
    """With deadlines of a fifth of a second."""

    @pytest.fixture
    def bounds(self) -> limits.Limits:
        return limits.Limits(head_seconds=0.2, body_seconds=0.2)

    async def test_silent_connection_is_closed(self, edge: Any) -> None:
        async with asyncio.timeout(10):
            said = await edge.raw(b"")

        assert said == b""

    async def test_half_a_head_is_closed(self, edge: Any) -> None:
        async with asyncio.timeout(10):
            said = await edge.raw(HEAD)

        assert said == b""

    async def test_half_a_second_head_is_closed(self, edge: Any) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.public.port)

        writer.write(HEAD + b"\r\n")
        await reader.readuntil(b"}")
        writer.write(HEAD)
        async with asyncio.timeout(10):
            said = await reader.read()
        writer.close()
        await writer.wait_closed()

        assert said == b""

    async def test_head_in_time_stops_the_watch(self, edge: Any) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.public.port)
        slow = asyncio.create_task(edge.raw(b""))  # opened later, hence closed later

        writer.write(HEAD + b"\r\n")
        await reader.readuntil(b"}")
        await slow
        writer.write(HEAD + b"Connection: close\r\n\r\n")
        second = await reader.read()
        writer.close()
        await writer.wait_closed()

        assert b"HTTP/1.1 404 " in second

    async def test_body_that_does_not_come_is_given_up(self, edge: Any) -> None:
        head = (
            b"POST /v1/messages HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer gw_send\r\n"
            b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )

        async with asyncio.timeout(10):
            said = await edge.raw(head)

        assert said.startswith(b"HTTP/1.1 408 ")
        assert json.loads(said.partition(b"\r\n\r\n")[2])["title"] == "Body too slow"


class TestFewConnections:
    """With two connections for an address."""

    @pytest.fixture
    def bounds(self) -> limits.Limits:
        return limits.Limits(connections_per_address=2)

    async def test_one_connection_too_many_is_closed(self, edge: Any) -> None:
        held = [await asyncio.open_connection("127.0.0.1", edge.public.port) for _ in range(2)]
        for _, writer in held:
            writer.write(HEAD)

        async with asyncio.timeout(10):
            refused = await edge.raw(b"")
        for reader, writer in held:
            writer.write(b"Connection: close\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 404 ")
            writer.close()
            await writer.wait_closed()
        again = await edge.raw(HEAD + b"Connection: close\r\n\r\n")

        assert refused == b""
        assert again.startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",  # a TLS greeting
        b"GET /docs HTTP/1.1\r\nHost: gw\r\nX-Long: " + b"a" * 9000 + b"\r\n\r\n",
        b"GET /docs HTTP/1.1\r\nHost: gw\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"POST /docs HTTP/1.1\r\nHost: gw\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
        b"POST /docs HTTP/1.1\r\nHost: gw\r\nContent-Length: 1\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: gw\r\n\r\n",
    ],
    ids=["no HTTP", "version", "TLS", "long header", "many headers", "lengths", "smuggling", "NUL"],
)
async def test_unreadable_head_is_a_problem_too(edge: Any, data: bytes) -> None:
    async with asyncio.timeout(10):
        said = await edge.raw(data)

    head, _, body = said.partition(b"\r\n\r\n")
    assert head[9:].startswith(b"4")
    assert b"application/problem+json" in head
    assert json.loads(body)["request_id"]


async def test_broken_chunks_are_refused(edge: Any) -> None:
    data = (
        b"POST /v1/messages HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer gw_send\r\n"
        b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nzz\r\n"
    )

    async with asyncio.timeout(10):
        said = await edge.raw(data)

    assert said[9:].startswith(b"400 ")


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/nothing", 404, None),
        ("DELETE", "/v1/messages", 405, {"GET", "HEAD", "POST"}),
        ("POST", "/docs", 405, {"GET", "HEAD"}),
        ("PATCH", "/v1/preview", 405, {"POST"}),
    ],
)
async def test_wrong_address_or_method_is_a_problem(
    edge: Any, method: str, path: str, status: int, allow: set[str] | None
) -> None:
    async with edge.session.request(method, edge.url + path) as answer:
        problem = await answer.json(content_type="application/problem+json")

    allowed = answer.headers.get("Allow")
    assert (answer.status, problem["status"]) == (status, status)
    assert (allowed and set(allowed.split(","))) == allow


async def test_bare_address_leads_to_the_documentation(edge: Any) -> None:
    async with edge.session.get(edge.url, headers={"Authorization": ""}) as answer:
        assert (answer.status, answer.url.path) == (200, "/docs")


@pytest.mark.parametrize(
    "request_line",
    [b"GET /docs", b"GET /nothing", b"POST /v1/messages", b"GET /\x00", b"GET /v1/providers"],
)
async def test_answers_do_not_tell_what_runs_here(
    edge: Any, fakes: Any, request_line: bytes
) -> None:
    fakes.operations.health = None  # a bug, hence 500
    headers = b"Host: gw\r\nAuthorization: Bearer gw_admin\r\nConnection: close\r\n\r\n"

    head = (await edge.raw(request_line + b" HTTP/1.1\r\n" + headers)).partition(b"\r\n\r\n")[0]

    assert re.findall(rb"(?i)^server: (.*?)\r?$", head, re.MULTILINE) == [b"gateway"]
    assert b"ython" not in head


@pytest.mark.parametrize(("given", "kept"), [("abc-1", True), ("a b", False), ("x" * 65, False)])
async def test_request_id_is_kept_when_it_is_a_sane_one(edge: Any, given: str, kept: bool) -> None:
    async with edge.session.get(f"{edge.url}/docs", headers={"X-Request-Id": given}) as answer:
        named = answer.headers["X-Request-Id"]

    assert (named == given) is kept
    assert named


async def test_answer_under_way_is_finished_when_the_listener_stops(fakes: Any) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def slow_health() -> list[Any]:
        entered.set()
        await go_on.wait()
        return []

    fakes.operations.health = slow_health
    listener = server.Listener(
        routes.public_app(fakes.services(), limits.Limits()), "127.0.0.1", 0, shutdown_timeout=5.0
    )
    async with listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(
            b"GET /v1/providers HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer gw_admin\r\n\r\n"
        )
        await entered.wait()
        stopping = asyncio.create_task(listener.stop())
        await asyncio.sleep(0)
        go_on.set()
        said = await reader.read()
        await stopping
        writer.close()
        await writer.wait_closed()

    assert said.startswith(b"HTTP/1.1 200 ")


async def test_stopping_before_starting_and_twice_is_harmless(fakes: Any) -> None:
    listener = server.Listener(routes.public_app(fakes.services(), limits.Limits()), "127.0.0.1", 0)

    await listener.stop()
    async with listener:
        port = listener.port
        await listener.stop()

    assert port > 0


async def test_port_that_is_taken_is_an_error(edge: Any, fakes: Any) -> None:
    app = routes.public_app(fakes.services(), limits.Limits())

    with pytest.raises(OSError, match="address already in use"):
        async with server.Listener(app, "127.0.0.1", edge.public.port):
            pass


async def test_two_listeners_can_share_a_port(fakes: Any) -> None:
    apps = [routes.internal_app(fakes.services()) for _ in range(2)]

    async with (
        server.Listener(apps[0], "127.0.0.1", 0, reuse_port=True) as first,
        server.Listener(apps[1], "127.0.0.1", first.port, reuse_port=True) as second,
    ):
        ports = {first.port, second.port}

    assert len(ports) == 1
