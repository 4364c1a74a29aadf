"""The simulated message centre, as clients that others wrote see it."""

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import smpp34
import smpplib.client
import smpplib.consts
import smpplib.exceptions

from gateway.sandbox import smpp_wire
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.magic import Fate
from gateway.sandbox.smpp import SmppSimulator

SUBMIT = b"\0\x05\0Acme\0\x01\x01447700900000\0\0\0\0\0\0\x01\0\0\0" + bytes((5,)) + b"Hello"
ANSWER = 0x80000000


def client(simulator: SmppSimulator, **named: Any) -> Any:
    return smpplib.client.Client(
        "127.0.0.1", simulator.port, allow_unknown_opt_params=True, timeout=5, **named
    )


def send_and_hear(simulator: SmppSimulator, *, reports: int, **fields: Any) -> list[Any]:
    """Bind, send one message, and hear so many deliveries; blocks."""
    heard: list[Any] = []
    one = client(simulator)
    one.connect()
    one.bind_transceiver(system_id="sandbox", password="password")
    one.set_message_sent_handler(lambda pdu: heard.append(pdu))
    one.set_message_received_handler(lambda pdu: heard.append(pdu))
    one.send_message(
        source_addr_ton=5,
        source_addr="Acme",
        dest_addr_ton=1,
        dest_addr_npi=1,
        destination_addr="447700900000",
        registered_delivery=True,
        **fields,
    )
    while len(heard) < 1 + reports:
        one.read_once()
    one.unbind()
    one.disconnect()
    return heard


@pytest.mark.parametrize("form", ["both", "text", "parameters"])
async def test_a_library_sends_a_message_and_reads_its_receipt(form: Any) -> None:
    async with SmppSimulator(receipt_form=form) as simulator:
        answer, receipt = await asyncio.to_thread(
            send_and_hear, simulator, reports=1, short_message=b"Hello \x00"
        )
        await simulator.outbox.join()

    [arrival] = simulator.log.arrivals
    assert (arrival.fate, arrival.to, arrival.id) == (
        Fate.TAKEN,
        "+447700900000",
        answer.message_id.decode(),
    )
    assert arrival.content["text"] == "Hello @"
    assert receipt.esm_class == 4
    assert (receipt.source_addr, receipt.destination_addr) == (b"447700900000", b"Acme")
    if form != "parameters":
        assert receipt.short_message.startswith(b"id:" + answer.message_id + b" sub:001 dlvrd:001")
        assert b" stat:DELIVRD err:000 text:Hello @" in receipt.short_message
    if form != "text":
        assert receipt.receipted_message_id.rstrip(b"\0") == answer.message_id
        assert receipt.message_state == 2


async def test_ids_of_receipts_may_be_in_another_base() -> None:
    async with SmppSimulator(message_ids="decimal_receipts") as simulator:
        answer, receipt = await asyncio.to_thread(
            send_and_hear, simulator, reports=1, short_message=b"x"
        )

    assert int(receipt.receipted_message_id.rstrip(b"\0")) == int(answer.message_id, 16)


async def test_another_library_sends_over_its_own_session() -> None:
    async with SmppSimulator() as simulator:
        theirs = smpp34.Client(
            host="127.0.0.1", port=simulator.port, system_id="sandbox", password="password"
        )
        async with asyncio.timeout(20):
            smsc = await theirs.connect()
            answers = await asyncio.gather(
                *(
                    smsc.submit_sm(
                        "447700900000", b"Hello", source_addr="12345", registered_delivery=1
                    )
                    for _ in range(20)
                )
            )
            events: list[Any] = [await smsc.next() for _ in answers]
            await simulator.outbox.join()
            await smsc.unbind()
            await theirs.stop()

    ids = {answer.message_id for answer in answers}
    receipted = {tlv.as_string() for event in events for tlv in event.tlvs if tlv.tag == 0x1E}
    assert ids == receipted == {one.id for one in simulator.log.arrivals}
    assert len(ids) == 20


@pytest.mark.parametrize(
    ("system_id", "password", "status"), [("nobody", "password", 0x0F), ("sandbox", "wrong", 0x0E)]
)
async def test_stranger_is_not_bound(system_id: str, password: str, status: int) -> None:
    async with SmppSimulator() as simulator:
        one = client(simulator)
        await asyncio.to_thread(one.connect)
        with pytest.raises(smpplib.exceptions.PDUError) as caught:
            await asyncio.to_thread(one.bind_transceiver, system_id=system_id, password=password)
        one.disconnect()

    assert caught.value.args[1] == status


