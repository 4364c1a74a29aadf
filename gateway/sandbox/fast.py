"""The JSON service of `http.py` for benchmarks: answers all, checks and records nothing.

One protocol class on bare bytes, so that the simulator takes little of the machine that is being
measured. Every POST with a Content-Length body is taken, pipelined ones in order, and answered
with an id of constant width; so is every GET, for clients that put a message into its query. Of
the knobs it obeys `latency`, `hang` and `refuse`. Other methods, and what goes to `/_sandbox/`, are
handed to the control application, whose log holds counts only.
"""

import asyncio
import itertools
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import ClassVar, Unpack, cast

from aiohttp import web

from gateway.sandbox import base, control
from gateway.sandbox.magic import Fate

_HEAD_LIMIT = 64 * 1024
_BODY_LIMIT = 8 * 1024 * 1024

_LENGTH = b"\r\ncontent-length:"
_CHUNKED = b"\r\ntransfer-encoding:"

#: 8 characters of the run and 12 of a counter.
_ID_LENGTH = 20
_BODY_LENGTH = len('{"id":""}') + _ID_LENGTH
_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    b'Content-Length: %d\r\n\r\n{"id":"%%s%%012d"}' % _BODY_LENGTH
)
_REFUSAL = b"HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

_TAKEN = Fate.TAKEN  # finding a member of an enumeration costs more than counting it

#: How requests begin that carry messages, and which of them do not.
_MESSAGES = (b"POST ", b"GET ")
_CONTROL = tuple(method + control.PREFIX.encode() for method in _MESSAGES)

#: Instead of the end of a request: it is not all here; answer `_refusal` and close; it is not for
#: here.
_MORE, _REFUSE, _HAND_OVER = 0, -1, -2


class FastHttpSimulator(base.Simulator):
    """Counts messages and answers at once."""

    kind: ClassVar[str] = "fast"

    def __init__(self, **options: Unpack[base.Options]) -> None:
        super().__init__(**options)
        self.connections: set[_Connection] = set()
        # Ids differ from those of an earlier run, which a store may still hold.
        self.run = secrets.token_hex(4).encode()
        self.numbers = itertools.count(1)

    async def _start(self, stack: AsyncExitStack) -> Callable[[], asyncio.BaseProtocol]:
        runner = await control.start(stack, [control.routes(self.knobs, self.log)])
        assert runner.server is not None  # it has been set up
        web_server = runner.server
        return lambda: _Connection(self, web_server)

    def _on_turn(self, name: str) -> None:
        super()._on_turn(name)
        if name == "hang" and not self.knobs.hang:
            self._drop_connections()

    def _drop_connections(self) -> None:
        for connection in tuple(self.connections):
            connection.abort()


class _Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, simulator: FastHttpSimulator, control_app: web.Server) -> None:
        self._simulator = simulator
        self._control = control_app
        self._rest = b""
        self._refusal = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of it.
        self._transport = cast(asyncio.Transport, transport)
        self._simulator.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._simulator.connections.discard(self)

    def abort(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        taken = start = 0
        while (end := self._end_of_request(data, start)) > 0:
            taken += 1
            start = end
        if taken:
            self._answer(taken)
        self._rest = data[start:] if end == _MORE else b""
        if end == _REFUSE:
            self._transport.write(_REFUSAL % self._refusal)
            self._transport.close()
        elif end == _HAND_OVER:
            self._hand_over(data[start:])

    def _end_of_request(self, data: bytes, start: int) -> int:
        """Where the request that starts there ends, or one of the codes below 1."""
        head_end = data.find(b"\r\n\r\n", start)
        if head_end < 0:
            return _MORE if len(data) - start <= _HEAD_LIMIT else self._refuse(b"431 Too Large")
        if not data.startswith(_MESSAGES, start) or data.startswith(_CONTROL, start):
            return _HAND_OVER
        head = data[start : head_end + 2].lower()
        at = head.find(_LENGTH)
        if at < 0:
            return self._refuse(b"411 Length Required") if _CHUNKED in head else head_end + 4
        value = head[at + len(_LENGTH) : head.find(b"\r\n", at + 2)].strip()
        if not value.isdigit() or len(value) > 9:
            return self._refuse(b"400 Bad Request")
        length = int(value)
        if length > _BODY_LIMIT:
            return self._refuse(b"413 Too Large")
        end = head_end + 4 + length
        return end if end <= len(data) else _MORE

    def _answer(self, count: int) -> None:
        simulator = self._simulator
        if simulator.knobs.hang:
            simulator.log.counts[Fate.HUNG] += count
            return
        simulator.log.counts[_TAKEN] += count
        run, numbers = simulator.run, simulator.numbers
        answers = b"".join([_ANSWER % (run, next(numbers)) for _ in range(count)])
        if latency := simulator.knobs.latency:
            asyncio.get_running_loop().call_later(latency, self._write, answers)
        else:
            self._transport.write(answers)

    def _write(self, answers: bytes) -> None:
        if not self._transport.is_closing():  # the client may have gone meanwhile
            self._transport.write(answers)

    def _refuse(self, status: bytes) -> int:
        self._refusal = status
        return _REFUSE

    def _hand_over(self, data: bytes) -> None:
        """Let the control application have this connection from here on."""
        self._simulator.connections.discard(self)
        handler = self._control()
        self._transport.set_protocol(handler)
        handler.connection_made(self._transport)
        handler.data_received(data)
