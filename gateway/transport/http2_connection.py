"""One HTTP/2 connection (RFC 9113), which carries many requests at a time.

The protocol itself is h2's, frames in and frames out; here are the sockets, the futures, and what
became of a request that was not answered:

- GOAWAY: streams above its last one were not acted on (§6.8), hence NotSent; the others may still
  be answered, and nothing new goes out on the connection.
- RST_STREAM with REFUSED_STREAM: not acted on either (§8.7). With any other code: lost.
- The connection ends: all that was written is lost.

Cancelling a request resets its stream and keeps the connection: an answer carries the number of
its stream, so that a late one is nobody's.
"""

import asyncio
import contextlib
from typing import Protocol, cast

import h2.config
import h2.events
import h2.exceptions
import h2.settings
from h2.errors import ErrorCodes
from hpack import HeaderTuple

from gateway.model import errors
from gateway.transport import http2_frames
from gateway.transport.http2_outlet import Frames, Outlet
from gateway.transport.http2_stream import Answer, Stream

#: The last number that a stream of ours can have (§5.1.1).
_LAST_STREAM = 2**31 - 1

#: Seconds that a peer has to read our last words.
_FAREWELL = 1.0


class Keeper(Protocol):
    """Whom a connection tells what becomes of it."""

    def changed(self, connection: "Connection") -> None:
        """It may have room for more streams, or none any more."""

    def lost(self, connection: "Connection") -> None:
        """Its socket is closed."""


