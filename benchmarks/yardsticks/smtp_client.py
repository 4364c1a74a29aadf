"""A bare aiosmtplib loop that stores nothing: `… smtp_client HOST:PORT MESSAGES`.

As its documentation shows it, with connections kept: each sends one message after another, which
is made by `email.message` from the same texts as the gateway's. Prints its messages a second and
µs of CPU a message as JSON.
"""

import asyncio
import sys
import time
from collections.abc import Iterator
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

import aiosmtplib
import orjson
import uvloop

from benchmarks.load import SMTP_CONNECTIONS, SUBJECT, TEXT, email


def mail(number: int) -> EmailMessage:
    """One message, as the gateway's `smtp` makes it."""
    message = EmailMessage()
    message["From"] = "Bench <bench@example.com>"
    message["To"] = email(number)
    message["Subject"] = SUBJECT
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain="example.com")
    message.set_content(TEXT)
    return message


async def _send(address: str, numbers: Iterator[int]) -> None:
    host, port = address.split(":")
    async with aiosmtplib.SMTP(hostname=host, port=int(port), start_tls=False) as client:
        for number in numbers:
            await client.send_message(mail(number))


async def main(address: str, count: int) -> None:
    numbers = iter(range(count))
    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(_send(address, numbers) for _ in range(SMTP_CONNECTIONS)))
    took, cpu = time.perf_counter() - started, time.process_time() - cpu
    print(orjson.dumps({"rate": count / took, "cpu_us": cpu / count * 1e6}).decode(), flush=True)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
