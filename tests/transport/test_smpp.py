"""Binds, windows and lost connections, against message centres that follow a script."""

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import pytest

from gateway.clock import SystemClock
from gateway.model import errors, smpp
from gateway.transport.smpp import PooledSmppTransport
from gateway.transport.smpp_options import SmppOptions, WindowFull
from gateway.transport.smpp_pdu import Bind

Serve = Callable[..., Awaitable[int]]
Take = Callable[[Sequence[smpp.Delivery]], Awaitable[Sequence[int]]]

BIND, SUBMIT, DELIVER, UNBIND, ENQUIRE = 0x09, 0x04, 0x05, 0x06, 0x15
ANSWER = 0x80000000
SUBMITTED = smpp.Submit(source="Acme", destination="447700900000", short_message=b"Hello")
RECEIPT = (
    b"\0\x01\x01447700900000\0\x05\0Acme\0\x04\0\0\0\0\0\0\0\0" + bytes((12,)) + b"id:1 stat:OK"
)


class Pdu(NamedTuple):
    command: int
    status: int
    sequence: int
    body: bytes = b""


class Peer:
    """A message centre's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def read(self) -> Pdu:
        head = struct.unpack(">IIII", await self.reader.readexactly(16))
        return Pdu(head[1], head[2], head[3], await self.reader.readexactly(head[0] - 16))

    async def expect(self, command: int) -> Pdu:
        pdu = await self.read()
        assert pdu.command == command, hex(pdu.command)
        return pdu

    def write(self, command: int, status: int, sequence: int, body: bytes = b"") -> None:
        header = struct.pack(">IIII", 16 + len(body), command, status, sequence)
        self.writer.write(header + body)

    def answer(self, pdu: Pdu, body: bytes = b"", status: int = 0) -> None:
        self.write(pdu.command | ANSWER, status, pdu.sequence, body)

    async def bind(self, command: int = BIND) -> Pdu:
        pdu = await self.expect(command)
        self.answer(pdu, b"smsc1\0\x02\x10\x00\x01\x34")
        return pdu

    async def serve(self) -> None:
        """Answer whatever comes, until the client leaves."""
        while True:
            pdu = await self.read()
            self.answer(pdu, b"id\0" if pdu.command == SUBMIT else b"")

    async def ended(self) -> None:
        """Whatever comes, until the end."""
        while await self.reader.read(65536):
            pass


async def until(look: Callable[[], object]) -> None:
    while True:
        if look():
            return
        await asyncio.sleep(0)


Script = Callable[[Peer], Awaitable[None]]


class Pool(NamedTuple):
    transport: PooledSmppTransport
    #: what was delivered
    taken: list[smpp.Delivery]

    async def send(self, timeout: float = 5.0, **named: Any) -> smpp.Answer:
        return await self.transport.send(SUBMITTED, timeout=timeout, **named)


@pytest.fixture
def pool(serve: Serve) -> Callable[..., contextlib.AbstractAsyncContextManager[Pool]]:
    """A transport that has begun, in front of a centre that plays a script for each connection."""

    @contextlib.asynccontextmanager
    async def open_(
        *scripts: Script,
        take: Take | None = None,
        tls: tuple[Any, Any] = (None, None),
        **options: Any,
    ) -> AsyncIterator[Pool]:
        plays = iter(scripts)

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            script = next(plays, None)
            if script is not None:
                await script(Peer(reader, writer))

        server_tls, client_tls = tls
        fields = {
            "host": "127.0.0.1",
            "port": await serve(handle, server_tls),
            "bind": Bind(system_id="esme1", password="secret"),
            "enquire_link": 0.0,
            "reconnect": 0.01,
            "tls": client_tls is not None,
            **options,
        }
        taken: list[smpp.Delivery] = []

        async def keep(deliveries: Sequence[smpp.Delivery]) -> Sequence[int]:
            taken.extend(deliveries)
            return [0] * len(deliveries)

        transport = PooledSmppTransport(
            SmppOptions(**fields), clock=SystemClock(), random=lambda: 0.0, tls=client_tls
        )
        async with asyncio.timeout(20), transport:
            transport.begin(take or keep)
            yield Pool(transport, taken)

    return open_


async def test_binds_then_submits_then_unbinds(pool: Any) -> None:
    seen: list[Pdu] = []
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        seen.append(await peer.bind())
        submit = await peer.expect(SUBMIT)
        peer.answer(submit, b"0123456789\0")
        unbind = await peer.expect(UNBIND)
        peer.answer(unbind)
        assert await peer.reader.read() == b""
        gone.set()

    async with pool(script) as one:
        answer = await one.send()

    assert answer == smpp.Answer(status=0, message_id="0123456789")
    assert seen[0].body == b"esme1\0secret\0\0\x34\0\0\0"
    await gone.wait()


async def test_binding_over_tls(pool: Any, server_tls: Any, client_tls: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.bind()
        await peer.serve()

    async with pool(script, tls=(server_tls, client_tls)) as one:
        answer = await one.send()

    assert answer.message_id == "id"


async def test_stranger_with_a_certificate_gets_no_password(pool: Any, server_tls: Any) -> None:
    got: list[bytes] = []

    async def script(peer: Peer) -> None:
        with contextlib.suppress(ssl.SSLError):
            got.append(await peer.reader.read())

    context = ssl.create_default_context()
    async with pool(script, tls=(server_tls, context)) as one:
        with pytest.raises(errors.NotSent, match="tls certificate"):
            await one.send()

    assert not any(got)


async def test_pair_submits_on_one_bind_and_receives_on_the_other(pool: Any) -> None:
    bound: list[int] = []

    async def script(peer: Peer) -> None:
        bind = await peer.read()
        bound.append(bind.command)
        peer.answer(bind, b"smsc1\0")
        if bind.command == 0x01:
            peer.write(DELIVER, 0, 1, RECEIPT)
        await peer.serve()

    async with pool(script, script, mode="pair") as one:
        answers = [await one.send() for _ in range(3)]
        await until(lambda: one.taken)

    assert sorted(bound) == [0x01, 0x02]
    assert {answer.message_id for answer in answers} == {"id"}


async def test_window_bounds_what_is_unanswered_and_answers_come_in_any_order(pool: Any) -> None:
    seen: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.bind()
        submits = [await peer.expect(SUBMIT) for _ in range(3)]
        seen.append(len(submits))
        peer.write(ENQUIRE, 0, 77)
        # the answer to it comes next, not a fourth submit
        assert (await peer.read()) == Pdu(ENQUIRE | ANSWER, 0, 77)
        for submit in reversed(submits):
            peer.answer(submit, str(submit.sequence).encode() + b"\0")
        await peer.serve()

    async with pool(script, window=3) as one:
        answers = await asyncio.gather(*(one.send() for _ in range(5)))

    assert seen == [3]
    # number 1 is the bind's
    assert [answer.message_id for answer in answers] == ["2", "3", "4", "id", "id"]


async def test_window_that_stays_full_sends_nothing_more(pool: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.bind()
        await peer.expect(SUBMIT)
        unbind = await peer.expect(UNBIND)
        peer.answer(unbind)

    async with pool(script, window=1) as one:
        held = asyncio.create_task(one.send())
        await until(lambda: (session := one.transport._lines[0].session) and session.used)

        with pytest.raises(WindowFull, match="window full"):
            await one.send(timeout=0.01)

    with pytest.raises(errors.AnswerLost, match="closed"):
        await held


async def test_admission_is_asked_for_when_there_is_a_place(pool: Any) -> None:
    order: list[str] = []

    async def script(peer: Peer) -> None:
        await peer.bind()
        order.append("bound")
        submit = await peer.expect(SUBMIT)
        order.append("submit")
        peer.answer(submit, b"id\0")
        await peer.serve()

    async def admit() -> None:
        order.append("admitted")

    async with pool(script) as one:
        await one.send(admit=admit)

    assert order == ["bound", "admitted", "submit"]


async def test_refused_admission_frees_the_place(pool: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.bind()
        await peer.serve()

    async def refuse() -> None:
        raise LookupError

    async with pool(script, window=1) as one:
        with pytest.raises(LookupError):
            await one.send(admit=refuse)

        assert (await one.send()).message_id == "id"


async def test_connection_lost_before_the_answer_leaves_the_outcome_unknown(pool: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.bind()
        await peer.expect(SUBMIT)

    async with pool(script) as one:
        with pytest.raises(errors.AnswerLost, match="disconnected"):
            await one.send()


async def test_lost_while_waiting_for_admission_it_is_admitted_again_for_the_next_connection(
    pool: Any,
) -> None:
    may_end = asyncio.Event()
    admitted = 0

    async def first(peer: Peer) -> None:
        await peer.bind()
        await may_end.wait()

    async def second(peer: Peer) -> None:
        await peer.bind()
        await peer.serve()

    async with pool(first, second) as one:

        async def admit() -> None:
            nonlocal admitted
            admitted += 1
            if admitted == 2:
                return
            session = one.transport._lines[0].session
            may_end.set()
            await session.closed
            await until(lambda: one.transport._lines[0].session not in (session, None))

        answer = await one.send(admit=admit)

    assert (answer.message_id, admitted) == ("id", 2)


async def test_answer_that_does_not_come_is_given_up_and_its_place_is_free(pool: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.bind()
        late = await peer.expect(SUBMIT)
        submit = await peer.expect(SUBMIT)
        peer.answer(late, b"late\0")
        peer.answer(submit, b"right\0")
        await peer.serve()

    async with pool(script, window=1, response_timeout=0.05) as one:
        with pytest.raises(errors.AnswerLost, match="timeout"):
            await one.send()

        assert (await one.send()).message_id == "right"


async def test_cancelled_send_frees_its_place_and_leaves_the_connection(pool: Any) -> None:
    sent = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.bind()
        abandoned = await peer.expect(SUBMIT)
        sent.set()
        submit = await peer.expect(SUBMIT)
        peer.answer(abandoned, b"other\0")
        peer.answer(submit, b"right\0")
        await peer.serve()

    async with pool(script, window=1) as one:
        task = asyncio.create_task(one.send())
        await sent.wait()
        task.cancel()

        assert (await one.send()).message_id == "right"


async def test_place_given_to_whoever_is_cancelled_in_that_instant_goes_on(pool: Any) -> None:
    may_answer = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.bind()
        submit = await peer.expect(SUBMIT)
        await may_answer.wait()
        peer.answer(submit, b"first\0")
        await peer.serve()

    async with pool(script, window=1) as one:
        first, second, third = (asyncio.create_task(one.send()) for _ in range(3))
        first.add_done_callback(lambda _: second.cancel())
        await until(lambda: len(one.transport._queue) == 2)
        may_answer.set()

        assert (await third).message_id == "id"
        assert (await one.send()).message_id == "id"
        assert second.cancelled()
        assert (await first).message_id == "first"


@pytest.mark.parametrize("status", [0x58, 0x14, 0x0B])
async def test_refusal_needs_no_body(pool: Any, status: int) -> None:
    async def script(peer: Peer) -> None:
        await peer.bind()
        peer.answer(await peer.expect(SUBMIT), status=status)
        await peer.serve()

    async with pool(script) as one:
        assert await one.send() == smpp.Answer(status=status)


async def test_generic_nack_is_an_answer(pool: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.bind()
        submit = await peer.expect(SUBMIT)
        peer.write(ANSWER, 0x03, submit.sequence)
        await peer.serve()

    async with pool(script) as one:
        assert await one.send() == smpp.Answer(status=0x03)


@pytest.mark.parametrize(("command", "status"), [(ENQUIRE | ANSWER, 0), (ANSWER, 0)])
async def test_answer_of_another_kind_is_none(pool: Any, command: int, status: int) -> None:
    async def script(peer: Peer) -> None:
        await peer.bind()
        submit = await peer.expect(SUBMIT)
        peer.write(command, status, submit.sequence)
        await peer.serve()

    async with pool(script) as one:
        with pytest.raises(errors.AnswerLost, match="malformed answer"):
            await one.send()


async def test_centre_that_has_forgotten_the_bind_is_bound_again(pool: Any) -> None:
    async def first(peer: Peer) -> None:
        await peer.bind()
        peer.answer(await peer.expect(SUBMIT), status=0x04)
        await peer.ended()

    async def second(peer: Peer) -> None:
        await peer.bind()
        await peer.serve()

    async with pool(first, second) as one:
        assert (await one.send()).status == 0x04

        async def again() -> smpp.Answer:
            while True:
                with contextlib.suppress(errors.NotSent):
                    answer: smpp.Answer = await one.send()
                    return answer
                await asyncio.sleep(0)

        assert (await again()).message_id == "id"


@pytest.mark.parametrize("status", [0x0E, 0x0F, 0x05, 0x0D])
async def test_refusal_of_the_bind_is_the_answer(pool: Any, status: int) -> None:
    async def script(peer: Peer) -> None:
        peer.answer(await peer.expect(BIND), status=status)
        await peer.ended()

    async with pool(script, reconnect=60.0) as one:
        assert await one.send() == smpp.Answer(status=status, at_bind=True)
        # and at once, without asking again
        assert await one.send() == smpp.Answer(status=status, at_bind=True)


async def test_nothing_is_sent_where_nobody_listens(pool: Any) -> None:
    async with pool(port=1) as one:
        with pytest.raises(errors.NotSent, match="connect refused"):
            await one.send()


async def test_name_that_is_none_is_tried_again_and_again(pool: Any) -> None:
    async with pool(host="a..b") as one:
        for _ in range(3):
            with pytest.raises(errors.NotSent, match="dns"):
                await one.send()


async def test_bind_without_an_answer_is_given_up(pool: Any) -> None:
    async with pool(Peer.ended, bind_timeout=0.05, reconnect=60.0) as one:
        with pytest.raises(errors.NotSent, match="timeout"):
            await one.send()


async def test_nothing_is_sent_before_it_has_begun_or_after_the_end() -> None:
    options = SmppOptions(host="127.0.0.1", port=1, bind=Bind(system_id="a", password="b"))
    transport = PooledSmppTransport(options, clock=SystemClock())

    async with transport:
        with pytest.raises(errors.NotSent, match="closed"):
            await transport.send(SUBMITTED, timeout=1.0)
    async with transport:
        pass
    with pytest.raises(errors.NotSent, match="closed"):
        await transport.send(SUBMITTED, timeout=1.0)


@pytest.mark.parametrize("length", [0, 15, 65537, 0xFFFFFFFF])
async def test_pdu_of_an_impossible_length_ends_the_connection(pool: Any, length: int) -> None:
    answered: asyncio.Future[Pdu] = asyncio.get_running_loop().create_future()

    async def script(peer: Peer) -> None:
        await peer.bind()
        peer.writer.write(struct.pack(">I", length))
        answered.set_result(await peer.read())
        assert await peer.reader.read() == b""

    async with pool(script):
        assert await answered == Pdu(ANSWER, 0x02, 0)


async def test_pdu_may_come_octet_by_octet_or_with_others(pool: Any) -> None:
    async def script(peer: Peer) -> None:
        bind = await peer.expect(BIND)
        answer = struct.pack(">IIII", 22, BIND | ANSWER, 0, bind.sequence) + b"smsc1\0"
        enquiries = b"".join(struct.pack(">IIII", 16, ENQUIRE, 0, number) for number in (7, 8))
        for octet in answer:
            peer.writer.write(bytes((octet,)))
            await peer.writer.drain()
            await asyncio.sleep(0)
        peer.writer.write(enquiries)
        assert {(await peer.read()).sequence for _ in range(2)} == {7, 8}
        await peer.serve()

    async with pool(script) as one:
        assert (await one.send()).message_id == "id"


@pytest.mark.parametrize(
    ("command", "status"), [(0x03, 0x03), (0x04, 0x03), (0x0BAD, 0x03), (0x21, 0x03)]
)
async def test_request_that_is_not_for_clients_is_refused(
    pool: Any, command: int, status: int
) -> None:
    answered: asyncio.Future[Pdu] = asyncio.get_running_loop().create_future()

    async def script(peer: Peer) -> None:
        await peer.bind()
        peer.write(command, 0, 9)
        answered.set_result(await peer.read())
        await peer.serve()

    async with pool(script):
        assert await answered == Pdu(ANSWER, status, 9)


async def test_notices_that_want_no_answer_get_none(pool: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.bind()
        peer.write(0x102, 0, 5, b"\0\0a\0\0\0b\0")
        peer.write(0x0B, 0, 6, b"a\0b\0")
        peer.write(ENQUIRE, 0, 7)
        assert (await peer.read()).sequence == 7
        await peer.serve()

    async with pool(script) as one:
        assert (await one.send()).message_id == "id"


async def test_unbind_of_the_centre_is_answered_and_followed_by_a_new_bind(pool: Any) -> None:
    async def first(peer: Peer) -> None:
        await peer.bind()
        peer.write(UNBIND, 0, 3)
        assert await peer.read() == Pdu(UNBIND | ANSWER, 0, 3)
        assert await peer.reader.read() == b""

    bound = asyncio.Event()

    async def second(peer: Peer) -> None:
        await peer.bind()
        bound.set()
        await peer.serve()

    async with pool(first, second) as one:
        await bound.wait()
        assert (await one.send()).message_id == "id"


async def test_silent_link_is_enquired_though_the_window_is_full(pool: Any) -> None:
    enquired = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.bind()
        submit = await peer.expect(SUBMIT)
        peer.answer(await peer.expect(ENQUIRE))
        enquired.set()
        peer.answer(submit, b"id\0")
        await peer.serve()

    async with pool(script, window=1, enquire_link=0.05) as one:
        answer = await one.send()

    assert enquired.is_set()
    assert answer.message_id == "id"


async def test_link_that_does_not_answer_is_given_up(pool: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.bind()
        await peer.expect(SUBMIT)
        await peer.ended()

    async with pool(script, enquire_link=0.02, response_timeout=0.1) as one:
        with pytest.raises(errors.AnswerLost, match=r"enquire_link timeout|timeout"):
            await one.send()
        session = one.transport._lines[0].session
        if session is not None:
            await session.closed
            assert session.broken == "enquire_link timeout"


async def test_connection_without_a_sound_is_given_up(pool: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.bind()
        await peer.ended()

    async with pool(script, inactivity_timeout=0.05) as one:
        with pytest.raises(errors.AnswerLost, match="inactive"):
            await one.send()


async def test_delivery_is_answered_after_it_was_stored(pool: Any) -> None:
    order: list[str] = []
    stored = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.bind()
        peer.write(DELIVER, 0, 41, RECEIPT)
        peer.write(ENQUIRE, 0, 42)
        assert (await peer.read()).sequence == 42  # the link goes on meanwhile
        order.append("not answered yet")
        stored.set()
        assert await peer.read() == Pdu(DELIVER | ANSWER, 0, 41, b"\0")
        order.append("answered")
        await peer.serve()

    async def take(deliveries: Sequence[smpp.Delivery]) -> Sequence[int]:
        await stored.wait()
        order.append(deliveries[0].message.decode())
        return [0]

    async with pool(script, take=take):
        await until(lambda: len(order) == 3)

    assert order == ["not answered yet", "id:1 stat:OK", "answered"]


async def test_delivery_in_the_packet_of_the_bind_is_taken(pool: Any) -> None:
    answered = asyncio.Event()

    async def script(peer: Peer) -> None:
        bind = await peer.expect(BIND)
        peer.writer.write(
            struct.pack(">IIII", 22, BIND | ANSWER, 0, bind.sequence)
            + b"smsc1\0"
            + struct.pack(">IIII", 16 + len(RECEIPT), DELIVER, 0, 1)
            + RECEIPT
        )
        assert (await peer.read()).command == DELIVER | ANSWER
        answered.set()
        await peer.serve()

    async with pool(script) as one:
        await answered.wait()

    assert len(one.taken) == 1


async def test_what_cannot_be_stored_now_is_to_come_again(pool: Any) -> None:
    answered: asyncio.Future[Pdu] = asyncio.get_running_loop().create_future()

    async def script(peer: Peer) -> None:
        await peer.bind()
        peer.write(DELIVER, 0, 41, RECEIPT)
        answered.set_result(await peer.read())
        await peer.serve()

    async def take(deliveries: Sequence[smpp.Delivery]) -> Sequence[int]:
        return [0x64] * len(deliveries)

    async with pool(script, take=take):
        assert await answered == Pdu(DELIVER | ANSWER, 0x64, 41, b"\0")


async def test_too_many_deliveries_at_once_are_pushed_back(pool: Any) -> None:
    may_store = asyncio.Event()
    statuses: list[int] = []
    most = 512 + 128

    async def script(peer: Peer) -> None:
        await peer.bind()
        for number in range(1, most + 10):
            peer.write(DELIVER, 0, number, RECEIPT)
        statuses.append((await peer.read()).status)
        may_store.set()
        statuses.extend([(await peer.read()).status for _ in range(most + 8)])
        await peer.serve()

    async def take(deliveries: Sequence[smpp.Delivery]) -> Sequence[int]:
        await may_store.wait()
        return [0] * len(deliveries)

    async with pool(script, take=take):
        await until(lambda: len(statuses) == most + 9)

    assert statuses[0] == 0x14
    assert set(statuses) == {0, 0x14}
    assert statuses.count(0) >= 512


async def test_unreadable_delivery_is_refused(pool: Any) -> None:
    answered: asyncio.Future[Pdu] = asyncio.get_running_loop().create_future()

    async def script(peer: Peer) -> None:
        await peer.bind()
        peer.write(DELIVER, 0, 41, b"\0\x01")
        answered.set_result(await peer.read())
        await peer.serve()

    async with pool(script) as one:
        assert await answered == Pdu(ANSWER, 0x02, 41)
        assert not one.taken


async def test_several_binds_share_the_work(pool: Any) -> None:
    carried: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.bind()
        mine = len(carried)
        carried.append(0)
        submits = [await peer.expect(SUBMIT) for _ in range(2)]
        carried[mine] += 2
        for submit in submits:
            peer.answer(submit, b"id\0")
        await peer.serve()

    async with pool(script, script, binds=2, window=2) as one:
        await until(lambda: all(line.session for line in one.transport._lines))
        await asyncio.gather(*(one.send() for _ in range(4)))

    assert carried == [2, 2]


async def test_centre_that_does_not_read_is_not_read_either(pool: Any) -> None:
    async def script(peer: Peer) -> None:
        await peer.bind()
        await peer.serve()

    async with pool(script) as one:
        await one.send()
        session = one.transport._lines[0].session

        session.pause_writing()
        paused = not session._transport.is_reading()
        session.resume_writing()

        assert paused
        assert (await one.send()).message_id == "id"


async def test_centre_that_does_not_let_go_is_left(
    pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.transport.smpp._UNBIND_TIMEOUT", 0.05)
    left = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.bind()
        await peer.expect(UNBIND)
        await peer.ended()
        left.set()

    async with pool(script) as one:
        await until(lambda: one.transport._lines[0].session)

    await left.wait()


async def test_numbers_begin_again_after_the_last(pool: Any) -> None:
    numbers: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.bind()
        for _ in range(2):
            submit = await peer.expect(SUBMIT)
            numbers.append(submit.sequence)
            peer.answer(submit, b"id\0")
        await peer.serve()

    async with pool(script) as one:
        await until(lambda: one.transport._lines[0].session)
        one.transport._lines[0].session._sequence = 0x7FFFFFFE
        await one.send()
        await one.send()

    assert numbers == [0x7FFFFFFF, 1]
