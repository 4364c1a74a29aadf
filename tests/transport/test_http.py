"""The HTTP transport against scripted servers: what counts as sent, as lost, as answered."""

import asyncio
import contextlib
import gzip
import socket
import ssl
from collections.abc import Awaitable, Callable

import pytest

from gateway.model import errors, wire
from gateway.transport.guard import AddressGuard
from gateway.transport.http import AiohttpTransport

Serve = Callable[..., Awaitable[int]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Id: 7\r\n\r\nok"


def answer(body: bytes, *headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def post(
    port: int, *, path: str = "/send", scheme: str = "http", **more: object
) -> wire.HttpRequest:
    url = f"{scheme}://127.0.0.1:{port}{path}"
    fields: dict[str, object] = {"method": "POST", "url": url, "body": b'{"to":"x"}', **more}
    return wire.HttpRequest(**fields)  # type: ignore[arg-type]


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """Head and body of one request; raises IncompleteReadError at the end of the stream."""
    head = await reader.readuntil(b"\r\n\r\n")
    lower = head.lower()
    at = lower.find(b"content-length:")
    length = int(lower[at + 15 :].split(b"\r\n")[0]) if at >= 0 else 0
    return head + await reader.readexactly(length)


class Server:
    """Answers each request with the next of its answers, the last one for ever."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers or [OK])
        self.requests: list[bytes] = []
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            self.requests.append(await read_request(reader))
            writer.write(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])


async def failure(
    transport: AiohttpTransport, request: wire.HttpRequest, timeout: float = 30
) -> tuple[type[errors.TransportError], str]:
    """Class and reason of the error that the request ends with."""
    with pytest.raises(errors.TransportError) as caught:
        await transport.send(request, timeout=timeout)
    return type(caught.value), caught.value.reason


async def test_request_arrives_as_given_and_the_answer_is_whole(serve: Serve) -> None:
    server = Server(answer(b"taken", "X-Request-ID: abc", "X-Many: 1", "x-many: 2"))
    port = await serve(server)
    request = post(port, path="/a%2Ab?x=%7E&y=a+b", headers={"Authorization": "Bearer t"})

    async with AiohttpTransport() as transport:
        response = await transport.send(request, timeout=30)

    (sent,) = server.requests
    assert sent.startswith(b"POST /a%2Ab?x=%7E&y=a+b HTTP/1.1\r\n")
    assert b"\r\nAuthorization: Bearer t\r\n" in sent
    assert sent.endswith(b'\r\n\r\n{"to":"x"}')
    assert response.status == 200
    assert response.body == b"taken"
    assert response.headers["x-request-id"] == "abc"
    assert response.headers["x-many"] == "1, 2"


async def test_connections_are_kept_and_carry_the_next_request(serve: Serve) -> None:
    server = Server()
    port = await serve(server)

    async with AiohttpTransport() as transport:
        for _ in range(5):
            await transport.send(post(port), timeout=30)

    assert server.connections == 1


async def test_no_more_connections_than_the_limit_are_opened(serve: Serve) -> None:
    server = Server()
    port = await serve(server)

    async with AiohttpTransport(limit_per_host=3) as transport:
        await asyncio.gather(*(transport.send(post(port), timeout=30) for _ in range(40)))

    assert len(server.requests) == 40
    assert server.connections == 3


async def test_refused_connection_is_not_sent(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    listener.close()

    async with AiohttpTransport() as transport:
        result = await failure(transport, post(port))

    assert result == (errors.NotSent, "connect refused")


async def test_unknown_host_is_not_sent() -> None:
    request = wire.HttpRequest(method="POST", url="http://[::1", body=b"x")
    unresolved = wire.HttpRequest(method="POST", url="http://a..b/", body=b"x")

    async with AiohttpTransport() as transport:
        invalid = await failure(transport, request)
        unknown = await failure(transport, unresolved)

    assert invalid == (errors.NotSent, "invalid url")
    assert unknown[0] is errors.NotSent


async def test_untrusted_certificate_is_not_sent(serve: Serve, server_tls: ssl.SSLContext) -> None:
    server = Server()
    port = await serve(server, server_tls)

    async with AiohttpTransport() as transport:
        result = await failure(transport, post(port, scheme="https"))

    assert result == (errors.NotSent, "tls certificate")
    assert not server.requests


async def test_trusted_certificate_is_accepted_and_its_connection_kept(
    serve: Serve, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    server = Server()
    port = await serve(server, server_tls)

    async with AiohttpTransport(tls=client_tls) as transport:
        for _ in range(3):
            response = await transport.send(post(port, scheme="https"), timeout=30)
            assert response.body == b"ok"

    assert server.connections == 1


def test_context_that_does_not_verify_is_refused() -> None:
    context = ssl.create_default_context()
    context.check_hostname = False

    with pytest.raises(ValueError, match="verify"):
        AiohttpTransport(tls=context)


async def test_plain_server_behind_https_is_not_sent(serve: Serve) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 this is something else\r\n")
        await reader.read()

    port = await serve(handler)

    async with AiohttpTransport() as transport:
        kind, reason = await failure(transport, post(port, scheme="https"))

    assert kind is errors.NotSent
    assert reason == "tls"


async def test_handshake_that_never_ends_is_not_sent(serve: Serve) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    port = await serve(handler)

    async with AiohttpTransport(connect_timeout=0.05) as transport:
        result = await failure(transport, post(port, scheme="https"))

    assert result == (errors.NotSent, "connect timeout")


@pytest.mark.parametrize("method", ["POST", "GET", "PUT"])
async def test_drop_instead_of_an_answer_is_lost_and_never_repeated(
    serve: Serve, method: str
) -> None:
    requests = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await read_request(reader))

    port = await serve(handler)
    body = b"" if method == "GET" else b"x"

    async with AiohttpTransport() as transport:
        result = await failure(transport, post(port, method=method, body=body))

    assert result == (errors.AnswerLost, "disconnected")
    assert len(requests) == 1


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_drop_on_a_kept_connection_is_lost_and_never_repeated(
    serve: Serve, method: str
) -> None:
    requests = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await read_request(reader))
        writer.write(OK)
        requests.append(await read_request(reader))

    port = await serve(handler)
    request = post(port, method=method, body=b"")

    async with AiohttpTransport() as transport:
        await transport.send(request, timeout=30)
        result = await failure(transport, request)

    assert result == (errors.AnswerLost, "disconnected")
    assert len(requests) == 2


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "answer cut short"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", "answer cut short"),
        (b"HTTP/1.1 200 OK\r\nContent-", "disconnected"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not http"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
            "answer cut short",
        ),
    ],
)
async def test_broken_answer_is_lost(serve: Serve, sent: bytes, reason: str) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(sent)

    port = await serve(handler)

    async with AiohttpTransport() as transport:
        result = await failure(transport, post(port))

    assert result == (errors.AnswerLost, reason)


async def test_endless_answer_is_cut_off(serve: Serve) -> None:
    written = 0
    closed = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(bytes(65536))
                written += 65536
                await writer.drain()
        closed.set()

    port = await serve(handler)

    async with AiohttpTransport(max_answer_bytes=100_000) as transport:
        result = await failure(transport, post(port))
        await asyncio.wait_for(closed.wait(), 30)

    assert result == (errors.AnswerLost, "answer too large")
    assert written < 64 * 1024 * 1024  # what the buffers of both kernels hold


async def test_cap_counts_what_comes_out_of_the_decompression(serve: Serve) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    fair = gzip.compress(b"x" * 5000)
    encoding = "Content-Encoding: gzip"
    port = await serve(Server(answer(fair, encoding), answer(bomb, encoding)))

    async with AiohttpTransport(max_answer_bytes=10_000) as transport:
        response = await transport.send(post(port), timeout=30)
        result = await failure(transport, post(port))

    assert response.body == b"x" * 5000
    assert result == (errors.AnswerLost, "answer too large")


async def test_answer_of_exactly_the_cap_is_read(serve: Serve) -> None:
    port = await serve(Server(answer(b"x" * 100_000)))

    async with AiohttpTransport(max_answer_bytes=100_000) as transport:
        response = await transport.send(post(port), timeout=30)

    assert len(response.body) == 100_000


async def test_chunked_answer_is_joined_and_its_connection_kept(serve: Serve) -> None:
    head = b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n"
    server = Server(head + b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n")
    port = await serve(server)

    async with AiohttpTransport() as transport:
        first = await transport.send(post(port), timeout=30)
        second = await transport.send(post(port), timeout=30)

    assert first.status == 202
    assert (first.body, second.body) == (b"abcdefg", b"abcdefg")
    assert server.connections == 1


@pytest.mark.parametrize(
    "part", [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"]
)
async def test_answer_that_stops_is_lost_by_timeout(serve: Serve, part: bytes) -> None:
    ended = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(part)
        await reader.read()
        ended.set()

    port = await serve(handler)

    async with AiohttpTransport() as transport:
        result = await failure(transport, post(port), timeout=0.05)
        await asyncio.wait_for(ended.wait(), 30)  # the connection was closed, not kept

    assert result == (errors.AnswerLost, "timeout")


async def test_close_while_the_body_is_being_written_is_lost(serve: Serve) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    port = await serve(handler)

    async with AiohttpTransport() as transport:
        result = await failure(transport, post(port, body=bytes(20_000_000)))

    assert result == (errors.AnswerLost, "disconnected")


async def test_early_answer_to_a_long_body_is_an_answer(serve: Serve) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    port = await serve(handler)

    async with AiohttpTransport() as transport:
        response = await transport.send(post(port, body=bytes(20_000_000)), timeout=30)

    assert response.status == 413


async def accept(listener: socket.socket) -> socket.socket:
    accepting = asyncio.get_running_loop().sock_accept(listener)
    connection, _ = await asyncio.wait_for(accepting, 10)
    return connection


async def exchange(
    transport: AiohttpTransport, listener: socket.socket, reply: bytes
) -> tuple[socket.socket, wire.HttpResponse]:
    """One request on a new connection to a bare socket, which stays open."""
    sending = asyncio.create_task(transport.send(post(listener.getsockname()[1]), timeout=30))
    connection = await accept(listener)
    loop = asyncio.get_running_loop()
    connection.setblocking(False)
    await loop.sock_recv(connection, 65536)
    connection.setblocking(True)
    connection.sendall(reply)
    return connection, await sending


async def test_kept_connection_that_the_server_has_just_closed_is_not_used(
    listener: socket.socket,
) -> None:
    async with AiohttpTransport() as transport:
        connection, _ = await exchange(transport, listener, answer(b"first"))
        connection.close()  # and before the loop hears of it:
        second, response = await exchange(transport, listener, answer(b"second"))
        second.close()

    assert response.body == b"second"


async def test_answer_that_nobody_asked_for_is_not_taken_for_the_next(
    listener: socket.socket,
) -> None:
    stray = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"
    async with AiohttpTransport() as transport:
        connection, _ = await exchange(transport, listener, answer(b"first"))
        connection.sendall(stray)
        second, response = await exchange(transport, listener, answer(b"second"))
        connection.close()
        second.close()

    assert (response.status, response.body) == (200, b"second")


async def test_second_answer_in_one_segment_is_not_taken_for_the_next(
    listener: socket.socket,
) -> None:
    stray = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
    async with AiohttpTransport() as transport:
        connection, _ = await exchange(transport, listener, answer(b"first") + stray)
        second, response = await exchange(transport, listener, answer(b"second"))
        connection.close()
        second.close()

    assert (response.status, response.body) == (200, b"second")


async def test_cancelled_request_leaves_no_answer_for_the_next(serve: Serve) -> None:
    arrived, release = asyncio.Event(), asyncio.Event()
    connections = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        mine = connections
        await read_request(reader)
        if mine == 1:
            arrived.set()
            await release.wait()
        writer.write(answer(f"answer {mine}".encode()))
        await reader.read()

    port = await serve(handler)

    async with AiohttpTransport(limit=1) as transport:
        first = asyncio.create_task(transport.send(post(port), timeout=30))
        await asyncio.wait_for(arrived.wait(), 30)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        release.set()
        response = await transport.send(post(port), timeout=30)

    assert response.body == b"answer 2"


async def test_admit_is_awaited_once_between_connection_and_first_byte(serve: Serve) -> None:
    events: list[str] = []
    connected = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        events.append("connected")
        connected.set()
        while True:
            await read_request(reader)
            events.append("request")
            writer.write(OK)

    async def admit() -> None:
        await asyncio.wait_for(connected.wait(), 30)
        events.append("admitted")

    port = await serve(handler)

    async with AiohttpTransport() as transport:
        for _ in range(2):
            await transport.send(post(port), timeout=30, admit=admit)

    assert events == ["connected", "admitted", "request", "admitted", "request"]


async def test_admit_is_not_awaited_when_there_is_no_connection(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    listener.close()
    admitted = []

    async def admit() -> None:
        admitted.append(True)

    async with AiohttpTransport() as transport:
        with pytest.raises(errors.NotSent):
            await transport.send(post(port), timeout=30, admit=admit)

    assert not admitted


async def test_what_admit_raises_goes_through_and_the_connection_is_kept(serve: Serve) -> None:
    server = Server()
    port = await serve(server)

    async def admit() -> None:
        raise LookupError

    async with AiohttpTransport() as transport:
        await transport.send(post(port), timeout=30)
        with pytest.raises(LookupError):
            await transport.send(post(port), timeout=30, admit=admit)
        await transport.send(post(port), timeout=30)

    assert len(server.requests) == 2
    assert server.connections == 1


async def test_timeout_that_passes_in_admit_is_not_sent(serve: Serve) -> None:
    server = Server()
    port = await serve(server)

    async def admit() -> None:
        await asyncio.Event().wait()

    async with AiohttpTransport() as transport:
        with pytest.raises(errors.NotSent, match=r"^timeout$"):
            await transport.send(post(port), timeout=0.05, admit=admit)

    assert not server.requests


async def test_connection_lost_in_admit_is_not_sent(listener: socket.socket) -> None:
    async with AiohttpTransport() as transport:
        connection, _ = await exchange(transport, listener, OK)

        async def admit() -> None:
            connection.close()
            for _ in range(5):  # turns in which the loop reads the end of the stream
                await asyncio.sleep(0)

        with pytest.raises(errors.NotSent, match="disconnected"):
            await transport.send(post(listener.getsockname()[1]), timeout=30, admit=admit)


async def test_redirects_are_answers_like_any_other(serve: Serve) -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    server = Server(moved)
    port = await serve(server)

    async with AiohttpTransport() as transport:
        response = await transport.send(post(port), timeout=30)

    assert response.status == 302
    assert len(server.requests) == 1


async def test_cookies_are_not_kept_and_the_environment_names_no_proxy(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server = Server(answer(b"ok", "Set-Cookie: session=1"))
    port = await serve(server)
    request = post(port, url=f"http://localhost:{port}/")  # cookies do not go with IP addresses

    async with AiohttpTransport() as transport:
        for _ in range(2):
            await transport.send(request, timeout=30)

    assert all(b"cookie" not in request.lower() for request in server.requests)


async def test_header_with_a_line_end_is_not_sent(serve: Serve) -> None:
    server = Server()
    port = await serve(server)

    async with AiohttpTransport() as transport:
        result = await failure(transport, post(port, headers={"X-A": "b\r\nX-Evil: 1"}))

    assert result == (errors.NotSent, "invalid request")
    assert not server.requests


async def test_closed_transport_sends_nothing(serve: Serve) -> None:
    port = await serve(Server())
    transport = AiohttpTransport()
    before = await failure(transport, post(port))
    async with transport:
        pass

    after = await failure(transport, post(port))
    await transport.__aexit__(None, None, None)

    assert before == after == (errors.NotSent, "closed")


async def test_close_fails_those_who_wait_in_line_and_those_who_wait_for_an_answer(
    serve: Serve,
) -> None:
    arrived = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        arrived.set()
        await reader.read()

    port = await serve(handler)
    queued = asyncio.Event()

    async with AiohttpTransport(limit=1) as transport:

        async def second() -> None:
            queued.set()
            await transport.send(post(port), timeout=30)

        first = asyncio.create_task(transport.send(post(port), timeout=30))
        await asyncio.wait_for(arrived.wait(), 30)
        waiting = asyncio.create_task(second())
        await queued.wait()
    outcomes = await asyncio.gather(first, waiting, return_exceptions=True)

    assert isinstance(outcomes[0], errors.AnswerLost)
    assert isinstance(outcomes[1], errors.NotSent)
    assert outcomes[1].reason == "closed"


async def test_guard_refuses_literals_and_names_that_lead_inside(serve: Serve) -> None:
    server = Server()
    port = await serve(server)
    inside = f"https://localhost:{port}/"

    async with AiohttpTransport(guard=AddressGuard(["10.0.0.0/8"])) as transport:
        literal = await failure(transport, post(port, scheme="https"))
        name = await failure(transport, post(port, url=inside))
    async with AiohttpTransport(guard=AddressGuard()) as transport:
        plain = await failure(transport, post(port))

    assert literal == (errors.NotSent, "address not allowed")
    assert name == (errors.NotSent, "address not allowed")
    assert plain == (errors.NotSent, "scheme not allowed")
    assert server.connections == 0


async def test_guard_lets_through_what_is_on_its_list(serve: Serve) -> None:
    server = Server()
    port = await serve(server)

    async with AiohttpTransport(guard=AddressGuard(["127.0.0.0/8"])) as transport:
        literal = await transport.send(post(port), timeout=30)
        name = await transport.send(post(port, url=f"http://localhost:{port}/"), timeout=30)

    assert (literal.body, name.body) == (b"ok", b"ok")


async def test_errors_name_no_address_and_no_token(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    listener.close()
    request = post(port, path="/bot123:secret/sendMessage")

    async with AiohttpTransport() as transport:
        with pytest.raises(errors.NotSent) as caught:
            await transport.send(request, timeout=30)

    assert str(caught.value) == "connect refused"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
