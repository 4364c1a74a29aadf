"""How many mails a mail server takes: `… smtp_raw HOST:PORT MESSAGES`.

Prepared bytes over as many connections as the gateway has; the content and the next envelope go in
one write (RFC 2920 §3.1). Prints mails a second and µs of CPU a mail as JSON; the server may take
more.
"""

import asyncio
import sys
import time
from collections.abc import Iterator

import orjson
import uvloop

from benchmarks.load import SMTP_CONNECTIONS, email
from benchmarks.yardsticks.smtp_client import mail


async def main(address: str, count: int) -> None:
    loop, (host, port) = asyncio.get_running_loop(), address.split(":")
    content = mail(0).as_bytes().replace(b"\n", b"\r\n") + b".\r\n"
    envelopes = iter([_envelope(number) for number in range(count)])
    started, cpu = time.perf_counter(), time.process_time()
    opened = [
        await loop.create_connection(lambda: _Connection(envelopes, content), host, int(port))
        for _ in range(SMTP_CONNECTIONS)
    ]
    await asyncio.gather(*(protocol.done for _, protocol in opened))
    took, cpu = time.perf_counter() - started, time.process_time() - cpu
    for transport, _ in opened:
        transport.close()
    print(orjson.dumps({"rate": count / took, "cpu_us": cpu / count * 1e6}).decode(), flush=True)


def _envelope(number: int) -> bytes:
    recipient = email(number).encode()
    return b"MAIL FROM:<bench@example.com>\r\nRCPT TO:<%b>\r\nDATA\r\n" % recipient


class _Connection(asyncio.Protocol):
    """One mail after another, until there is none."""

    def __init__(self, envelopes: Iterator[bytes], content: bytes) -> None:
        self._envelopes = envelopes
        self._content = content
        self._replies = b""
        #: the code that is waited for; those before it are not looked at
        self._awaited = b"220"
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._replies += data
        if b"\n" + self._awaited not in b"\n" + self._replies or data[-1:] != b"\n":
            return
        self._replies = b""
        if self._awaited == b"220":
            self._write(b"HELO bench.example.com\r\n", b"250")
        elif self._awaited == b"221":
            self.done.set_result(None)
        else:
            content = self._content if self._awaited == b"354" else b""
            envelope = next(self._envelopes, None)
            self._write(content + (envelope or b"QUIT\r\n"), b"354" if envelope else b"221")

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            words = f"the mail server has gone; its last words: {self._replies!r}"
            self.done.set_exception(RuntimeError(words))

    def _write(self, data: bytes, awaited: bytes) -> None:
        self._awaited = awaited
        self._transport.write(data)  # type: ignore[attr-defined]  # uvloop's is no subclass


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
