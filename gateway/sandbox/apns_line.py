"""One HTTP/2 connection to the APNs simulator (RFC 9113), on h2."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, cast

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from h2.errors import ErrorCodes

from gateway.sandbox import apns_rules

#: Bytes of a body that are kept; a push that is as long is refused anyway.
_MOST = 64 * 1024
_STREAMS = h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a request gets."""

    #: 0: no answer, the stream is reset
    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    #: the request has proved who sent it
    proved: bool = False
    #: a GOAWAY follows
    goes_away: bool = False


class Service(Protocol):
    """Whom a connection asks."""

    first_streams: int
    streams: int

    async def answer(self, push: apns_rules.Push, *, by_certificate: bool) -> Reply: ...


class Line(asyncio.Protocol):
    """Reads requests and writes what the service answers to each."""

    def __init__(self, service: Service, lines: "set[Line]") -> None:
        self._service = service
        self._lines = lines
        self._transport: asyncio.Transport | None = None
        self._pushes: dict[int, tuple[list[tuple[str, str]], bytearray]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._by_certificate = False
        self._proved = False
        #: the last stream that is answered, once a GOAWAY was sent
        self._last: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of it.
        self._transport = cast(asyncio.Transport, transport)
        self._lines.add(self)
        self._by_certificate = bool(transport.get_extra_info("peercert"))
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self._h2 = h2.connection.H2Connection(config)
        self._h2.local_settings = h2.settings.Settings(
            client=False, initial_values={_STREAMS: self._service.first_streams}
        )
        self._h2.initiate_connection()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lines.discard(self)
        for task in self._tasks.values():
            task.cancel()

    def drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            for event in self._h2.receive_data(data):
                self._heed(event)
        except h2.exceptions.H2Error:
            self._flush()
            if self._transport is not None:
                self._transport.close()
            return
        self._flush()

    def _heed(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived(stream_id=int(id), headers=fields) if fields:
                pairs = cast(list[tuple[str, str]], [(name, value) for name, value in fields])
                self._pushes[id] = (pairs, bytearray())
            case h2.events.DataReceived(stream_id=int(id)):
                self._h2.acknowledge_received_data(event.flow_controlled_length or 0, id)
                if id in self._pushes and len(self._pushes[id][1]) < _MOST:
                    self._pushes[id][1].extend(event.data or b"")
            case h2.events.StreamEnded(stream_id=int(id)):
                if self._last is None or id <= self._last:
                    self._begin(id)
            case h2.events.StreamReset(stream_id=int(id)):
                self._pushes.pop(id, None)
                if task := self._tasks.pop(id, None):
                    task.cancel()

    def _begin(self, id: int) -> None:
        pairs, body = self._pushes.pop(id)
        counts = Counter(name for name, _ in pairs)
        fields = dict(pairs)
        push = apns_rules.Push(
            method=fields.get(":method", ""),
            path=fields.get(":path", ""),
            headers=fields,
            repeated=max(counts.values()) > 1,
            body=bytes(body),
        )
        task = asyncio.get_running_loop().create_task(self._answer(id, push))
        self._tasks[id] = task
        task.add_done_callback(lambda _: self._tasks.pop(id, None))

    async def _answer(self, id: int, push: apns_rules.Push) -> None:
        reply = await self._service.answer(push, by_certificate=self._by_certificate)
        with contextlib.suppress(h2.exceptions.H2Error):  # its stream was reset meanwhile
            self._write(id, reply)
        if reply.proved and not self._proved:
            self._proved = True
            self._h2.update_settings({_STREAMS: self._service.streams})
        self._flush()
        if reply.goes_away:
            self._go_away()

    def _write(self, id: int, reply: Reply) -> None:
        if not reply.status:
            self._h2.reset_stream(id, ErrorCodes.INTERNAL_ERROR)
            return
        fields = [(":status", str(reply.status)), *reply.headers.items()]
        self._h2.send_headers(id, fields, end_stream=not reply.body)
        if reply.body:
            self._h2.send_data(id, reply.body, end_stream=True)

    def _go_away(self) -> None:
        """RFC 9113 §6.8, past h2, which would not answer what is still under way."""
        if self._last is not None or self._transport is None or self._transport.is_closing():
            return
        self._last = self._h2.highest_inbound_stream_id
        payload = self._last.to_bytes(4, "big") + bytes(4)
        self._transport.write(len(payload).to_bytes(3, "big") + bytes([7, 0, 0, 0, 0, 0]) + payload)

    def _flush(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if data := self._h2.data_to_send():
            transport.write(data)
