"""What only the transport on aiohttp does: it keeps to the guard of addresses.

What all HTTP transports promise is tested in `test_conformance.py`.
"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gateway.model import errors, wire
from gateway.transport.guard import AddressGuard
from gateway.transport.http import AiohttpTransport

Serve = Callable[..., Awaitable[int]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Takes requests without a body."""

    def __init__(self) -> None:
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(OK)


def get(url: str) -> wire.HttpRequest:
    return wire.HttpRequest(method="GET", url=url)


async def refusal(transport: AiohttpTransport, url: str) -> str:
    with pytest.raises(errors.NotSent) as caught:
        await transport.send(get(url), timeout=30)
    return caught.value.reason


async def test_guard_refuses_literals_and_names_that_lead_inside(serve: Serve) -> None:
    server = Server()
    port = await serve(server)

    async with AiohttpTransport(guard=AddressGuard(["10.0.0.0/8"])) as transport:
        literal = await refusal(transport, f"https://127.0.0.1:{port}/")
        name = await refusal(transport, f"https://localhost:{port}/")
    async with AiohttpTransport(guard=AddressGuard()) as transport:
        plain = await refusal(transport, f"http://127.0.0.1:{port}/")

    assert literal == "address not allowed"
    assert name == "address not allowed"
    assert plain == "scheme not allowed"
    assert server.connections == 0


async def test_guard_lets_through_what_is_on_its_list(serve: Serve) -> None:
    port = await serve(Server())

    async with AiohttpTransport(guard=AddressGuard(["127.0.0.0/8"])) as transport:
        literal = await transport.send(get(f"http://127.0.0.1:{port}/"), timeout=30)
        name = await transport.send(get(f"http://localhost:{port}/"), timeout=30)

    assert (literal.body, name.body) == (b"ok", b"ok")