class Connection(asyncio.Protocol):
    """See the module. `close` may be called at any time, more than once."""

    def __init__(self, keeper: Keeper, *, max_streams: int, max_answer_bytes: int) -> None:
        self._keeper = keeper
        self._max_streams = max_streams
        self._max_answer_bytes = max_answer_bytes
        self._transport: asyncio.Transport | None = None
        self._sieve = http2_frames.Sieve()
        self._h2 = Frames()
        self._outlet = Outlet(self._h2, on_stuck=self.close)
        self._streams: dict[int, Stream] = {}
        self.is_ready = False
        #: set by the server's first SETTINGS; before it we know no limits
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        #: places promised to requests that are not yet written
        self.reserved = 0
        #: no places are promised any more
        self.is_leaving = False
        #: a GOAWAY has come: nothing new goes out, promised or not
        self._was_told = False
        self.is_closed = False
        #: by the loop's time
        self.heard_at = self.used_at = self.made_at = asyncio.get_running_loop().time()
        self.pinged_at: float | None = None

    @property
    def has_socket(self) -> bool:
        return self._transport is not None

    @property
    def is_idle(self) -> bool:
        return not self._streams and not self.reserved

    def has_room(self) -> bool:
        """Whether one more request may be promised a place."""
        if self.is_closed or self.is_leaving:
            return False
        most = min(self._max_streams, self._h2.remote_settings.max_concurrent_streams)
        return len(self._streams) + self.reserved < most

    def leave(self) -> None:
        """Take nothing new, and close when the last answer is there."""
        self.is_leaving = True
        self._keeper.changed(self)
        if self.is_idle:
            self.close("closed")

    def begin(self, fields: list[HeaderTuple], body: bytes) -> tuple[int, Answer]:
        """Write a request in a reserved place; the future ends with its answer, NotSent or
        AnswerLost. Raises NotSent."""
        self.reserved -= 1
        if self.is_closed or self._was_told:
            self._settle()
            raise errors.NotSent("disconnected")
        try:
            id = self._h2.get_next_available_stream_id()
            self._outlet.send_head(id, fields, has_body=bool(body))
        except h2.exceptions.H2Error:  # such as a limit that the server has just lowered
            self._settle()
            raise errors.NotSent("no free stream") from None
        answer: Answer = asyncio.get_running_loop().create_future()
        stream = self._streams[id] = Stream(id, answer, body)
        self.used_at = asyncio.get_running_loop().time()
        if body:
            self._outlet.send_body(stream)
        if id >= _LAST_STREAM - 2:
            self.leave()
        return id, answer

    def give_back(self) -> None:
        """A reserved place is not needed."""
        self.reserved -= 1
        self._settle()

    def abandon(self, id: int, reason: str) -> None:
        """Nobody waits for this answer any more."""
        stream = self._streams.get(id)
        if stream is not None:
            self._outlet.reset(id)
            self._fail(stream, errors.AnswerLost(reason))
            self._outlet.flush()

    def ping(self, now: float) -> None:
        """Ask for a sign of life (§6.7)."""
        self.pinged_at = now
        self._h2.ping(b"gateway\0")
        self._outlet.flush()

    def close(self, reason: str = "disconnected") -> None:
        """At once. Requests that wait for their answers have lost them."""
        if self.is_closed:
            return
        self.is_closed = self.is_leaving = True
        if not self.ready.done():
            self.ready.set_exception(errors.NotSent(reason))
            self.ready.exception()  # perhaps nobody waits for it any more
        for stream in tuple(self._streams.values()):
            self._fail(stream, errors.AnswerLost(reason))
        if self._transport is not None:
            self._say_goodbye(self._transport)
        self._keeper.changed(self)

    def _say_goodbye(self, transport: asyncio.Transport) -> None:
        if not transport.is_closing() and self.is_ready:
            with contextlib.suppress(h2.exceptions.H2Error):
                self._h2.close_connection()
                transport.write(self._h2.data_to_send())
        transport.close()
        asyncio.get_running_loop().call_later(_FAREWELL, _abort, transport)

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of it.
        self._transport = cast(asyncio.Transport, transport)
        self._outlet.open(self._transport)
        if self.is_closed:
            self._transport.abort()
            return
        tls = transport.get_extra_info("ssl_object")
        if tls is None or tls.selected_alpn_protocol() != "h2":  # RFC 9113 §3.2
            self.close("no http/2")
            return
        self._h2.begin()
        self._outlet.flush()

    def data_received(self, data: bytes) -> None:
        if self.is_closed:
            return
        self.heard_at = asyncio.get_running_loop().time()
        self.pinged_at = None
        try:
            passed, goaways = self._sieve.feed(data)
            events = self._h2.receive_data(passed) if passed else []
            for event in events:
                self._heed(event)
        except (h2.exceptions.H2Error, http2_frames.Malformed):
            self.close("protocol error")
            return
        # Answers in the same read come before: they were written before.
        for goaway in goaways:
            self._go(goaway)
        self._outlet.flush()

    def eof_received(self) -> None:
        self.close("disconnected")

    def connection_lost(self, exc: Exception | None) -> None:
        self.close("disconnected")
        self._keeper.lost(self)

    def pause_writing(self) -> None:
        self._outlet.pause()

    def resume_writing(self) -> None:
        self._outlet.resume()

    def _go(self, goaway: http2_frames.GoAway) -> None:
        self.is_leaving = self._was_told = True
        for id in [id for id in self._streams if id > goaway.last_stream]:
            self._lose(id, ErrorCodes.REFUSED_STREAM, "goaway")
        self._keeper.changed(self)
        if self.is_idle:
            self.close("closed")

    def _heed(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived(stream_id=int(id), headers=fields) if fields:
                if stream := self._streams.get(id):
                    stream.read_head(fields)
            case h2.events.DataReceived(stream_id=int(id)):
                self._take(id, event.data or b"", event.flow_controlled_length or 0)
            case h2.events.StreamEnded(stream_id=int(id)):
                self._end(id)
            case h2.events.StreamReset(stream_id=int(id)):
                self._lose(id, event.error_code)
            case h2.events.WindowUpdated():
                self._outlet.send_rest()
            case h2.events.RemoteSettingsChanged():
                self.is_ready = True
                if not self.ready.done():
                    self.ready.set_result(None)
                self._outlet.send_rest()
                self._keeper.changed(self)

    def _take(self, id: int, data: bytes, flow: int) -> None:
        """A piece of an answer, whose place in both windows is given back at once (§5.2.2), also
        when nobody wants it any more."""
        if flow:
            self._h2.acknowledge_received_data(flow, id)
        stream = self._streams.get(id)
        if stream is None:
            return
        if len(stream.body) + len(data) > self._max_answer_bytes:
            self.abandon(id, "answer too large")
        else:
            stream.body += data

    def _end(self, id: int) -> None:
        stream = self._streams.get(id)
        if stream is None:
            return
        if self._outlet.is_unsent(id):  # an answer before the end of the request (§8.1)
            self._outlet.reset(id)
        if not stream.status:
            self._fail(stream, errors.AnswerLost("not http"))
            return
        self._forget(id)
        stream.finish()

    def _lose(self, id: int, error: int | None, reason: str = "refused stream") -> None:
        stream = self._streams.get(id)
        if stream is None:
            return
        if error == ErrorCodes.REFUSED_STREAM and not stream.status:
            self._fail(stream, errors.NotSent(reason))
        else:
            self._fail(stream, errors.AnswerLost("answer cut short" if stream.status else "reset"))

    def _fail(self, stream: Stream, error: errors.TransportError) -> None:
        self._forget(stream.id)
        stream.fail(error)

    def _forget(self, id: int) -> None:
        self._streams.pop(id, None)
        self._outlet.forget(id)
        self.used_at = asyncio.get_running_loop().time()
        self._settle()

    def _settle(self) -> None:
        """A place is free."""
        if self.is_closed:
            return
        if self.is_leaving and self.is_idle:
            self.close("closed")
        else:
            self._keeper.changed(self)


def _abort(transport: asyncio.Transport) -> None:
    with contextlib.suppress(AttributeError):  # Python 3.11.2, when it was closed twice (TLS)
        transport.abort()
