"""How many mails a mail server takes: `… smtp_raw HOST:PORT MESSAGES`.

Prepared bytes over as many connections as the gateway has, MAIL, RCPT and DATA in one write (RFC
2920). Prints mails a second and µs of CPU a mail as JSON; the server may take more.
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
    numbers, content = iter(range(count)), mail(0).as_bytes().replace(b"\n", b"\r\n") + b".\r\n"
    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(_send(address, numbers, content) for _ in range(SMTP_CONNECTIONS)))
    took, cpu = time.perf_counter() - started, time.process_time() - cpu
    print(orjson.dumps({"rate": count / took, "cpu_us": cpu / count * 1e6}).decode(), flush=True)


async def _send(address: str, numbers: Iterator[int], content: bytes) -> None:
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    await reader.readuntil(b"220 ")
    await reader.readline()
    writer.write(b"HELO bench.example.com\r\n")
    await reader.readline()
    for number in numbers:
        recipient = email(number).encode()
        writer.write(b"MAIL FROM:<bench@example.com>\r\nRCPT TO:<%b>\r\nDATA\r\n" % recipient)
        await reader.readuntil(b"\n354")
        await reader.readline()
        writer.write(content)
        answer = await reader.readline()
        if not answer.startswith(b"250"):
            raise RuntimeError(f"the mail server answered {answer!r}")
    writer.close()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
