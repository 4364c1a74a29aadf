"""A hop between the gateway and a simulator, on which anything can go wrong.

A `Fault` says what becomes of the bytes of either direction, chunk by chunk: requests and replies
here are short, so a chunk holds a whole one. It holds for connections old and new.
"""

import asyncio
import socket
import struct
from contextlib import suppress

from gateway.sandbox.base import HOST
from tests.faults.nodes import free_port

_CHUNK = 64 * 1024

#: Closing then sends RST and no FIN (socket(7), SO_LINGER).
_AT_ONCE = struct.pack("ii", 1, 0)


class Hop:
    """One connection of the gateway's, with ours to the simulator behind it."""

    def __init__(self, down: asyncio.StreamWriter, up: asyncio.StreamWriter) -> None:
        self._down = down
        self._up = up
        #: the end of what the gateway has written
        self.tail = b""
        #: the gateway has written the end of a mail, and waits for the reply to it
        self.after_dot = False

    async def pass_up(self, data: bytes) -> None:
        self._up.write(data)
        await self._up.drain()

    async def pass_down(self, data: bytes) -> None:
        self._down.write(data)
        await self._down.drain()

    def reset(self) -> None:
        """RST to the gateway."""
        raw: socket.socket = self._down.get_extra_info("socket")
        with suppress(OSError):  # it is closed already
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.cut()

    def cut(self) -> None:
        """End both connections without another byte."""
        self._down.transport.abort()
        self._up.transport.abort()


class Fault:
    """None: everything passes."""

    #: how often it struck
    struck = 0

    async def request(self, data: bytes, hop: Hop) -> None:
        await hop.pass_up(data)

    async def answer(self, data: bytes, hop: Hop) -> None:
        await hop.pass_down(data)


class Wire:
    """Listens where the gateway is told that the provider is."""

    def __init__(self, target: int, *, host: str = HOST) -> None:
        """target: the simulator's port. host: where to listen."""
        self.fault = Fault()
        self.port = free_port()
        self._target = target
        self.host = host
        self._server: asyncio.Server | None = None
        self._hops: set[Hop] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen; always on the same port."""
        self._server = await asyncio.start_server(self._accept, self.host, self.port)

    async def refuse(self) -> None:
        """Close the port and every connection: connecting is refused from now on."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for hop in tuple(self._hops):
            hop.reset()
        await asyncio.sleep(0)

    async def close(self) -> None:
        await self.refuse()
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def heal(self) -> None:
        """Everything passes again, on new connections: what was held back stays lost."""
        self.fault = Fault()
        for hop in tuple(self._hops):
            hop.cut()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """In a task of our own: asyncio complains of its tasks when they are cancelled."""
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection(HOST, self._target)
        except OSError:
            writer.transport.abort()
            return
        hop = Hop(writer, up_writer)
        self._hops.add(hop)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._upwards(reader, hop))
                group.create_task(self._downwards(up_reader, hop))
        except* OSError:
            pass
        finally:
            self._hops.discard(hop)
            hop.cut()

    async def _upwards(self, reader: asyncio.StreamReader, hop: Hop) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                hop.tail = (hop.tail + data)[-5:]
                if hop.tail == b"\r\n.\r\n" or b"\r\nBDAT " in data:
                    hop.after_dot = True
                await self.fault.request(data, hop)
        hop.cut()

    async def _downwards(self, reader: asyncio.StreamReader, hop: Hop) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self.fault.answer(data, hop)
                hop.after_dot = False
        hop.cut()


# What can go wrong


class Reset(Fault):
    """RST in place of the request's way on: the simulator never has it."""

    async def request(self, data: bytes, hop: Hop) -> None:
        self.struck += 1
        hop.reset()


class ResetAnswer(Fault):
    """RST in place of the answer: the simulator has it."""

    async def answer(self, data: bytes, hop: Hop) -> None:
        self.struck += 1
        hop.reset()


class Swallow(Fault):
    """Connections are accepted, requests read, and nothing is ever answered or passed on."""

    async def request(self, data: bytes, hop: Hop) -> None:
        self.struck += 1


class Mute(Fault):
    """The simulator has it, and its answer is never heard."""

    async def answer(self, data: bytes, hop: Hop) -> None:
        self.struck += 1


class Drip(Fault):
    """The answer comes byte by byte."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def answer(self, data: bytes, hop: Hop) -> None:
        self.struck += 1
        for at in range(len(data)):
            await hop.pass_down(data[at : at + 1])
            await asyncio.sleep(self._seconds)


class Late(Fault):
    """The answer comes after a time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def answer(self, data: bytes, hop: Hop) -> None:
        self.struck += 1
        await asyncio.sleep(self._seconds)
        await hop.pass_down(data)


class Flood(Fault):
    """An answer of `size` bytes, as long as anybody reads it."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.written = 0

    async def answer(self, data: bytes, hop: Hop) -> None:
        self.struck += 1
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        await hop.pass_down(f"{head}Content-Length: {self._size}\r\n\r\n".encode())
        for _ in range(0, self._size, _CHUNK):
            await hop.pass_down(b" " * _CHUNK)
            self.written += _CHUNK


class DotNotStored(Fault):
    """The relay is gone after the final dot, and does not have the mail."""

    async def request(self, data: bytes, hop: Hop) -> None:
        if not hop.after_dot:
            await hop.pass_up(data)
            return
        self.struck += 1
        hop.cut()


class DotStored(Fault):
    """The relay is gone after the final dot, and has the mail."""

    async def answer(self, data: bytes, hop: Hop) -> None:
        if not hop.after_dot:
            await hop.pass_down(data)
            return
        self.struck += 1
        hop.cut()


class LateDot(Fault):
    """The reply to the final dot takes its time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def answer(self, data: bytes, hop: Hop) -> None:
        if hop.after_dot:
            self.struck += 1
            await asyncio.sleep(self._seconds)
        await hop.pass_down(data)


class ClosingAtData(Fault):
    """DATA is answered 421, and the connection ends."""

    async def request(self, data: bytes, hop: Hop) -> None:
        if not data.upper().endswith(b"DATA\r\n"):
            await hop.pass_up(data)
            return
        self.struck += 1
        await hop.pass_down(b"421 4.3.2 shutting down\r\n")
        await asyncio.sleep(0.05)
        hop.cut()


class EndlessReply(Fault):
    """The reply to the final dot never gets to its last line."""

    async def answer(self, data: bytes, hop: Hop) -> None:
        if not hop.after_dot:
            await hop.pass_down(data)
            return
        self.struck += 1
        while True:
            await hop.pass_down(b"250-and\r\n" * 1000)
