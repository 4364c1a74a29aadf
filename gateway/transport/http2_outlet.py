"""What one HTTP/2 connection writes: frames of h2's making, and bodies as far as windows allow."""

import asyncio
import contextlib
from collections.abc import Callable

import h2.config
import h2.connection
import h2.exceptions
import h2.settings
from h2.errors import ErrorCodes
from hpack import HeaderTuple

from gateway.transport.http2_fields import FieldEncoder
from gateway.transport.http2_stream import Stream

#: Bytes of an answer's headers that we take, as `lean_answer` does.
_MAX_HEADERS = 64 * 1024
#: Bytes that a peer leaves unread before we give it up, as one would that only pings: more than a
#: thousand requests, whose bodies wait for their turn.
_MAX_UNREAD = 4 * 1024 * 1024


class Frames(h2.connection.H2Connection):
    """h2 counts the open streams for each new one by looking at all of them. The limit is ours to
    keep; the look, which also forgets those that have ended, comes once in a while."""

    _EVERY = 64
    _until_look = 0

    def __init__(self) -> None:
        config = h2.config.H2Configuration(
            client_side=True,
            header_encoding=None,
            validate_outbound_headers=False,  # `http2_request` has seen to both
            normalize_outbound_headers=False,
        )
        super().__init__(config)
        self.encoder = FieldEncoder()

    def begin(self) -> None:
        """Say what we take: no pushes, and no more of headers than we read."""
        self.local_settings = h2.settings.Settings(
            client=True,
            initial_values={
                h2.settings.SettingCodes.ENABLE_PUSH: 0,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: _MAX_HEADERS,
            },
        )
        self.initiate_connection()

    @property
    def open_outbound_streams(self) -> int:
        self._until_look -= 1
        if self._until_look >= 0:
            return 0
        self._until_look = self._EVERY
        return min(super().open_outbound_streams, 0)


class Outlet:
    """The writing half of a connection. on_stuck: called when the peer does not read."""

    def __init__(self, frames: Frames, on_stuck: Callable[[], None]) -> None:
        self._h2 = frames
        self._on_stuck = on_stuck
        self._transport: asyncio.Transport | None = None
        #: those with a body that is not wholly written, oldest first
        self._unsent: dict[int, Stream] = {}
        self._is_full = False
        self._will_flush = False

    def open(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def send_head(self, id: int, fields: list[HeaderTuple], *, has_body: bool) -> None:
        """Raises H2Error, such as for a limit that the server has just lowered."""
        self._h2.send_headers(id, fields, end_stream=not has_body)
        self._flush_soon()

    def send_body(self, stream: Stream) -> None:
        """As much as may go now; the rest when it may."""
        self._unsent[stream.id] = stream
        self._push(stream)

    def is_unsent(self, id: int) -> bool:
        return id in self._unsent

    def forget(self, id: int) -> None:
        """What is left of a body is not needed."""
        self._unsent.pop(id, None)

    def reset(self, id: int) -> None:
        with contextlib.suppress(h2.exceptions.H2Error):  # it may be closed by now
            self._h2.reset_stream(id, ErrorCodes.CANCEL)

    def pause(self) -> None:
        """The socket is full."""
        self._is_full = True

    def resume(self) -> None:
        self._is_full = False
        self.send_rest()
        self.flush()

    def send_rest(self) -> None:
        """Windows have grown."""
        for stream in tuple(self._unsent.values()):
            self._push(stream)

    def flush(self) -> None:
        self._will_flush = False
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if data := self._h2.data_to_send():
            transport.write(data)
        if transport.get_write_buffer_size() > _MAX_UNREAD:
            self._on_stuck()

    def _flush_soon(self) -> None:
        """Requests of one turn of the loop leave by one write."""
        if not self._will_flush:
            self._will_flush = True
            asyncio.get_running_loop().call_soon(self.flush)

    def _push(self, stream: Stream) -> None:
        """As much as both windows and the socket take."""
        while stream.rest and not self._is_full and stream.id in self._unsent:
            try:
                window = self._h2.local_flow_control_window(stream.id)
                size = min(window, self._h2.max_outbound_frame_size, len(stream.rest))
                if size <= 0:
                    return
                piece, stream.rest = stream.rest[:size], stream.rest[size:]
                self._h2.send_data(stream.id, bytes(piece), end_stream=not stream.rest)
            except h2.exceptions.H2Error:  # reset by the server, of which we are yet to hear
                break
            if stream.rest:
                self.flush()  # so that the socket can say that it is full
        if self._is_full and stream.rest:
            return
        self._unsent.pop(stream.id, None)
