"""An HTTP/2 server by script, on h2 for framing; what it says is up to each test."""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Mapping

import h2.config
import h2.connection
import h2.events
import h2.settings
from h2.settings import SettingCodes

Fields = Mapping[str, str]
React = Callable[["Talk", int], Awaitable[None] | None]


def frame(kind: int, payload: bytes, *, flags: int = 0, stream: int = 0) -> bytes:
    """RFC 9113 §4.1."""
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags])
    return head + stream.to_bytes(4, "big") + payload


def goaway(last: int, error: int = 0) -> bytes:
    return frame(0x7, last.to_bytes(4, "big") + error.to_bytes(4, "big"))


class Talk:
    """One connection, seen from the server."""

    def __init__(self, writer: asyncio.StreamWriter, settings: Mapping[SettingCodes, int]) -> None:
        self.writer = writer
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        )
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values=dict(settings))
        #: by stream
        self.fields: dict[int, dict[str, str]] = {}
        self.bodies: dict[int, bytes] = {}
        self.resets: list[int] = []
        self.pings = 0
        self.ended = asyncio.Event()

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())

    def say(self, data: bytes) -> None:
        self.flush()
        self.writer.write(data)

    def answer(self, stream: int, body: bytes = b"ok", status: int = 200, **fields: str) -> None:
        named = [(name.replace("_", "-"), value) for name, value in fields.items()]
        self.h2.send_headers(stream, [(":status", str(status)), *named], end_stream=not body)
        if body:
            self.h2.send_data(stream, body, end_stream=True)
        self.flush()


class Server:
    """Answers each whole request by `react`, 200 unless told otherwise."""

    def __init__(
        self,
        react: React | None = None,
        *,
        on_head: React | None = None,
        settings: Mapping[SettingCodes, int] | None = None,
        acknowledges: bool = True,
    ) -> None:
        self._react = react or (lambda talk, stream: talk.answer(stream))
        self._on_head = on_head
        self._settings = settings or {}
        #: whether windows are opened again
        self._acknowledges = acknowledges
        self.talks: list[Talk] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = Talk(writer, self._settings)
        self.talks.append(talk)
        talk.h2.initiate_connection()
        talk.flush()
        with contextlib.suppress(ssl.SSLError):  # asyncio's word for a close from both ends
            while data := await reader.read(65536):
                for event in talk.h2.receive_data(data):
                    await self._heed(talk, event)
                talk.flush()
        talk.ended.set()

    async def _heed(self, talk: Talk, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            talk.fields[event.stream_id] = dict(event.headers)  # type: ignore[arg-type]
            talk.bodies[event.stream_id] = b""
            if self._on_head is not None:
                await _done(self._on_head(talk, event.stream_id))
        elif isinstance(event, h2.events.DataReceived):
            talk.bodies[event.stream_id] += event.data or b""
            if self._acknowledges:
                talk.h2.acknowledge_received_data(
                    event.flow_controlled_length or 0, event.stream_id
                )
        elif isinstance(event, h2.events.StreamEnded):
            await _done(self._react(talk, event.stream_id))
        elif isinstance(event, h2.events.StreamReset):
            talk.resets.append(event.stream_id)
        elif isinstance(event, h2.events.PingReceived):
            talk.pings += 1

    @property
    def requests(self) -> int:
        return sum(len(talk.fields) for talk in self.talks)


async def _done(result: Awaitable[None] | None) -> None:
    if result is not None:
        await result
