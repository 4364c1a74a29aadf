"""The message centre of the benchmarks takes what another library's client sends."""

import asyncio
import struct
from collections.abc import AsyncIterator

import pytest
import smpplib.client
import smpplib.command
import smpplib.consts

from benchmarks import smpp_sink


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_closed = False

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        self.written += data

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture(name="port")
async def fixture_port() -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(smpp_sink.Connection, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def submit_some(port: int, count: int) -> list[tuple[int, bytes]]:
    """Status and id of each answer."""
    answers: list[tuple[int, bytes]] = []

    def take(pdu: smpplib.command.Command) -> None:
        answers.append((pdu.status, pdu.message_id))

    client = smpplib.client.Client("127.0.0.1", port, timeout=30, allow_unknown_opt_params=True)
    client.set_message_sent_handler(take)
    client.connect()
    client.bind_transceiver(system_id="bench", password="bench")
    for _ in range(count):
        client.send_message(
            source_addr_ton=smpplib.consts.SMPP_TON_ALNUM,
            source_addr="Acme",
            destination_addr="8613800000000",
            short_message=b"Your parcel is on its way.",
        )
    while len(answers) < count:
        client.read_once()
    client.unbind()
    client.disconnect()
    return answers


async def test_submits_of_one_bind_get_an_id_each(port: int) -> None:
    answers = await asyncio.to_thread(submit_some, port, 50)

    assert {status for status, _ in answers} == {0}
    assert len({id_ for _, id_ in answers}) == 50


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_pdus_are_answered_however_the_octets_are_cut(size: int) -> None:
    transport, sink = Transport(), smpp_sink.Connection()
    sink.connection_made(transport)
    octets = b"".join(
        (
            struct.pack(">IIII", 20, 9, 0, 1) + b"x\0\0\0",
            struct.pack(">IIII", 40, 4, 0, 2) + bytes(24),
            struct.pack(">IIII", 16, 0x15, 0, 3),
            struct.pack(">IIII", 17, 0x80000005, 0, 4) + b"\0",
            struct.pack(">IIII", 40, 4, 0, 0x1F) + bytes(24),
        )
    )

    for start in range(0, len(octets), size):
        sink.data_received(octets[start : start + size])

    assert transport.written == b"".join(
        (
            struct.pack(">IIII", 21, 0x80000009, 0, 1) + b"sink\0",
            struct.pack(">IIII", 18, 0x80000004, 0, 2) + b"2\0",
            struct.pack(">IIII", 16, 0x80000015, 0, 3),
            struct.pack(">IIII", 19, 0x80000004, 0, 0x1F) + b"1f\0",
        )
    )


def test_what_is_no_pdu_ends_the_connection() -> None:
    transport, sink = Transport(), smpp_sink.Connection()
    sink.connection_made(transport)

    sink.data_received(bytes(16))

    assert transport.is_closed