class Raw:
    """A client that says anything."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, command: int, body: bytes = b"", sequence: int = 1) -> tuple[int, ...]:
        """(command, status, sequence) of what comes next."""
        self.write(command, body, sequence)
        return (await self.read())[:3]

    def write(self, command: int, body: bytes = b"", sequence: int = 1, status: int = 0) -> None:
        self._writer.write(struct.pack(">IIII", 16 + len(body), command, status, sequence) + body)

    async def read(self) -> tuple[int, int, int, bytes]:
        length, command, status, sequence = struct.unpack(
            ">IIII", await self._reader.readexactly(16)
        )
        return command, status, sequence, await self._reader.readexactly(length - 16)

    async def bind(self, command: int = 0x09) -> None:
        answer = await self.ask(command, b"sandbox\0password\0\0\x34\0\0\0")
        assert answer == (command | ANSWER, 0, 1)

    async def ended(self) -> bool:
        try:
            return await self._reader.read() == b""
        except ConnectionError:
            return True

    async def leave(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await self._writer.wait_closed()


@pytest.fixture(name="connect")
async def fixture_connect() -> AsyncIterator[Callable[..., Any]]:
    opened: list[Raw] = []

    async def connect(simulator: SmppSimulator, **named: Any) -> Raw:
        reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port, **named)
        opened.append(Raw(reader, writer))
        return opened[-1]

    yield connect
    for one in opened:
        await one.leave()


async def test_vectors_of_the_protocol_are_answered_octet_by_octet(connect: Any) -> None:
    async with SmppSimulator() as simulator:
        raw = await connect(simulator)
        await raw.bind()

        assert await raw.ask(0x15, sequence=7) == (0x80000015, 0, 7)
        raw.write(0x04, SUBMIT, 2)
        command, status, sequence, body = await raw.read()
        assert (command, status, sequence) == (0x80000004, 0, 2)
        assert body == simulator.log.arrivals[0].id.encode() + b"\0"
        await raw.read()  # the receipt
        assert await raw.ask(0x06, sequence=8) == (0x80000006, 0, 8)
        assert await raw.ended()


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b"447700900000", b"44 77", "RINVDSTADR"),
        (b"Acme", b"TwelveLetter", "RINVSRCADR"),
        (b"\0\0\0\0\0\x01\0\0\0\x05Hello", b"\0\0\0\0nonsense\0\x01\0\0\0\x05Hello", "RINVEXPIRY"),
        (b"\x01\0\0\0\x05Hello", b"\x01\0\xf5\0\x05Hello", "RINVDCS"),
        (b"\x05Hello", b"\xa1" + b"x" * 161, "RINVMSGLEN"),
        (b"\x05Hello", b"\x09Hello", "RINVCMDLEN"),
        (b"447700900000\0\0", b"447700900000\0\x40", "RINVESMCLASS"),
        (b"\x05Hello", b"\x05Hello\x04\x24\x00\x01x", "RINVOPTPARSTREAM"),
    ],
)
async def test_submit_that_makes_no_sense_is_refused(
    connect: Any, old: bytes, new: bytes, status: str
) -> None:
    assert old in SUBMIT
    async with SmppSimulator() as simulator:
        raw = await connect(simulator)
        await raw.bind()

        answer = await raw.ask(0x04, SUBMIT.replace(old, new), 2)

    assert answer == (0x80000004, smpp_wire.STATUS[status], 2)


@pytest.mark.parametrize("command", [0, 0x01])
async def test_submit_needs_a_bind_that_transmits(connect: Any, command: int) -> None:
    async with SmppSimulator() as simulator:
        raw = await connect(simulator)
        if command:
            await raw.bind(command)

        assert (await raw.ask(0x04, SUBMIT, 2))[1] == smpp_wire.STATUS["RINVBNDSTS"]


async def test_window_and_binds_are_bounded(connect: Any) -> None:
    async with SmppSimulator(window=2, binds=1) as simulator:
        raw, other = await connect(simulator), await connect(simulator)
        await raw.bind()
        assert (await raw.ask(0x09, b"sandbox\0password\0\0\x34\0\0\0"))[1] == 0x05
        bind = await other.ask(0x09, b"sandbox\0password\0\0\x34\0\0\0")
        simulator.knobs.latency = 3600.0
        for sequence in (2, 3, 4):
            raw.write(0x04, SUBMIT, sequence)
        third = await raw.read()

    assert bind[1] == smpp_wire.STATUS["RBINDFAIL"]
    assert third[:3] == (0x80000004, smpp_wire.STATUS["RTHROTTLED"], 4)


@pytest.mark.parametrize(
    ("knobs", "status"),
    [
        (Knobs(error_rate=1.0, error=Fate.TEMPORARY), "RSYSERR"),
        (Knobs(error_rate=1.0, error=Fate.THROTTLED), "RTHROTTLED"),
        (Knobs(error_rate=1.0, error=Fate.PERMANENT), "RX_R_APPN"),
        (Knobs(error_rate=1.0, error=Fate.RECIPIENT), "RINVDSTADR"),
        (Knobs(error_rate=1.0, error=Fate.CREDENTIAL), "RPROHIBITED"),
    ],
)
async def test_knobs_choose_the_error(connect: Any, knobs: Knobs, status: str) -> None:
    async with SmppSimulator(knobs=knobs) as simulator:
        raw = await connect(simulator)
        await raw.bind()
        raw.write(0x04, SUBMIT, 2)

        assert await raw.read() == (0x80000004, smpp_wire.STATUS[status], 2, b"")


async def test_answer_can_be_lost_though_the_message_was_taken(connect: Any) -> None:
    async with SmppSimulator(knobs=Knobs(lost_answer_rate=1.0, receipt=None)) as simulator:
        raw = await connect(simulator)
        await raw.bind()
        raw.write(0x04, SUBMIT, 2)
        ended = await raw.ended()

    assert ended
    assert simulator.log.counts == {Fate.LOST: 1}


async def test_hanging_centre_answers_nothing_and_drops_whoever_waited(connect: Any) -> None:
    async with SmppSimulator() as simulator:
        raw = await connect(simulator)
        await raw.bind()
        simulator.knobs.hang = True
        raw.write(0x15, sequence=5)
        waiting = asyncio.create_task(raw.read())
        done, _ = await asyncio.wait([waiting], timeout=0.05)
        simulator.knobs.hang = False
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await waiting

    assert not done
    assert simulator.log.total == 0


async def test_receipt_comes_again_until_it_is_taken_and_to_whoever_receives(connect: Any) -> None:
    async with SmppSimulator(knobs=Knobs(receipt_retry_delay=0.0)) as simulator:
        raw = await connect(simulator)
        await raw.bind(0x02)
        assert (await raw.ask(0x04, SUBMIT, 2))[1] == 0
        first = await connect(simulator)
        await first.bind(0x01)
        command, _, sequence, body = await first.read()
        first.write(0x80000005, b"\0", sequence, status=0x64)
        again = await first.read()
        await first.leave()
        second = await connect(simulator)
        await second.bind(0x09)
        third = await second.read()
        second.write(0x80000005, b"\0", third[2])
        await simulator.outbox.join()

    assert command == 0x05
    assert body == again[3] == third[3]
    assert simulator.outbox.counts == {"taken": 1, "refused": 1}


async def test_receipt_that_is_never_taken_is_given_up(connect: Any) -> None:
    async with SmppSimulator(knobs=Knobs(receipt_retry_delay=0.0)) as simulator:
        raw = await connect(simulator)
        await raw.bind()
        raw.write(0x04, SUBMIT, 2)
        await raw.read()
        for _ in range(5):
            _, _, sequence, _ = await raw.read()
            raw.write(0x80000005, b"\0", sequence, status=0x64)
        await simulator.outbox.join()

    assert simulator.outbox.counts == {"refused": 5, "dropped": 1}


@pytest.mark.parametrize(
    ("phone", "word"),
    [
        ("15005550010", b"stat:UNDELIV err:001"),
        ("15005550011", b"stat:EXPIRED"),
        ("15005550012", b"stat:REJECTD err:0C1"),
        ("15005550013", b"stat:ACCEPTD"),
    ],
)
async def test_magic_number_decides_the_receipt(connect: Any, phone: str, word: bytes) -> None:
    async with SmppSimulator() as simulator:
        raw = await connect(simulator)
        await raw.bind()
        raw.write(0x04, SUBMIT.replace(b"447700900000", phone.encode()), 2)
        await raw.read()
        receipt = await raw.read()

    assert word in receipt[3]


async def test_no_receipt_is_sent_that_was_not_asked_for(connect: Any) -> None:
    async with SmppSimulator() as simulator:
        raw = await connect(simulator)
        await raw.bind()
        await raw.ask(0x04, SUBMIT.replace(b"\x01\0\0\0\x05Hello", b"\0\0\0\0\x05Hello"), 2)

        assert simulator.outbox.pending == 0


async def test_somebody_may_write(connect: Any) -> None:
    async with SmppSimulator() as simulator:
        raw = await connect(simulator)
        await raw.bind()
        simulator.write("447700900000", "60606", "STOP")
        command, _, _, body = await raw.read()

    assert command == 0x05
    assert b"447700900000\0" in body
    assert body.endswith(b"\x04STOP")


async def test_speaks_tls(connect: Any) -> None:
    async with SmppSimulator(security="tls") as simulator:
        assert simulator.certificate is not None
        trusted = ssl.create_default_context(cadata=simulator.certificate.pem.decode())
        raw = await connect(simulator, ssl=trusted)
        await raw.bind()


@pytest.mark.parametrize(
    ("octets", "status"),
    [(struct.pack(">IIII", 15, 4, 0, 9), 0x02), (struct.pack(">IIII", 1 << 20, 4, 0, 9), 0x02)],
)
async def test_frame_of_an_impossible_length_ends_the_connection(
    octets: bytes, status: int
) -> None:
    async with SmppSimulator() as simulator:
        reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
        writer.write(octets)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()

    assert answer == struct.pack(">IIII", 16, 0x80000000, status, 9)


async def test_unknown_command_is_refused(connect: Any) -> None:
    async with SmppSimulator() as simulator:
        raw = await connect(simulator)

        assert await raw.ask(0x99, sequence=4) == (0x80000000, 0x03, 4)
