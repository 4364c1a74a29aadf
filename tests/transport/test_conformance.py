"""Every HTTP transport against scripted servers: what counts as sent, as lost, as answered."""

import asyncio
import contextlib
import gzip
import itertools
import random
import socket
import ssl
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.model import errors, wire
from gateway.transport import base
from gateway.transport.http import AiohttpTransport
from gateway.transport.http2 import Http2Transport
from gateway.transport.lean import LeanHttpTransport

Serve = Callable[..., Awaitable[int]]
Make = Callable[..., base.HttpTransport]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Id: 7\r\n\r\nok"


@pytest.fixture(params=[AiohttpTransport, LeanHttpTransport])
def make(request: pytest.FixtureRequest) -> Make:
    """What is tested here holds for every transport."""
    return lambda **options: request.param(base.HttpOptions(**options))


@pytest.fixture(params=[AiohttpTransport, LeanHttpTransport, Http2Transport])
def make_any(request: pytest.FixtureRequest) -> Make:
    """What is tested here holds for every version of HTTP; those of HTTP/2 alone, with servers
    that speak it, are in test_http2.py."""
    return lambda **options: request.param(base.HttpOptions(**options))


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
    transport: base.HttpTransport, request: wire.HttpRequest, timeout: float = 30
) -> tuple[type[errors.TransportError], str]:
    """Class and reason of the error that the request ends with."""
    with pytest.raises(errors.TransportError) as caught:
        await transport.send(request, timeout=timeout)
    return type(caught.value), caught.value.reason


async def test_request_arrives_as_given_and_the_answer_is_whole(make: Make, serve: Serve) -> None:
    server = Server(answer(b"taken", "X-Request-ID: abc", "X-Many: 1", "x-many: 2"))
    port = await serve(server)
    request = post(port, path="/a%2Ab?x=%7E&y=a+b", headers={"Authorization": "Bearer t"})

    async with make() as transport:
        response = await transport.send(request, timeout=30)

    (sent,) = server.requests
    assert sent.startswith(b"POST /a%2Ab?x=%7E&y=a+b HTTP/1.1\r\n")
    assert b"\r\nAuthorization: Bearer t\r\n" in sent
    assert sent.endswith(b'\r\n\r\n{"to":"x"}')
    assert response.status == 200
    assert response.body == b"taken"
    assert response.headers["x-request-id"] == "abc"
    assert response.headers["x-many"] == "1, 2"


async def test_connections_are_kept_and_carry_the_next_request(make: Make, serve: Serve) -> None:
    server = Server()
    port = await serve(server)

    async with make() as transport:
        for _ in range(5):
            await transport.send(post(port), timeout=30)

    assert server.connections == 1


async def test_no_more_connections_than_the_limit_are_opened(make: Make, serve: Serve) -> None:
    server = Server()
    port = await serve(server)

    async with make(limit_per_host=3) as transport:
        await asyncio.gather(*(transport.send(post(port), timeout=30) for _ in range(40)))

    assert len(server.requests) == 40
    assert server.connections == 3


