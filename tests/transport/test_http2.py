"""HTTP/2 against scripted servers: streams, windows, GOAWAY, resets, and what counts as sent."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from gateway.model import errors, wire
from gateway.transport import base, http2_frames
from gateway.transport.http2 import Http2Rules, Http2Transport
from tests.transport.http2_server import Server, Talk, frame, goaway

Serve = Callable[..., Awaitable[int]]
STREAMS = SettingCodes.MAX_CONCURRENT_STREAMS


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    """The server's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(["h2"])
    return context


@pytest.fixture
def trusting(certificate: Path) -> ssl.SSLContext:
    """A context of the client's own, since it becomes one for HTTP/2."""
    return ssl.create_default_context(cafile=str(certificate))


def post(port: int, body: bytes = b"{}", **headers: str) -> wire.HttpRequest:
    url = f"https://127.0.0.1:{port}/3/device/ab%2F?x=%7E"
    return wire.HttpRequest(method="POST", url=url, headers=headers, body=body)


def sending(
    transport: Http2Transport, request: wire.HttpRequest, timeout: float = 30
) -> "asyncio.Task[wire.HttpResponse]":
    return asyncio.create_task(transport.send(request, timeout=timeout))


async def failure(
    answer: Awaitable[wire.HttpResponse],
) -> tuple[type[errors.TransportError], str]:
    with pytest.raises(errors.TransportError) as caught:
        await asyncio.wait_for(answer, 30)
    return type(caught.value), caught.value.reason


class Gate:
    """Lets requests come together: set once so many have come."""

    def __init__(self, count: int) -> None:
        self._missing = count
        self.open = asyncio.Event()

    def __call__(self, talk: Talk, stream: int) -> None:
        self._missing -= 1
        if self._missing <= 0:
            self.open.set()


async def wait(event: asyncio.Event) -> None:
    await asyncio.wait_for(event.wait(), 30)


