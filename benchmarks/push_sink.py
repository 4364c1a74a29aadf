"""A push service that takes everything and keeps nothing, over HTTP/2 with TLS (RFC 9113).

One protocol class on bare frames, so that it takes little of the machine that is being measured: it
reads no header, and answers a request when it is at its end. Prints the keys of an `apns` account
that sends to it, as JSON on one line.
"""

import asyncio
import contextlib

import orjson
import uvloop
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.sandbox import certificates, tls_context

_HOST = "127.0.0.1"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _PING, _WINDOW_UPDATE = 0, 1, 4, 6, 8
_ACK = _END_STREAM = 1
_END_HEADERS = 4
#: MAX_CONCURRENT_STREAMS (3) as Apple has it.
_LIMITS = b"\0\3" + (1000).to_bytes(4, "big")
#: The widest window of a connection, less what it begins with: 2 GB of pushes are enough.
_WIDE = (2**31 - 1 - 65_535).to_bytes(4, "big")
#: RFC 7541: `:status: 200` is number 8 of the table, the other a literal that is not kept.
_TAKEN = b"\x88\0\x07apns-id\x24"


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes((kind, flags))
    return head + stream.to_bytes(4, "big") + payload


class Connection(asyncio.Protocol):
    """Requests one after another, or many at once."""

    def __init__(self) -> None:
        self._rest = b""
        self._is_greeted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._write(frame(_SETTINGS, 0, 0, _LIMITS) + frame(_WINDOW_UPDATE, 0, 0, _WIDE))

    def data_received(self, data: bytes) -> None:
        self._rest += data
        if not self._is_greeted:
            if len(self._rest) < len(_PREFACE):
                return
            self._rest, self._is_greeted = self._rest.removeprefix(_PREFACE), True
        at, answers = 0, []
        while len(self._rest) >= at + 9:
            end = at + 9 + int.from_bytes(self._rest[at : at + 3], "big")
            if end > len(self._rest):
                break
            answers.append(_answer(self._rest[at:end]))
            at = end
        self._rest = self._rest[at:]
        if text := b"".join(answers):
            self._write(text)

    def _write(self, data: bytes) -> None:
        self._transport.write(data)  # type: ignore[attr-defined]  # uvloop's is no subclass


def _answer(whole: bytes) -> bytes:
    """What one frame is answered with."""
    kind, flags, stream = whole[3], whole[4], int.from_bytes(whole[5:9], "big")
    if kind in (_SETTINGS, _PING) and not flags & _ACK:
        return frame(kind, _ACK, 0, whole[9:] if kind == _PING else b"")
    if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
        id = b"00000000-0000-4000-8000-%012x" % stream
        return frame(_HEADERS, _END_HEADERS | _END_STREAM, stream, _TAKEN + id)
    return b""


async def main() -> None:
    authority, key = certificates.self_signed("bench", addresses=(_HOST,))
    tls = tls_context.server(authority + key, protocol="h2")
    server = await asyncio.get_running_loop().create_server(Connection, _HOST, 0, ssl=tls)
    account = {
        "base_url": f"https://{_HOST}:{server.sockets[0].getsockname()[1]}",
        "bundle_id": "com.example.app",
        "key_id": "BENCHKEY01",
        "team_id": "BENCHTEAM1",
        "private_key": certificates.pem(ec.generate_private_key(ec.SECP256R1())),
        "authorities": authority,
    }
    print(orjson.dumps(account).decode(), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(main())