async def test_refused_connection_is_not_sent(make_any: Make, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    listener.close()

    async with make_any() as transport:
        result = await failure(transport, post(port, scheme="https"))

    assert result == (errors.NotSent, "connect refused")


async def test_unknown_host_is_not_sent(make_any: Make) -> None:
    request = wire.HttpRequest(method="POST", url="https://[::1", body=b"x")
    unresolved = wire.HttpRequest(method="POST", url="https://a..b/", body=b"x")

    async with make_any() as transport:
        invalid = await failure(transport, request)
        unknown = await failure(transport, unresolved)

    assert invalid == (errors.NotSent, "invalid url")
    assert unknown[0] is errors.NotSent


async def test_untrusted_certificate_is_not_sent(
    make_any: Make, serve: Serve, server_tls: ssl.SSLContext
) -> None:
    server = Server()
    port = await serve(server, server_tls)

    async with make_any() as transport:
        result = await failure(transport, post(port, scheme="https"))

    assert result == (errors.NotSent, "tls certificate")
    assert not server.requests


async def test_trusted_certificate_is_accepted_and_its_connection_kept(
    make: Make, serve: Serve, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    server = Server()
    port = await serve(server, server_tls)

    async with make(tls=client_tls) as transport:
        for _ in range(3):
            response = await transport.send(post(port, scheme="https"), timeout=30)
            assert response.body == b"ok"

    assert server.connections == 1


def test_context_that_does_not_verify_is_refused(make_any: Make) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False

    with pytest.raises(ValueError, match="verify"):
        make_any(tls=context)


async def test_plain_server_behind_https_is_not_sent(make_any: Make, serve: Serve) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 this is something else\r\n")
        await reader.read()

    port = await serve(handler)

    async with make_any() as transport:
        kind, reason = await failure(transport, post(port, scheme="https"))

    assert kind is errors.NotSent
    assert reason == "tls"


async def test_handshake_that_never_ends_is_not_sent(make_any: Make, serve: Serve) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    port = await serve(handler)

    async with make_any(connect_timeout=0.05) as transport:
        result = await failure(transport, post(port, scheme="https"))

    assert result == (errors.NotSent, "connect timeout")


@pytest.mark.parametrize("method", ["POST", "GET", "PUT"])
async def test_drop_instead_of_an_answer_is_lost_and_never_repeated(
    make: Make, serve: Serve, method: str
) -> None:
    requests = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await read_request(reader))

    port = await serve(handler)
    body = b"" if method == "GET" else b"x"

    async with make() as transport:
        result = await failure(transport, post(port, method=method, body=body))

    assert result == (errors.AnswerLost, "disconnected")
    assert len(requests) == 1


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_drop_on_a_kept_connection_is_lost_and_never_repeated(
    make: Make, serve: Serve, method: str
) -> None:
    requests = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await read_request(reader))
        writer.write(OK)
        requests.append(await read_request(reader))

    port = await serve(handler)
    request = post(port, method=method, body=b"")

    async with make() as transport:
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
async def test_broken_answer_is_lost(make: Make, serve: Serve, sent: bytes, reason: str) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(sent)

    port = await serve(handler)

    async with make() as transport:
        result = await failure(transport, post(port))

    assert result == (errors.AnswerLost, reason)


async def test_endless_answer_is_cut_off(make: Make, serve: Serve) -> None:
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

    async with make(max_answer_bytes=100_000) as transport:
        result = await failure(transport, post(port))
        await asyncio.wait_for(closed.wait(), 30)

    assert result == (errors.AnswerLost, "answer too large")
    assert written < 64 * 1024 * 1024  # what the buffers of both kernels hold


async def test_cap_counts_what_comes_out_of_the_decompression(make: Make, serve: Serve) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    fair = gzip.compress(b"x" * 5000)
    encoding = "Content-Encoding: gzip"
    port = await serve(Server(answer(fair, encoding), answer(bomb, encoding)))

    async with make(max_answer_bytes=10_000) as transport:
        response = await transport.send(post(port), timeout=30)
        result = await failure(transport, post(port))

    assert response.body == b"x" * 5000
    assert result == (errors.AnswerLost, "answer too large")


async def test_answer_of_exactly_the_cap_is_read(make: Make, serve: Serve) -> None:
    port = await serve(Server(answer(b"x" * 100_000)))

    async with make(max_answer_bytes=100_000) as transport:
        response = await transport.send(post(port), timeout=30)

    assert len(response.body) == 100_000


