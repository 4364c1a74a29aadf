"""The mail server of the benchmarks takes mail from the standard library's client."""

import asyncio
import smtplib
from collections.abc import AsyncIterator

import pytest

from benchmarks import smtp_sink


@pytest.fixture
async def port() -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(smtp_sink.Connection, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_mail_is_taken_one_after_another(port: int) -> None:
    def send() -> list[object]:
        with smtplib.SMTP("127.0.0.1", port) as client:
            client.ehlo()
            assert client.has_extn("pipelining")
            return [
                client.sendmail("a@example.com", ["b@example.org"], body)
                for body in (b"Subject: one\r\n\r\n.dots\r\n", b"", b"x" * 200_000)
            ]

    assert await asyncio.to_thread(send) == [{}, {}, {}]


async def test_commands_behind_each_other_are_answered_in_order(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    text = (
        b"EHLO x\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n"
        b"Subject: x\r\n\r\nHello\r\n.\r\nDATA\r\n.\r\nQUIT\r\n"
    )

    for start in range(0, len(text), 7):
        writer.write(text[start : start + 7])
        await writer.drain()
        await asyncio.sleep(0)
    codes: list[bytes] = []
    while not codes or codes[-1] != b"221":
        line = await reader.readline()
        if line[3:4] == b" ":
            codes.append(line[:3])
    writer.close()

    assert codes == [b"220", b"250", b"250", b"250", b"354", b"250", b"354", b"250", b"221"]