async def test_request_arrives_as_given_and_the_answer_is_whole(
    serve: Serve, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    server = Server(lambda talk, stream: talk.answer(stream, b"taken", apns_id="abc", x_many="1"))
    port = await serve(server, tls)
    headers = {"Authorization": "bearer t", "Host": "elsewhere", "Connection": "close"}

    async with Http2Transport(base.HttpOptions(tls=trusting)) as transport:
        response = await transport.send(post(port, b'{"a":1}', **headers), timeout=30)

    [talk] = server.talks
    fields = talk.fields[1]
    assert response.status == 200
    assert response.body == b"taken"
    assert response.headers == {"apns-id": "abc", "x-many": "1"}
    assert talk.bodies[1] == b'{"a":1}'
    assert fields[":path"] == "/3/device/ab%2F?x=%7E"
    assert fields[":authority"] == f"127.0.0.1:{port}"
    assert fields["authorization"] == "bearer t"
    assert fields["content-length"] == "7"
    assert not {"host", "connection"} & set(fields)


async def test_many_requests_share_one_connection(
    serve: Serve, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    gate = Gate(50)

    def react(talk: Talk, stream: int) -> None:
        gate(talk, stream)
        if gate.open.is_set():  # all of them are waiting
            for each in reversed(talk.fields):
                talk.answer(each, b"for " + talk.bodies[each])

    server = Server(react)
    port = await serve(server, tls)

    async with Http2Transport(base.HttpOptions(tls=trusting)) as transport:
        answers = await asyncio.gather(
            *(transport.send(post(port, b"%d" % number), timeout=30) for number in range(50))
        )

    assert [one.body for one in answers] == [b"for %d" % number for number in range(50)]
    assert len(server.talks) == 1


async def test_no_more_streams_are_open_than_the_server_allows(
    serve: Serve, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    most = 0

    def head(talk: Talk, stream: int) -> None:
        nonlocal most
        most = max(most, talk.h2.open_inbound_streams)

    server = Server(on_head=head, settings={STREAMS: 3})
    port = await serve(server, tls)

    async with Http2Transport(base.HttpOptions(tls=trusting, limit_per_host=1)) as transport:
        await asyncio.gather(*(transport.send(post(port), timeout=30) for _ in range(40)))

    assert server.requests == 40
    assert 1 <= most <= 3
    assert len(server.talks) == 1


async def test_limit_that_the_server_raises_later_holds_at_once(
    serve: Serve, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    gate = Gate(9)

    def react(talk: Talk, stream: int) -> None:
        if stream == 1:  # as APNs does after the first request that proves who we are
            talk.h2.update_settings({STREAMS: 100})
            talk.answer(stream)
            return
        gate(talk, stream)
        if gate.open.is_set():
            for each in talk.fields:
                if each > 1:
                    talk.answer(each)

    server = Server(react, settings={STREAMS: 1})
    port = await serve(server, tls)

    async with Http2Transport(base.HttpOptions(tls=trusting, limit_per_host=1)) as transport:
        answers = await asyncio.gather(*(transport.send(post(port), timeout=30) for _ in range(10)))

    assert [one.status for one in answers] == [200] * 10


async def test_another_connection_is_opened_when_all_are_full_up_to_the_limit(
    serve: Serve, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    gate = Gate(6)

    async def react(talk: Talk, stream: int) -> None:
        gate(talk, stream)
        if gate.open.is_set():
            for each in server.talks:
                for waiting in each.fields:
                    each.answer(waiting)

    server = Server(react, settings={STREAMS: 2})
    port = await serve(server, tls)

    async with Http2Transport(base.HttpOptions(tls=trusting, limit_per_host=3)) as transport:
        await asyncio.gather(*(transport.send(post(port), timeout=30) for _ in range(6)))

    assert [len(talk.fields) for talk in server.talks] == [2, 2, 2]


async def test_goaway_divides_what_was_not_acted_on_from_what_may_be_answered(
    serve: Serve, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    gate = Gate(3)
    server = Server(gate)
    port = await serve(server, tls)

    async with Http2Transport(base.HttpOptions(tls=trusting)) as transport:
        tasks = [sending(transport, post(port)) for _ in range(3)]
        await wait(gate.open)
        [talk] = server.talks
        talk.say(goaway(3))
        refused = await failure(tasks[2])
        talk.answer(3, b"late")
        answered = await tasks[1]
        talk.writer.close()
        lost = await failure(tasks[0])

    assert refused == (errors.NotSent, "goaway")
    assert answered.body == b"late"
    assert lost == (errors.AnswerLost, "disconnected")


async def test_after_goaway_the_next_request_has_a_connection_of_its_own(
    serve: Serve, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    def react(talk: Talk, stream: int) -> None:
        talk.answer(stream)
        if len(server.talks) == 1:
            talk.say(goaway(2**31 - 1))  # the first of a graceful pair

    server = Server(react)
    port = await serve(server, tls)

    async with Http2Transport(base.HttpOptions(tls=trusting)) as transport:
        await transport.send(post(port), timeout=30)
        await wait(server.talks[0].ended)
        response = await transport.send(post(port), timeout=30)

    assert response.status == 200
    assert len(server.talks) == 2


async def test_second_goaway_of_a_graceful_pair_says_what_was_not_acted_on(
    serve: Serve, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    gate = Gate(2)
    server = Server(gate)
    port = await serve(server, tls)

    async with Http2Transport(base.HttpOptions(tls=trusting)) as transport:
        tasks = [sending(transport, post(port)) for _ in range(2)]
        await wait(gate.open)
        [talk] = server.talks
        talk.say(goaway(2**31 - 1))
        talk.say(goaway(1, error=2))
        refused = await failure(tasks[1])
        talk.answer(1)
        answered = await tasks[0]

    assert refused == (errors.NotSent, "goaway")
    assert answered.status == 200


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (ErrorCodes.REFUSED_STREAM, (errors.NotSent, "refused stream")),
        (ErrorCodes.INTERNAL_ERROR, (errors.AnswerLost, "reset")),
        (ErrorCodes.CANCEL, (errors.AnswerLost, "reset")),
    ],
)
async def test_reset_of_a_stream_concerns_that_stream_alone(
    serve: Serve,
    tls: ssl.SSLContext,
    trusting: ssl.SSLContext,
    code: ErrorCodes,
    expected: tuple[type[errors.TransportError], str],
) -> None:
    def react(talk: Talk, stream: int) -> None:
        if stream == 1:
            talk.h2.reset_stream(stream, code)
        else:
            talk.answer(stream)

    server = Server(react)
    port = await serve(server, tls)

    async with Http2Transport(base.HttpOptions(tls=trusting)) as transport:
        result = await failure(transport.send(post(port), timeout=30))
        response = await transport.send(post(port), timeout=30)

    assert result == expected
    assert response.status == 200
    assert len(server.talks) == 1


async def test_reset_after_half_an_answer_is_lost_whatever_its_code(
    serve: Serve, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    def react(talk: Talk, stream: int) -> None:
        talk.h2.send_headers(stream, [(":status", "200")])
        talk.h2.reset_stream(stream, ErrorCodes.REFUSED_STREAM)

    port = await serve(Server(react), tls)

    async with Http2Transport(base.HttpOptions(tls=trusting)) as transport:
        result = await failure(transport.send(post(port), timeout=30))

    assert result == (errors.AnswerLost, "answer cut short")


async def test_long_body_waits_for_the_windows_and_arrives_whole(
    serve: Serve, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    server = Server(settings={SettingCodes.INITIAL_WINDOW_SIZE: 1000})
    port = await serve(server, tls)
    body = bytes(range(256)) * 4000

    async with Http2Transport(base.HttpOptions(tls=trusting)) as transport:
        answers = await asyncio.gather(
            *(transport.send(post(port, body), timeout=30) for _ in range(3))
        )

    assert [one.status for one in answers] == [200] * 3
    assert list(server.talks[0].bodies.values()) == [body] * 3


async def test_window_that_never_opens_is_a_timeout_and_holds_up_nobody(
    serve: Serve, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    server = Server(settings={SettingCodes.INITIAL_WINDOW_SIZE: 10}, acknowledges=False)
    port = await serve(server, tls)

    async with Http2Transport(base.HttpOptions(tls=trusting)) as transport:
        result = await failure(transport.send(post(port, bytes(100)), timeout=0.05))
        response = await transport.send(post(port, b"short"), timeout=30)

    assert result == (errors.AnswerLost, "timeout")
    assert response.status == 200
    assert server.talks[0].resets == [1]


async def test_early_answer_to_a_long_body_is_an_answer(
    serve: Serve, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    def refuse(talk: Talk, stream: int) -> None:
        talk.answer(stream, status=413)

    server = Server(lambda talk, stream: None, on_head=refuse, acknowledges=False)
    port = await serve(server, tls)

    async with Http2Transport(base.HttpOptions(tls=trusting)) as transport:
        response = await transport.send(post(port, bytes(1_000_000)), timeout=30)
        again = await transport.send(post(port, b""), timeout=30)

    assert (response.status, again.status) == (413, 413)
    assert len(server.talks) == 1


async def test_answer_larger_than_the_cap_is_lost_and_its_stream_reset(
    serve: Serve, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    def react(talk: Talk, stream: int) -> None:
        talk.answer(stream, bytes(10_001 if stream < 41 else 10_000))

    server = Server(react)
    port = await serve(server, tls)

    async with Http2Transport(base.HttpOptions(tls=trusting, max_answer_bytes=10_000)) as transport:
        # more of them than the windows of a connection hold
        results = [await failure(transport.send(post(port), timeout=30)) for _ in range(20)]
        response = await transport.send(post(port), timeout=30)

    assert set(results) == {(errors.AnswerLost, "answer too large")}
    assert len(response.body) == 10_000
    assert len(server.talks) == 1


async def test_cancelled_call_resets_its_stream_and_keeps_the_connection(
    serve: Serve, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    arrived = Gate(1)

    def react(talk: Talk, stream: int) -> None:
        if stream == 1:
            arrived(talk, stream)
        else:
            talk.answer(stream)

    server = Server(react)
    port = await serve(server, tls)

    async with Http2Transport(base.HttpOptions(tls=trusting)) as transport:
        task = sending(transport, post(port))
        await wait(arrived.open)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        response = await transport.send(post(port), timeout=30)

    assert response.status == 200
    assert server.talks[0].resets == [1]
    assert len(server.talks) == 1


async def test_admit_is_awaited_once_before_anything_leaves_and_its_error_goes_through(
    serve: Serve, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    server = Server(settings={STREAMS: 1})
    port = await serve(server, tls)
    before: list[int] = []

    async def admit() -> None:
        before.append(server.requests)

    async def fail() -> None:
        raise KeyError("mine")

    async def linger() -> None:
        await asyncio.Event().wait()

    async with Http2Transport(base.HttpOptions(tls=trusting, limit_per_host=1)) as transport:
        await transport.send(post(port), timeout=30, admit=admit)
        with pytest.raises(KeyError):
            await transport.send(post(port), timeout=30, admit=fail)
        late = await failure(transport.send(post(port), timeout=0.02, admit=linger))
        await transport.send(post(port), timeout=30, admit=admit)  # the one place is free again

    assert before == [0, 1]
    assert late == (errors.NotSent, "timeout")
    assert server.requests == 2


async def test_silent_connection_is_pinged_and_given_up_without_an_answer(
    serve: Serve, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    arrived = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(0x4, b""))
        seen = b""
        while data := await reader.read(65536):
            seen += data
            if frame(0x6, b"gateway\0") in seen:
                arrived.set()

    port = await serve(handler, tls)
    rules = Http2Rules(ping_after=0.05, ping_timeout=0.2)

    async with Http2Transport(base.HttpOptions(tls=trusting), rules=rules) as transport:
        result = await failure(transport.send(post(port), timeout=30))

    await wait(arrived)
    assert result == (errors.AnswerLost, "ping timeout")


async def test_quiet_connection_that_answers_its_pings_is_kept(
    serve: Serve, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async def react(talk: Talk, stream: int) -> None:
        if stream > 1:
            talk.answer(stream)

    server = Server(react)
    port = await serve(server, tls)
    rules = Http2Rules(ping_after=0.01, ping_timeout=5)

    async with Http2Transport(base.HttpOptions(tls=trusting), rules=rules) as transport:
        slow = await failure(transport.send(post(port), timeout=0.2))
        response = await transport.send(post(port), timeout=30)

    assert slow == (errors.AnswerLost, "timeout")
    assert response.status == 200
    assert server.talks[0].pings >= 1
    assert len(server.talks) == 1


async def test_old_connection_carries_nothing_new_and_ends_with_its_last_answer(
    serve: Serve, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    server = Server(lambda talk, stream: None)
    port = await serve(server, tls)
    rules = Http2Rules(max_age=0.0, ping_after=0.03)

    async with Http2Transport(base.HttpOptions(tls=trusting), rules=rules) as transport:
        first = sending(transport, post(port))
        while len(server.talks) < 2:
            second = sending(transport, post(port))
            await asyncio.sleep(0.01)
            second.cancel()
        server.talks[0].answer(1)
        response = await first
        await wait(server.talks[0].ended)

    assert response.status == 200


async def test_idle_connection_is_closed(
    serve: Serve, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    server = Server()
    port = await serve(server, tls)

    async with Http2Transport(
        base.HttpOptions(tls=trusting), rules=Http2Rules(idle=0.02)
    ) as transport:
        await transport.send(post(port), timeout=30)
        await wait(server.talks[0].ended)


async def test_server_that_does_not_speak_http2_is_not_sent(
    serve: Serve, certificate: Path, trusting: ssl.SSLContext
) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    plain = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    plain.load_cert_chain(certificate)
    port = await serve(handler, plain)

    async with Http2Transport(base.HttpOptions(tls=trusting)) as transport:
        result = await failure(transport.send(post(port), timeout=30))

    assert result == (errors.NotSent, "no http/2")


async def test_server_that_tells_no_limits_is_not_sent_to(
    serve: Serve, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    port = await serve(handler, tls)

    async with Http2Transport(base.HttpOptions(tls=trusting, connect_timeout=0.1)) as transport:
        result = await failure(transport.send(post(port), timeout=30))

    assert result == (errors.NotSent, "connect timeout")


@pytest.mark.parametrize(
    "nonsense",
    [
        frame(0x0, b"x", stream=0),
        frame(0x1, b"\xff\xff\xff", flags=0x5, stream=1),
        frame(0x5, bytes(8), flags=0x4, stream=1),
        frame(0x7, b"short"),
        frame(0x7, bytes(20_000)),
        b"\xff\xff\xff" + bytes(6),
    ],
)
async def test_what_breaks_the_protocol_ends_the_connection(
    serve: Serve, tls: ssl.SSLContext, trusting: ssl.SSLContext, nonsense: bytes
) -> None:
    def react(talk: Talk, stream: int) -> None:
        if len(server.talks) == 1:
            talk.say(nonsense)
        else:
            talk.answer(stream)

    server = Server(react)
    port = await serve(server, tls)

    async with Http2Transport(base.HttpOptions(tls=trusting)) as transport:
        result = await failure(transport.send(post(port), timeout=30))
        response = await transport.send(post(port), timeout=30)

    assert result == (errors.AnswerLost, "protocol error")
    assert response.status == 200


async def test_connection_that_comes_to_its_end_in_admit_was_not_sent_on(
    serve: Serve, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    server = Server()
    port = await serve(server, tls)
    seen = asyncio.Event()

    async def admit() -> None:
        server.talks[0].say(goaway(2**31 - 1))
        server.talks[0].writer.close()
        await wait(server.talks[0].ended)
        await asyncio.sleep(0)
        seen.set()

    async with Http2Transport(base.HttpOptions(tls=trusting)) as transport:
        await transport.send(post(port), timeout=30)
        kind, _ = await failure(transport.send(post(port), timeout=30, admit=admit))
        response = await transport.send(post(port), timeout=30)

    assert kind is errors.NotSent
    assert response.status == 200
    assert server.requests == 2


async def test_closing_sends_everybody_home_and_waits_for_the_sockets(
    serve: Serve, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    gate = Gate(1)
    server = Server(gate, settings={STREAMS: 1})
    port = await serve(server, tls)

    transport = Http2Transport(base.HttpOptions(tls=trusting, limit_per_host=1))
    async with transport:
        written, waiting = sending(transport, post(port)), sending(transport, post(port))
        await wait(gate.open)
    results = [await failure(written), await failure(waiting)]
    afterwards = await failure(transport.send(post(port), timeout=30))

    assert results == [(errors.AnswerLost, "closed"), (errors.NotSent, "closed")]
    assert afterwards == (errors.NotSent, "closed")
    await wait(server.talks[0].ended)


async def test_those_who_wait_in_line_are_served_in_order_and_leave_without_a_trace(
    serve: Serve, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    gate = Gate(1)
    order: list[bytes] = []

    async def react(talk: Talk, stream: int) -> None:
        gate(talk, stream)
        order.append(talk.bodies[stream])
        if stream > 1:
            talk.answer(stream)

    server = Server(react, settings={STREAMS: 1})
    port = await serve(server, tls)

    async with Http2Transport(base.HttpOptions(tls=trusting, limit_per_host=1)) as transport:
        first = sending(transport, post(port, b"first"))
        await wait(gate.open)
        line = [sending(transport, post(port, b"%d" % number)) for number in range(6)]
        await asyncio.sleep(0)
        for leaver in line[::2]:
            leaver.cancel()
        await asyncio.sleep(0)
        server.talks[0].answer(1)
        await first
        await asyncio.gather(*line, return_exceptions=True)

    assert order == [b"first", b"1", b"3", b"5"]


async def test_wait_for_a_free_place_is_bounded(
    serve: Serve, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    gate = Gate(1)
    server = Server(gate, settings={STREAMS: 1})
    port = await serve(server, tls)
    options = base.HttpOptions(tls=trusting, limit_per_host=1, connect_timeout=0.5)

    async with Http2Transport(options) as transport:
        first = sending(transport, post(port))
        await wait(gate.open)
        result = await failure(transport.send(post(port), timeout=30))
        server.talks[0].answer(1)
        response = await first

    assert result == (errors.NotSent, "no free connection")
    assert response.status == 200


@pytest.mark.parametrize("size", [1, 2, 7, 9, 64, 10_000])
def test_goaways_are_found_however_the_bytes_are_cut(size: int) -> None:
    others = frame(0x4, b"") + frame(0x0, b"GOAWAY" * 50, stream=1) + frame(0x6, bytes(8))
    stream = others + goaway(7, 2) + others + goaway(2**31 - 1)
    sieve = http2_frames.Sieve()

    fed = [sieve.feed(stream[at : at + size]) for at in range(0, len(stream), size)]

    assert b"".join(passed for passed, _ in fed) == others * 2
    assert [one for _, found in fed for one in found] == [(7, 2), (2**31 - 1, 0)]