async def test_chunked_answer_is_joined_and_its_connection_kept(make: Make, serve: Serve) -> None:
    head = b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n"
    server = Server(head + b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n")
    port = await serve(server)

    async with make() as transport:
        first = await transport.send(post(port), timeout=30)
        second = await transport.send(post(port), timeout=30)

    assert first.status == 202
    assert (first.body, second.body) == (b"abcdefg", b"abcdefg")
    assert server.connections == 1


@pytest.mark.parametrize(
    "part", [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"]
)
async def test_answer_that_stops_is_lost_by_timeout(make: Make, serve: Serve, part: bytes) -> None:
    ended = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(part)
        await reader.read()
        ended.set()

    port = await serve(handler)

    async with make() as transport:
        result = await failure(transport, post(port), timeout=0.05)
        await asyncio.wait_for(ended.wait(), 30)  # the connection was closed, not kept

    assert result == (errors.AnswerLost, "timeout")


async def test_close_while_the_body_is_being_written_is_lost(make: Make, serve: Serve) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    port = await serve(handler)

    async with make() as transport:
        result = await failure(transport, post(port, body=bytes(20_000_000)))

    assert result == (errors.AnswerLost, "disconnected")


async def test_early_answer_to_a_long_body_is_an_answer(make: Make, serve: Serve) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    port = await serve(handler)

    async with make() as transport:
        response = await transport.send(post(port, body=bytes(20_000_000)), timeout=30)

    assert response.status == 413


async def test_connection_on_which_a_request_still_leaves_carries_no_other(
    make: Make, serve: Serve
) -> None:
    connections = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await asyncio.Event().wait()  # without reading on

    port = await serve(handler)

    async with make() as transport:
        for _ in range(2):
            response = await transport.send(post(port, body=bytes(20_000_000)), timeout=30)
            assert response.status == 413

    assert connections == 2


async def accept(listener: socket.socket) -> socket.socket:
    accepting = asyncio.get_running_loop().sock_accept(listener)
    connection, _ = await asyncio.wait_for(accepting, 10)
    return connection


async def exchange(
    transport: base.HttpTransport, listener: socket.socket, reply: bytes
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
    make: Make,
    listener: socket.socket,
) -> None:
    async with make() as transport:
        connection, _ = await exchange(transport, listener, answer(b"first"))
        connection.close()  # and before the loop hears of it:
        second, response = await exchange(transport, listener, answer(b"second"))
        second.close()

    assert response.body == b"second"


async def test_answer_that_nobody_asked_for_is_not_taken_for_the_next(
    make: Make,
    listener: socket.socket,
) -> None:
    stray = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"
    async with make() as transport:
        connection, _ = await exchange(transport, listener, answer(b"first"))
        connection.sendall(stray)
        second, response = await exchange(transport, listener, answer(b"second"))
        connection.close()
        second.close()

    assert (response.status, response.body) == (200, b"second")


async def test_second_answer_in_one_segment_is_not_taken_for_the_next(
    make: Make,
    listener: socket.socket,
) -> None:
    stray = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
    async with make() as transport:
        connection, _ = await exchange(transport, listener, answer(b"first") + stray)
        second, response = await exchange(transport, listener, answer(b"second"))
        connection.close()
        second.close()

    assert (response.status, response.body) == (200, b"second")


async def test_cancelled_request_leaves_no_answer_for_the_next(make: Make, serve: Serve) -> None:
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

    async with make(limit=1) as transport:
        first = asyncio.create_task(transport.send(post(port), timeout=30))
        await asyncio.wait_for(arrived.wait(), 30)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        release.set()
        response = await transport.send(post(port), timeout=30)

    assert response.body == b"answer 2"


async def test_admit_is_awaited_once_between_connection_and_first_byte(
    make: Make, serve: Serve
) -> None:
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

    async with make() as transport:
        for _ in range(2):
            await transport.send(post(port), timeout=30, admit=admit)

    assert events == ["connected", "admitted", "request", "admitted", "request"]


async def test_admit_is_not_awaited_when_there_is_no_connection(
    make: Make, listener: socket.socket
) -> None:
    port = listener.getsockname()[1]
    listener.close()
    admitted = []

    async def admit() -> None:
        admitted.append(True)

    async with make() as transport:
        with pytest.raises(errors.NotSent):
            await transport.send(post(port), timeout=30, admit=admit)

    assert not admitted


async def test_what_admit_raises_goes_through_and_the_connection_is_kept(
    make: Make, serve: Serve
) -> None:
    server = Server()
    port = await serve(server)

    async def admit() -> None:
        raise LookupError

    async with make() as transport:
        await transport.send(post(port), timeout=30)
        with pytest.raises(LookupError):
            await transport.send(post(port), timeout=30, admit=admit)
        await transport.send(post(port), timeout=30)

    assert len(server.requests) == 2
    assert server.connections == 1


async def test_timeout_that_passes_in_admit_is_not_sent(make: Make, serve: Serve) -> None:
    server = Server()
    port = await serve(server)

    async def admit() -> None:
        await asyncio.Event().wait()

    async with make() as transport:
        with pytest.raises(errors.NotSent, match=r"^timeout$"):
            await transport.send(post(port), timeout=0.05, admit=admit)

    assert not server.requests


async def test_connection_lost_in_admit_is_not_sent(make: Make, listener: socket.socket) -> None:
    async with make() as transport:
        connection, _ = await exchange(transport, listener, OK)

        async def admit() -> None:
            connection.close()
            for _ in range(5):  # turns in which the loop reads the end of the stream
                await asyncio.sleep(0)

        with pytest.raises(errors.NotSent, match="disconnected"):
            await transport.send(post(listener.getsockname()[1]), timeout=30, admit=admit)


async def test_redirects_are_answers_like_any_other(make: Make, serve: Serve) -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    server = Server(moved)
    port = await serve(server)

    async with make() as transport:
        response = await transport.send(post(port), timeout=30)

    assert response.status == 302
    assert len(server.requests) == 1


async def test_cookies_are_not_kept_and_the_environment_names_no_proxy(
    make: Make, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server = Server(answer(b"ok", "Set-Cookie: session=1"))
    port = await serve(server)
    request = post(port, url=f"http://localhost:{port}/")  # cookies do not go with IP addresses

    async with make() as transport:
        for _ in range(2):
            await transport.send(request, timeout=30)

    assert all(b"cookie" not in request.lower() for request in server.requests)


async def test_header_with_a_line_end_is_not_sent(make: Make, serve: Serve) -> None:
    server = Server()
    port = await serve(server)

    async with make() as transport:
        result = await failure(transport, post(port, headers={"X-A": "b\r\nX-Evil: 1"}))

    assert result == (errors.NotSent, "invalid request")
    assert not server.requests


async def test_closed_transport_sends_nothing(make: Make, serve: Serve) -> None:
    port = await serve(Server())
    transport = make()
    before = await failure(transport, post(port))
    async with transport:
        pass

    after = await failure(transport, post(port))
    await transport.__aexit__(None, None, None)

    assert before == after == (errors.NotSent, "closed")


async def test_close_fails_those_who_wait_in_line_and_those_who_wait_for_an_answer(
    make: Make,
    serve: Serve,
) -> None:
    arrived = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        arrived.set()
        await reader.read()

    port = await serve(handler)
    queued = asyncio.Event()

    async with make(limit=1) as transport:

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


async def test_errors_name_no_address_and_no_token(make: Make, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    listener.close()
    request = post(port, path="/bot123:secret/sendMessage")

    async with make() as transport:
        with pytest.raises(errors.NotSent) as caught:
            await transport.send(request, timeout=30)

    assert str(caught.value) == "connect refused"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.fixture(scope="session")
def foreign_tls(certificate: Path, tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server whose certificate comes from the trusted authority, for another name."""
    authority = x509.load_pem_x509_certificate(certificate.read_bytes())
    secret = serialization.load_pem_private_key(certificate.read_bytes(), None)
    assert isinstance(secret, ec.EllipticCurvePrivateKey)
    signed = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(authority.subject)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(authority.not_valid_before_utc)
        .not_valid_after(authority.not_valid_after_utc)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("elsewhere.example")]), critical=True
        )
        .sign(secret, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "elsewhere.pem"
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, certificate)
    return context


async def test_certificate_of_another_host_is_not_sent(
    make: Make, serve: Serve, foreign_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    server = Server()
    port = await serve(server, foreign_tls)

    async with make(tls=client_tls) as transport:
        result = await failure(transport, post(port, scheme="https"))

    assert result == (errors.NotSent, "tls certificate")
    assert not server.requests


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_answer_without_a_length_ends_with_the_connection(
    make: Make,
    serve: Serve,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    scheme: str,
) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for number in range(50):
            writer.write(b"%d " % number)
            await writer.drain()

    port = await serve(handler, server_tls if scheme == "https" else None)

    async with make(tls=client_tls) as transport:
        for _ in range(2):
            response = await transport.send(post(port, scheme=scheme), timeout=30)
            assert response.body.split() == [b"%d" % number for number in range(50)]


async def test_interim_answers_are_skipped(make: Make, serve: Serve) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    server = Server(interim + OK)
    port = await serve(server)

    async with make() as transport:
        responses = [await transport.send(post(port), timeout=30) for _ in range(2)]

    assert [each.status for each in responses] == [200, 200]
    assert "link" not in responses[0].headers
    assert server.connections == 1


async def test_server_may_ask_for_the_body(make: Make, serve: Serve) -> None:
    bodies = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        bodies.append(await reader.readexactly(4))
        writer.write(OK)

    port = await serve(handler)
    request = post(port, headers={"Expect": "100-continue"}, body=b"body")

    async with make() as transport:
        response = await transport.send(request, timeout=30)

    assert response.body == b"ok"
    assert bodies == [b"body"]


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
async def test_answer_that_can_have_no_body_needs_no_length(
    make: Make, serve: Serve, status: str
) -> None:
    server = Server(f"HTTP/1.1 {status}\r\nX-Id: 7\r\n\r\n".encode())
    port = await serve(server)

    async with make() as transport:
        responses = [await transport.send(post(port), timeout=30) for _ in range(3)]

    assert [(each.status, each.body) for each in responses] == [(int(status[:3]), b"")] * 3
    assert server.connections == 1


async def test_answer_to_head_has_no_body_whatever_it_says(make: Make, serve: Serve) -> None:
    server = Server(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", OK)
    port = await serve(server)

    async with make() as transport:
        head = await transport.send(post(port, method="HEAD", body=b""), timeout=30)
        response = await transport.send(post(port), timeout=30)

    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "1000")
    assert response.body == b"ok"


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
async def test_connection_that_the_server_gives_up_is_not_used_again(
    make: Make, serve: Serve, sent: bytes
) -> None:
    server = Server(sent)
    port = await serve(server)

    async with make() as transport:
        for _ in range(3):
            response = await transport.send(post(port), timeout=30)
            assert response.body == b"ok"

    assert server.connections == 3


@pytest.mark.parametrize(
    ("coding", "window_bits"), [("gzip", 31), ("deflate", 15), ("deflate", -15)]
)
async def test_compressed_answer_is_read(
    make: Make, serve: Serve, coding: str, window_bits: int
) -> None:
    compressor = zlib.compressobj(wbits=window_bits)
    body = compressor.compress(b"x" * 5000) + compressor.flush()
    port = await serve(Server(answer(body, f"Content-Encoding: {coding}")))

    async with make() as transport:
        response = await transport.send(post(port), timeout=30)

    assert response.body == b"x" * 5000


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 2\r\nContent-Length: 20",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked",
        b"Content-Length: -2",
        b"X-A: b\r\nX B: c\r\nContent-Length: 2",
    ],
)
async def test_answer_whose_end_is_in_doubt_is_lost(
    make: Make, serve: Serve, fields: bytes
) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\nok")
        await reader.read()

    port = await serve(handler)

    async with make() as transport:
        kind, _ = await failure(transport, post(port))

    assert kind is errors.AnswerLost


@pytest.mark.parametrize("endless", [b"X-Many: of these\r\n", b"x" * 1024])
async def test_endless_head_is_cut_off(make: Make, serve: Serve, endless: bytes) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nX-First: ")
        while not writer.is_closing():
            writer.write(endless)
            await writer.drain()

    port = await serve(handler)

    async with make() as transport:
        kind, _ = await failure(transport, post(port))

    assert kind is errors.AnswerLost


async def test_answer_that_drips_is_lost_by_timeout(make: Make, serve: Serve) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0)

    port = await serve(handler)

    async with make() as transport:
        result = await failure(transport, post(port), timeout=0.1)

    assert result == (errors.AnswerLost, "timeout")


@pytest.mark.parametrize("seed", range(3))
async def test_answers_never_meet_another_request_whatever_is_cancelled(
    make: Make, serve: Serve, seed: int
) -> None:
    chance = random.Random(seed)

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            _, _, body = (await read_request(reader)).partition(b"\r\n\r\n")
            sent = answer(b"for " + body)
            cut = chance.randrange(len(sent))
            for part in (sent[:cut], sent[cut:]):
                writer.write(part)
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)

    port = await serve(handler)

    async with make(limit_per_host=8) as transport:

        async def send(number: int) -> bytes:
            request = post(port, body=b"%d" % number)
            return (await transport.send(request, timeout=30)).body

        tasks = [asyncio.create_task(send(number)) for number in range(200)]
        doomed = chance.sample(tasks, 80)
        while doomed:
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0)
            doomed.pop().cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        last = await send(200)

    answered = {n: body for n, body in enumerate(outcomes) if isinstance(body, bytes)}
    assert answered == {number: b"for %d" % number for number in answered}
    assert len(answered) >= 120
    assert last == b"for 200"
    assert all(isinstance(each, (bytes, asyncio.CancelledError)) for each in outcomes)


async def test_those_in_line_are_served_in_order(make: Make, serve: Serve) -> None:
    server = Server()
    port = await serve(server)

    async with make(limit_per_host=1) as transport:
        requests = [post(port, body=b"%02d" % number) for number in range(20)]
        await asyncio.gather(*(transport.send(each, timeout=30) for each in requests))

    assert [each[-2:] for each in server.requests] == [b"%02d" % number for number in range(20)]
    assert server.connections == 1


async def test_wait_for_a_free_connection_is_bounded(make: Make, serve: Serve) -> None:
    arrived, release = asyncio.Event(), asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            arrived.set()
            await release.wait()
            writer.write(OK)

    port = await serve(handler)

    async with make(limit_per_host=1, connect_timeout=1.0) as transport:
        first = asyncio.create_task(transport.send(post(port), timeout=30))
        await asyncio.wait_for(arrived.wait(), 30)
        kind, _ = await failure(transport, post(port))
        release.set()
        bodies = [(await first).body, (await transport.send(post(port), timeout=30)).body]

    assert kind is errors.NotSent
    assert bodies == [b"ok", b"ok"]


async def test_whoever_leaves_the_line_holds_up_nobody(make: Make, serve: Serve) -> None:
    arrived, release = asyncio.Event(), asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            arrived.set()
            await release.wait()
            writer.write(OK)

    port = await serve(handler)

    async with make(limit=1) as transport:
        first = asyncio.create_task(transport.send(post(port), timeout=30))
        await asyncio.wait_for(arrived.wait(), 30)
        line = [asyncio.create_task(transport.send(post(port), timeout=30)) for _ in range(6)]
        await asyncio.sleep(0)
        for leaver in line[::2]:
            leaver.cancel()
        release.set()
        await first
        outcomes = await asyncio.gather(*line, return_exceptions=True)

    assert [isinstance(each, wire.HttpResponse) for each in outcomes] == [False, True] * 3


async def test_failed_connections_give_their_places_back(
    make: Make, serve: Serve, listener: socket.socket
) -> None:
    nobody = listener.getsockname()[1]
    listener.close()
    port = await serve(Server())

    async with make(limit=1) as transport:
        for _ in range(3):
            assert (await failure(transport, post(nobody)))[0] is errors.NotSent
        response = await transport.send(post(port), timeout=30)

    assert response.body == b"ok"


async def test_whoever_is_cancelled_while_connecting_gives_the_place_back(
    make: Make, serve: Serve
) -> None:
    connected = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read()

    handshake, port = await serve(silent), await serve(Server())

    async with make(limit=1) as transport:
        stuck = asyncio.create_task(transport.send(post(handshake, scheme="https"), timeout=30))
        await asyncio.wait_for(connected.wait(), 30)
        stuck.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stuck
        response = await transport.send(post(port), timeout=30)

    assert response.body == b"ok"


async def test_full_pool_serves_another_host(make: Make, serve: Serve) -> None:
    servers = [Server(answer(b"first")), Server(answer(b"second"))]
    ports = [await serve(server) for server in servers]

    async with make(limit=1) as transport:
        bodies = [
            (await transport.send(post(port), timeout=30)).body
            for port in itertools.chain(ports, ports)
        ]

    assert bodies == [b"first", b"second"] * 2


async def test_cancelled_in_admit_nothing_is_sent_and_the_connection_is_kept(
    make: Make, serve: Serve
) -> None:
    server = Server()
    port = await serve(server)
    admitting = asyncio.Event()

    async def admit() -> None:
        admitting.set()
        await asyncio.Event().wait()

    async with make() as transport:
        task = asyncio.create_task(transport.send(post(port), timeout=30, admit=admit))
        await asyncio.wait_for(admitting.wait(), 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await transport.send(post(port), timeout=30)

    assert len(server.requests) == 1
    assert server.connections == 1


@pytest.mark.parametrize(
    "more",
    [
        {"headers": {"X-A\r\nX-Evil": "1"}},
        {"headers": {"X-A": "b\nc"}},
        {"headers": {"X-A": "b\0c"}},
        {"path": "/a\r\nX-Evil: 1"},
        {"method": "POST / HTTP/1.1\r\nX-Evil: 1\r\n\r\nPOST"},
    ],
)
async def test_request_that_would_break_its_framing_is_not_sent_so(
    make: Make, serve: Serve, more: dict[str, object]
) -> None:
    server = Server()
    port = await serve(server)

    async with make() as transport:
        with contextlib.suppress(errors.NotSent):
            await transport.send(post(port, **more), timeout=30)  # type: ignore[arg-type]

    lines = b"".join(server.requests).lower().split(b"\r\n")
    assert not [line for line in lines if line.startswith(b"x-evil") or b"\0" in line]


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "/send", "127.0.0.1", "http:///send", ""])
async def test_what_is_no_http_url_is_not_sent(make_any: Make, url: str) -> None:
    async with make_any() as transport:
        kind, _ = await failure(transport, wire.HttpRequest(method="POST", url=url))

    assert kind is errors.NotSent
