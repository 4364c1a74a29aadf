"""Kannel, an SMS gateway in C, with a spool on disk: `… kannel URL MESSAGES`.

smsbox takes one HTTP request for each message, and answers when bearerbox has it in a file of its
own (which is not synced). bearerbox makes an HTTP request of it with the gateway's recipient, text
and reference, in the query, as Kannel can do no other.
"""

import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlencode

from benchmarks import raw
from benchmarks.load import CONNECTIONS, TEXT, phone
from benchmarks.processes import find, free_port, program, until_listening
from benchmarks.yardsticks import rival

PROGRAMS = ("bearerbox", "smsbox")

_ACCOUNT = {"username": "bench", "password": "bench"}

#: Errors and panics only; at Kannel's own level it writes several lines a message.
_LOG_LEVEL = 2


async def main(url: str, count: int) -> Mapping[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        async with _boxes(Path(folder), url) as (bearerbox, smsbox, port):
            address = f"http://127.0.0.1:{port}/cgi-bin/sendsms"
            # Kept, as smsbox leaves new ones waiting: some would lose seconds.
            async with raw.connected(address, CONNECTIONS) as over:

                async def send(first: int, count: int) -> None:
                    numbers = range(first, first + count)
                    await over(_request(address, number) for number in numbers)

                return await rival.measure(send, url, count, bearerbox, smsbox)


def _request(address: str, number: int) -> bytes:
    query = urlencode({**_ACCOUNT, "to": phone(number), "text": TEXT})
    return raw.request("GET", f"{address}?{query}", {})


@asynccontextmanager
async def _boxes(folder: Path, url: str) -> AsyncIterator[tuple[int, int, int]]:
    """bearerbox and smsbox: their process ids, and the port that takes messages."""
    boxes, messages = free_port(), free_port()
    file = folder / "kannel.conf"
    (folder / "spool").mkdir()
    file.write_text(config(folder, url, boxes=boxes, messages=messages))
    first, second = ([find(name) or name, "-v", "4", str(file)] for name in PROGRAMS)
    async with program(*first, grace=rival.GRACE) as bearerbox:
        await until_listening(boxes)
        async with program(*second, grace=rival.GRACE) as smsbox:
            await until_listening(messages)
            yield bearerbox.pid, smsbox.pid, messages


def config(folder: Path, url: str, *, boxes: int, messages: int) -> str:
    """Both programs'. boxes, messages: ports where they meet and where messages are taken."""
    groups: list[dict[str, str | int]] = [
        {
            "group": "core",
            "admin-port": free_port(),
            "admin-interface": "127.0.0.1",
            "admin-password": "bench",
            "smsbox-port": boxes,
            "smsbox-interface": "127.0.0.1",
            "store-type": "spool",
            "store-location": str(folder / "spool"),
            "log-file": str(folder / "bearerbox.log"),
            "log-level": _LOG_LEVEL,
        },
        {
            "group": "smsc",
            "smsc": "http",
            "smsc-id": "acme",
            "system-type": "generic",
            # Where it would take incoming messages.
            "port": free_port(),
            # %p is the recipient here, %I an id of 36 characters.
            "send-url": f"{url}/v1/send?to=%p&text=%b&ref=%I",
            "status-success-regex": "id",
            "max-pending-submits": CONNECTIONS,
        },
        {
            "group": "smsbox",
            "bearerbox-host": "127.0.0.1",
            "sendsms-port": messages,
            "sendsms-interface": "127.0.0.1",
            "log-file": str(folder / "smsbox.log"),
            "log-level": _LOG_LEVEL,
        },
        {"group": "sendsms-user", **_ACCOUNT, "default-sender": "bench", "max-messages": 1},
    ]
    return "\n".join(_lines(group) for group in groups)


def _lines(group: dict[str, str | int]) -> str:
    return "".join(
        f'{name} = "{value}"\n' if isinstance(value, str) else f"{name} = {value}\n"
        for name, value in group.items()
    )


if __name__ == "__main__":
    rival.run(main(sys.argv[1], int(sys.argv[2])))
