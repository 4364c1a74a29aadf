"""The push service of the benchmarks takes pushes from another library's client."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from benchmarks import push_sink
from gateway.sandbox import certificates, tls_context


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        self.written += data


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    authority, key = certificates.self_signed("bench", addresses=("127.0.0.1",))
    loop, tls = asyncio.get_running_loop(), tls_context.server(authority + key, protocol="h2")
    server = await loop.create_server(push_sink.Connection, "127.0.0.1", 0, ssl=tls)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    trusting = ssl.create_default_context(cadata=authority)
    async with (
        server,
        httpx.AsyncClient(http1=False, http2=True, verify=trusting, base_url=url) as http,
    ):
        yield http


async def test_pushes_are_taken_many_at_a_time(client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(
        *(client.post(f"/3/device/{number:064x}", json={"aps": {}}) for number in range(50))
    )

    assert {(one.status_code, one.http_version) for one in answers} == {(200, "HTTP/2")}
    assert len({one.headers["apns-id"] for one in answers}) == 50


def frames(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(kind, flags, stream) of each."""
    while data:
        yield data[3], data[4], int.from_bytes(data[5:9], "big")
        data = data[9 + int.from_bytes(data[:3], "big") :]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_frames_are_answered_however_the_bytes_are_cut(size: int) -> None:
    transport, sink = Transport(), push_sink.Connection()
    sink.connection_made(transport)
    transport.written = b""
    text = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"".join(
        (
            push_sink.frame(4, 0, 0, b""),
            push_sink.frame(6, 0, 0, b"12345678"),
            push_sink.frame(1, 4, 1, b"\x83"),
            push_sink.frame(0, 0, 1, b"{"),
            push_sink.frame(0, 1, 1, b"}"),
            push_sink.frame(1, 5, 3, b"\x83"),
            push_sink.frame(4, 1, 0, b""),
        )
    )

    for start in range(0, len(text), size):
        sink.data_received(text[start : start + size])

    assert [*frames(transport.written)] == [(4, 1, 0), (6, 1, 0), (1, 5, 1), (1, 5, 3)]
