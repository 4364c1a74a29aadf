"""What only the lean HTTP transport promises: its pool, its timers, its addresses."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohappyeyeballs
import pytest

from gateway.model import errors, wire
from gateway.transport import base, lean_connection, lean_pool
from gateway.transport.lean import LeanHttpTransport

Serve = Callable[..., Awaitable[int]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def post(port: int, body: bytes = b"x", host: str = "127.0.0.1") -> wire.HttpRequest:
    return wire.HttpRequest(method="POST", url=f"http://{host}:{port}/send", body=body)


class Server:
    """Answers everything; `hold` makes it wait."""

    def __init__(self) -> None:
        self.connections = 0
        self.bodies: list[bytes] = []
        self.arrived = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()
        #: connections that the client has ended
        self.ended = asyncio.Semaphore(0)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
                self.bodies.append(await reader.readexactly(length))
                self.arrived.set()
                await self.open.wait()
                writer.write(OK)
        finally:
            self.ended.release()


async def test_idle_connection_is_closed_when_its_time_is_over(serve: Serve) -> None:
    server = Server()
    port = await serve(server)

    async with LeanHttpTransport(base.HttpOptions(keepalive=0.05)) as transport:
        await transport.send(post(port), timeout=30)
        await asyncio.wait_for(server.ended.acquire(), 30)
        await transport.send(post(port), timeout=30)

    assert server.connections == 2


async def test_old_connection_carries_nothing_new(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lean_pool, "MAX_AGE", 0.0)
    server = Server()
    port = await serve(server)

    async with LeanHttpTransport() as transport:
        for _ in range(3):
            await transport.send(post(port), timeout=30)

    assert server.connections == 3


async def test_old_connection_does_not_stay_idle(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lean_pool, "MAX_AGE", 0.5)
    server = Server()
    port = await serve(server)

    async with LeanHttpTransport(base.HttpOptions(keepalive=3600)) as transport:
        await transport.send(post(port), timeout=30)
        await asyncio.wait_for(server.ended.acquire(), 30)


async def test_connection_that_has_been_idle_is_asked_before_it_is_used(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lean_connection, "TRUSTED_FOR", 0.0)
    port = listener.getsockname()[1]
    loop = asyncio.get_running_loop()

    async def serve_one(peer: socket.socket) -> None:
        await asyncio.wait_for(loop.sock_recv(peer, 65536), 30)
        peer.sendall(OK)

    async with LeanHttpTransport() as transport:
        sending = asyncio.create_task(transport.send(post(port), timeout=30))
        first, _ = await asyncio.wait_for(loop.sock_accept(listener), 30)
        await serve_one(first)
        await sending
        for _ in range(3):
            await asyncio.gather(transport.send(post(port), timeout=30), serve_one(first))
        first.close()  # and before the loop hears of it:
        sending = asyncio.create_task(transport.send(post(port), timeout=30))
        second, _ = await asyncio.wait_for(loop.sock_accept(listener), 30)
        await serve_one(second)
        response = await sending
        second.close()

    assert response.body == b"ok"


async def test_wait_for_a_free_connection_says_so_when_it_ends(serve: Serve) -> None:
    server = Server()
    server.open.clear()
    port = await serve(server)

    async with LeanHttpTransport(base.HttpOptions(limit=1, connect_timeout=1.0)) as transport:
        first = asyncio.create_task(transport.send(post(port), timeout=30))
        await asyncio.wait_for(server.arrived.wait(), 30)
        with pytest.raises(errors.NotSent, match=r"^no free connection$"):
            await transport.send(post(port), timeout=30)
        server.open.set()
        await first


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
async def test_whoever_is_cancelled_when_called_passes_the_turn_on(
    serve: Serve, connection: str
) -> None:
    arrived, release = asyncio.Event(), asyncio.Event()
    head = f"HTTP/1.1 200 OK\r\nConnection: {connection}\r\nContent-Length: 0\r\n\r\n".encode()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\nx"):
            arrived.set()
            await release.wait()
            writer.write(head)

    port = await serve(handler)

    async with LeanHttpTransport(base.HttpOptions(limit=1, connect_timeout=30)) as transport:

        async def first() -> None:
            await transport.send(post(port), timeout=30)
            called.cancel()  # the same turn of the loop has given it the place, and it not run yet

        sending = asyncio.create_task(first())
        await asyncio.wait_for(arrived.wait(), 30)
        called = asyncio.create_task(transport.send(post(port), timeout=30))
        behind = asyncio.create_task(transport.send(post(port), timeout=30))
        await asyncio.sleep(0)
        release.set()
        await sending
        responses = [await behind, await transport.send(post(port), timeout=30)]

    assert called.cancelled()
    assert [each.status for each in responses] == [200, 200]


async def test_one_busy_host_does_not_keep_another_waiting(serve: Serve) -> None:
    busy, other = Server(), Server()
    busy_port, other_port = await serve(busy), await serve(other)
    order: list[str] = []

    async with LeanHttpTransport(base.HttpOptions(limit=1)) as transport:

        async def send(port: int, name: str) -> None:
            await transport.send(post(port), timeout=30)
            order.append(name)

        sends = [send(busy_port, "busy") for _ in range(5)]
        sends.insert(2, send(other_port, "other"))
        await asyncio.gather(*sends)

    assert order == ["busy", "busy", "other", "busy", "busy", "busy"]


async def test_host_at_its_limit_does_not_hold_up_others(serve: Serve) -> None:
    full, other = Server(), Server()
    full.open.clear()
    full_port, other_port = await serve(full), await serve(other)

    async with LeanHttpTransport(base.HttpOptions(limit_per_host=1)) as transport:
        waiting = [asyncio.create_task(transport.send(post(full_port), timeout=30))]
        await asyncio.wait_for(full.arrived.wait(), 30)
        waiting.append(asyncio.create_task(transport.send(post(full_port), timeout=30)))
        response = await transport.send(post(other_port), timeout=30)
        full.open.set()
        await asyncio.gather(*waiting)

    assert response.body == b"ok"
    assert full.connections == 1


@pytest.mark.parametrize(("limit", "limit_per_host"), [(3, 0), (0, 2), (1, 0), (3, 2)])
async def test_pool_counts_right_through_any_mixture_of_ends(
    serve: Serve, listener: socket.socket, limit: int, limit_per_host: int
) -> None:
    nobody = listener.getsockname()[1]
    listener.close()
    fickle_calls = 0

    async def fickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal fickle_calls
        while True:
            await reader.readuntil(b"\r\n\r\nx")
            fickle_calls += 1
            if fickle_calls % 3 == 0:
                return
            writer.write(OK)

    ports = [await serve(fickle), await serve(Server()), nobody]

    async with LeanHttpTransport(
        base.HttpOptions(limit=limit, limit_per_host=limit_per_host)
    ) as transport:
        tasks = [
            asyncio.create_task(transport.send(post(ports[number % 3]), timeout=30))
            for number in range(90)
        ]
        for number, task in enumerate(tasks):
            if number % 7 == 0:
                await asyncio.sleep(0)
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # Had a place been lost, these would wait for ever; had one been minted, there would be
        # more connections than may be.
        responses = await asyncio.gather(
            *(transport.send(post(ports[1]), timeout=30) for _ in range(20))
        )
        pool = transport._pool
        assert pool is not None
        opened = [place.open for place in pool._places.values()]

    assert [each.body for each in responses] == [b"ok"] * 20
    assert all(1 <= count <= (limit_per_host or limit) for count in opened)
    assert sum(opened) <= (limit or 3 * limit_per_host)


async def test_timeouts_of_many_requests_share_a_timer(serve: Serve) -> None:
    server = Server()
    server.open.clear()
    port = await serve(server)

    async with LeanHttpTransport() as transport:
        sends = [transport.send(post(port), timeout=0.05 + n / 1000) for n in range(20)]
        outcomes = await asyncio.gather(*sends, return_exceptions=True)

    assert [str(each) for each in outcomes] == ["timeout"] * 20
    assert all(isinstance(each, errors.AnswerLost) for each in outcomes)


async def test_early_timeout_is_not_held_up_by_a_late_one(serve: Serve) -> None:
    server = Server()
    server.open.clear()
    port = await serve(server)

    async with LeanHttpTransport() as transport:
        late = asyncio.create_task(transport.send(post(port), timeout=3600))
        await asyncio.wait_for(server.arrived.wait(), 30)
        with pytest.raises(errors.AnswerLost, match="timeout"):
            await asyncio.wait_for(transport.send(post(port), timeout=0.05), 30)
        server.open.set()
        response = await late

    assert response.body == b"ok"


async def test_what_admit_gives_up_after_its_time_is_still_a_timeout(serve: Serve) -> None:
    server = Server()
    port = await serve(server)

    async def admit() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    async with LeanHttpTransport() as transport:
        with pytest.raises(errors.NotSent, match=r"^timeout$"):
            await transport.send(post(port), timeout=0.05, admit=admit)
    task = asyncio.current_task()

    assert task is not None
    assert task.cancelling() == 0
    assert not server.bodies


async def test_stray_answer_during_admit_ends_the_connection(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    loop = asyncio.get_running_loop()
    peers: list[socket.socket] = []

    async def admit() -> None:
        peer, _ = await asyncio.wait_for(loop.sock_accept(listener), 30)
        peers.append(peer)
        peer.sendall(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(loop.sock_recv(peer, 1), 30)  # until it has been closed

    async with LeanHttpTransport() as transport:
        with pytest.raises(errors.NotSent, match="disconnected"):
            await transport.send(post(port), timeout=30, admit=admit)

    peers[0].close()


async def test_close_does_not_wait_for_a_handshake(serve: Serve) -> None:
    connected = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read()

    port = await serve(silent)
    request = wire.HttpRequest(method="POST", url=f"https://127.0.0.1:{port}/")

    async with LeanHttpTransport(base.HttpOptions(connect_timeout=3600)) as transport:
        sending = asyncio.create_task(transport.send(request, timeout=30))
        await asyncio.wait_for(connected.wait(), 30)

    with pytest.raises(errors.NotSent, match=r"^closed$"):
        await asyncio.wait_for(sending, 30)


async def test_transport_can_be_opened_again(serve: Serve) -> None:
    port = await serve(Server())
    transport = LeanHttpTransport()

    for _ in range(2):
        async with transport:
            assert (await transport.send(post(port), timeout=30)).body == b"ok"


@pytest.fixture
async def over_ipv6() -> AsyncIterator[tuple[Server, int]]:
    server = Server()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await server(reader, writer)
        writer.close()

    try:
        listening = await asyncio.start_server(run, "::1", 0)
    except OSError:
        pytest.skip("no IPv6 here")
    async with listening:
        yield server, listening.sockets[0].getsockname()[1]


async def test_ipv6_literal_is_connected_to(over_ipv6: tuple[Server, int]) -> None:
    server, port = over_ipv6

    async with LeanHttpTransport() as transport:
        response = await transport.send(post(port, host="[::1]"), timeout=30)

    assert response.body == b"ok"
    assert server.connections == 1


async def test_all_addresses_of_a_name_are_tried(
    serve: Serve, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = listener.getsockname()
    listener.close()
    port = await serve(Server())
    start = aiohappyeyeballs.start_connection

    async def with_a_dead_one(
        found: list[aiohappyeyeballs.AddrInfoType], **more: float
    ) -> socket.socket:
        info = found[0]
        return await start([(*info[:4], dead), *found], happy_eyeballs_delay=0.0)

    monkeypatch.setattr(aiohappyeyeballs, "start_connection", with_a_dead_one)

    async with LeanHttpTransport() as transport:
        response = await transport.send(post(port), timeout=30)

    assert response.body == b"ok"


async def test_heads_of_different_requests_are_not_mixed_up(serve: Serve) -> None:
    heads: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            heads.append(head)
            writer.write(OK)

    port = await serve(handler)
    url = f"http://127.0.0.1:{port}/"

    async with LeanHttpTransport() as transport:
        for key in ("one", "two", "one"):
            headers = {"Authorization": key}
            request = wire.HttpRequest(method="GET", url=url, headers=headers)
            await transport.send(request, timeout=30)

    keys = [head.partition(b"Authorization: ")[2].split(b"\r\n")[0] for head in heads]
    assert keys == [b"one", b"two", b"one"]


def test_context_that_does_not_verify_is_refused() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    with pytest.raises(ValueError, match="verify"):
        LeanHttpTransport(base.HttpOptions(tls=context))
