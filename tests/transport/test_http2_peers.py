"""HTTP/2 against hypercorn, a server of somebody else's, over TLS in a process of its own."""

import asyncio
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from gateway.model import errors, wire
from gateway.transport import base
from gateway.transport.http2 import Http2Transport

APP = "tests.transport.hypercorn_app:app"


@asynccontextmanager
async def serving(certificate: Path, *, port: int = 0) -> AsyncIterator[str]:
    """hypercorn, and its origin. It listens from the start, and answers when it is ready."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        file, port = listener.fileno(), listener.getsockname()[1]
        words = ["--certfile", str(certificate), "--keyfile", str(certificate)]
        words += ["--graceful-timeout", "1", "--bind", f"fd://{file}", APP]
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "hypercorn", *words),
            pass_fds=[file],
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    try:
        yield f"https://127.0.0.1:{port}"
    finally:
        child.terminate()
        await child.wait()


@pytest.fixture
def road(certificate: Path) -> Http2Transport:
    trusting = ssl.create_default_context(cafile=str(certificate))
    return Http2Transport(base.HttpOptions(tls=trusting, limit_per_host=1, connect_timeout=60))


def post(url: str, body: bytes = b"{}", **headers: str) -> wire.HttpRequest:
    return wire.HttpRequest(method="POST", url=url, headers=headers, body=body)


async def test_a_request_and_its_answer_come_through(
    road: Http2Transport, certificate: Path
) -> None:
    async with serving(certificate) as origin, road:
        url = f"{origin}/3/device/ab%2F?x=%7E"
        answer = await road.send(
            post(url, b'{"aps":{}}', **{"apns-topic": "com.example.app"}), timeout=60
        )

    told = orjson.loads(answer.body)
    assert answer.status == 410
    assert told["headers"].pop("apns-topic") == "com.example.app"
    assert told["headers"]["content-length"] == "10"
    assert {name: told[name] for name in ("version", "method", "path", "query", "body")} == {
        "version": "2",
        "method": "POST",
        "path": "/3/device/ab%2F",
        "query": "x=%7E",
        "body": '{"aps":{}}',
    }


async def test_hundreds_of_requests_share_one_connection(
    road: Http2Transport, certificate: Path
) -> None:
    bodies = [str(number).encode() for number in range(400)]

    async with serving(certificate) as origin, road:
        answers = await asyncio.gather(
            *(road.send(post(f"{origin}/echo", body), timeout=60) for body in bodies)
        )

    assert [one.body for one in answers] == bodies
    assert len({one.headers["x-client"] for one in answers}) == 1


async def test_bodies_longer_than_the_windows_go_both_ways(
    road: Http2Transport, certificate: Path
) -> None:
    body = bytes(range(256)) * 1024

    async with serving(certificate) as origin, road:
        answer = await road.send(post(f"{origin}/echo", body), timeout=60)

    assert answer.body == body


async def test_a_server_that_goes_and_comes_back_is_reached_again(
    road: Http2Transport, certificate: Path
) -> None:
    async with road:
        async with serving(certificate) as origin:
            first = await road.send(post(f"{origin}/echo", b"one"), timeout=60)
        with pytest.raises(errors.NotSent):
            await road.send(post(f"{origin}/echo"), timeout=60)
        async with serving(certificate, port=int(origin.rpartition(":")[2])):
            second = await road.send(post(f"{origin}/echo", b"two"), timeout=60)

    assert (first.body, second.body) == (b"one", b"two")


async def test_an_app_that_breaks_answers_500_and_the_connection_goes_on(
    road: Http2Transport, certificate: Path
) -> None:
    async with serving(certificate) as origin, road:
        broken = await road.send(post(f"{origin}/broken"), timeout=60)
        answer = await road.send(post(f"{origin}/echo", b"x"), timeout=60)

    assert broken.status == 500
    assert answer.body == b"x"
