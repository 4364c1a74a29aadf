"""A message centre that takes everything and keeps nothing (SMPP 3.4).

One protocol class on bare octets, so that it takes little of the machine that is being measured: of
a PDU it reads the header. Prints the keys of an `smpp` account that binds to it, as JSON on one
line.
"""

import asyncio
import contextlib
import struct

import orjson
import uvloop

from benchmarks.load import WINDOW

_HOST = "127.0.0.1"
#: command_length, command_id, command_status, sequence_number (§3.2).
_HEAD = struct.Struct(">IIII")
_SUBMIT, _RESPONSE = 0x00000004, 0x80000000
#: Bodies of answers (§4.1.2, §4.4.2); all others have none. Each id is the submit's number.
_BOUND = b"sink\0"
_BINDS = frozenset({0x00000001, 0x00000002, 0x00000009})


class Connection(asyncio.Protocol):
    """PDUs one after another, or many at once."""

    def __init__(self) -> None:
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        at, answers = 0, []
        while len(data) >= at + _HEAD.size:
            length, command, _, sequence = _HEAD.unpack_from(data, at)
            if length < _HEAD.size:  # not this protocol
                self._transport.close()
                return
            if len(data) < at + length:
                break
            answers.append(_answer(command, sequence))
            at += length
        self._rest = data[at:]
        if answers:
            self._transport.write(b"".join(answers))  # type: ignore[attr-defined]  # uvloop's


def _answer(command: int, sequence: int) -> bytes:
    if command & _RESPONSE:
        return b""
    body = b""
    if command == _SUBMIT:
        body = b"%x\0" % sequence
    elif command in _BINDS:
        body = _BOUND
    return _HEAD.pack(_HEAD.size + len(body), command | _RESPONSE, 0, sequence) + body


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Connection, _HOST, 0)
    account = {
        "host": _HOST,
        "port": server.sockets[0].getsockname()[1],
        "system_id": "bench",
        "password": "bench",
        "window": WINDOW,
        "from": "Acme",
    }
    print(orjson.dumps(account).decode(), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(main())
