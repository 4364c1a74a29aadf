"""One SMPP connection: frames, answers matched by sequence number, and the link's own traffic.

Answers may come in any order, and one that nobody waits for any more is dropped, so neither a
timeout nor a cancelled call needs to end the connection. What it may cost is bounded: the window
by the pool, a PDU by its length, and a peer that does not read what we answer is not read either.

SMPP Protocol Specification v3.4: sessions §2, sequence numbers §3.2, timers §7.2.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import NamedTuple, TypeAlias, cast

from gateway.clock import Clock
from gateway.model import errors, smpp
from gateway.transport import smpp_pdu
from gateway.transport.smpp_options import SmppOptions
from gateway.transport.smpp_pdu import Pdu

_BINDS = frozenset({smpp_pdu.BIND_RECEIVER, smpp_pdu.BIND_TRANSMITTER, smpp_pdu.BIND_TRANSCEIVER})
_DELIVERIES = frozenset({smpp_pdu.DELIVER_SM, smpp_pdu.DATA_SM})
_NOT_ANSWERED = frozenset({smpp_pdu.ALERT_NOTIFICATION, smpp_pdu.OUTBIND})


class Lost(ConnectionError):
    """The connection ended before the answer came, or the answer is none; `str` says why."""


class _Waiter(NamedTuple):
    command: int
    future: asyncio.Future[Pdu]


class Session(asyncio.Protocol):
    """Binds, then submits; hands on what is delivered."""

    def __init__(
        self, options: SmppOptions, clock: Clock, deliver: "Deliver", freed: Callable[[], None]
    ) -> None:
        """deliver: called with each deliver_sm and data_sm, answers by `answer`, now or later.

        freed: called when it can be used no more.
        """
        self._loop = asyncio.get_running_loop()
        #: set when the socket is gone
        self.closed: asyncio.Future[None] = self._loop.create_future()
        #: why it cannot be used any more; empty while it can
        self.broken = ""
        self.is_bound = False
        #: places of the window that are taken; the pool's to count
        self.used = 0
        self._options = options
        self._clock = clock
        self._deliver = deliver
        self._freed = freed
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._sequence = 0
        self._waiting: dict[int, _Waiter] = {}
        self._heard_at = clock.monotonic()
        self._watch: asyncio.TimerHandle | None = None
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def is_usable(self) -> bool:
        """Bound, and not on its way out."""
        transport = self._transport
        return (
            self.is_bound
            and not self.broken
            and transport is not None
            and not transport.is_closing()
        )

    async def bind(self, command: int) -> int:
        """The status of the answer to our bind. Raises Lost, TimeoutError."""
        body = smpp_pdu.body_of_bind(self._options.bind)
        answer = await self._ask(command, body, self._options.bind_timeout)
        if answer.status == smpp.OK and answer.command == smpp_pdu.GENERIC_NACK:
            raise Lost("malformed answer")
        return answer.status

    async def submit(self, body: bytes) -> smpp.Answer:
        """Raises NotSent when nothing was written, AnswerLost after that."""
        if not self.is_usable:
            raise errors.NotSent(self.broken or "disconnected")
        try:
            pdu = await self._ask(smpp_pdu.SUBMIT_SM, body, self._options.response_timeout)
        except Lost as lost:
            raise errors.AnswerLost(str(lost)) from None
        except TimeoutError:
            raise errors.AnswerLost("timeout") from None
        if pdu.command == smpp_pdu.GENERIC_NACK and pdu.status == smpp.OK:
            raise errors.AnswerLost("malformed answer")
        if pdu.status == smpp_pdu.NOT_BOUND:
            self._retire("not bound")
        taken = pdu.status == smpp.OK
        return smpp.Answer(
            status=pdu.status, message_id=smpp_pdu.message_id(pdu.body) if taken else ""
        )

    def answer(self, request: Pdu, status: int) -> None:
        """Answer a delivery; in vain if the connection has gone, and it will come again."""
        # message_id is unused here and set to NULL (§4.6.2)
        body = b"\0"
        self._write(
            smpp_pdu.encode(request.command | smpp_pdu.ANSWER, request.sequence, body, status)
        )

    def reject(self, request: Pdu, status: int) -> None:
        """Say that a request cannot be read."""
        self._write(smpp_pdu.encode(smpp_pdu.GENERIC_NACK, request.sequence, b"", status))

    async def unbind(self, timeout: float) -> None:
        """Take leave; answers that are on their way still come until the centre has agreed."""
        if self.is_usable:
            self.broken = "closed"
            with contextlib.suppress(Lost, TimeoutError):
                await self._ask(smpp_pdu.UNBIND, b"", timeout)
        self.abort("closed")

    def abort(self, reason: str) -> None:
        """Drop the connection, and fail whoever waits for an answer."""
        self.broken = self.broken or reason
        for timer in (self._watch, self._deadline):
            if timer is not None:
                timer.cancel()
        self._watch = self._deadline = None
        if self._transport is not None:
            with contextlib.suppress(AttributeError):  # Python 3.11.2, when it was closed (TLS)
                self._transport.abort()
        waiting, self._waiting = self._waiting, {}
        for waiter in waiting.values():
            _fail(waiter.future, Lost(self.broken))

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not of that class
        self._heard_at = self._clock.monotonic()
        self._keep_watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.abort("disconnected")
        if not self.closed.done():
            self.closed.set_result(None)
        self._freed()

    def pause_writing(self) -> None:
        """It does not read our answers: give it no more to answer."""
        if self._transport is not None:
            with contextlib.suppress(RuntimeError):  # closing
                self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None:
            with contextlib.suppress(RuntimeError):
                self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._clock.monotonic()
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= 4 and not self._is_gone():
            length = int.from_bytes(buffer[start : start + 4], "big")
            if not smpp_pdu.HEADER_OCTETS <= length <= smpp_pdu.MAX_OCTETS:
                self._refuse_length()
                return
            if len(buffer) - start < length:
                break
            self._take(bytes(buffer[start : start + length]))
            start += length
        del buffer[:start]

    def _is_gone(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def _refuse_length(self) -> None:
        """Where the next PDU begins is not known any more."""
        self._write(smpp_pdu.encode(smpp_pdu.GENERIC_NACK, 0, b"", smpp_pdu.INVALID_LENGTH))
        self.broken = self.broken or "malformed pdu"
        if self._transport is not None:
            self._transport.close()  # what is written still goes out

    def _take(self, octets: bytes) -> None:
        _, command, status, sequence = smpp_pdu.read_header(octets)
        pdu = Pdu(command, status, sequence, octets[smpp_pdu.HEADER_OCTETS :])
        if command & smpp_pdu.ANSWER:
            self._take_answer(pdu)
        elif command in _DELIVERIES and self.is_bound:
            self._deliver(self, pdu)
        elif command in (smpp_pdu.ENQUIRE_LINK, smpp_pdu.UNBIND):
            self._write(smpp_pdu.encode(command | smpp_pdu.ANSWER, sequence))
            if command == smpp_pdu.UNBIND:
                self._retire("unbound by centre")
        elif command not in _NOT_ANSWERED:
            unknown = command not in _DELIVERIES
            self.reject(pdu, smpp_pdu.INVALID_COMMAND if unknown else smpp_pdu.NOT_BOUND)

    def _take_answer(self, pdu: Pdu) -> None:
        waiter = self._waiting.pop(pdu.sequence, None)
        if waiter is None or waiter.future.done():
            return
        if pdu.command not in (waiter.command | smpp_pdu.ANSWER, smpp_pdu.GENERIC_NACK):
            _fail(waiter.future, Lost("malformed answer"))
            return
        if waiter.command in _BINDS and pdu.status == smpp.OK:
            self.is_bound = True  # here: a delivery may follow in the same packet
        waiter.future.set_result(pdu)
        self._close_when_idle()

    def _retire(self, reason: str) -> None:
        """Nothing new goes out; what was sent may still be answered."""
        self.broken = self.broken or reason
        if self._deadline is None:
            self._deadline = self._loop.call_later(
                self._options.response_timeout, self.abort, reason
            )
        self._close_when_idle()

    def _close_when_idle(self) -> None:
        if self._deadline is not None and not self._waiting and self._transport is not None:
            self._transport.close()

    async def _ask(self, command: int, body: bytes, timeout: float) -> Pdu:
        """Raises Lost, TimeoutError."""
        sequence, future = self._post(command, body)
        timer = self._loop.call_later(timeout, _fail, future, TimeoutError())
        try:
            return await future
        finally:
            timer.cancel()
            self._waiting.pop(sequence, None)
            self._close_when_idle()

    def _post(self, command: int, body: bytes = b"") -> tuple[int, asyncio.Future[Pdu]]:
        self._sequence = sequence = self._sequence % smpp_pdu.MAX_SEQUENCE + 1
        future: asyncio.Future[Pdu] = self._loop.create_future()
        self._waiting[sequence] = _Waiter(command, future)
        self._write(smpp_pdu.encode(command, sequence, body))
        return sequence, future

    def _write(self, octets: bytes) -> None:
        if not self._is_gone() and self._transport is not None:
            self._transport.write(octets)

    def _keep_watch(self) -> None:
        """Enquire after silence, and give up after a long one."""
        options = self._options
        silence = self._clock.monotonic() - self._heard_at
        if silence >= options.inactivity_timeout:
            self.abort("inactive")
            return
        wait = options.inactivity_timeout - silence
        if options.enquire_link > 0:
            due = options.enquire_link - silence
            if due <= 0 and self.is_usable:
                self._enquire()
            wait = min(wait, due if due > 0 else options.enquire_link)
        self._watch = self._loop.call_later(wait, self._keep_watch)

    def _enquire(self) -> None:
        """Not by the window: a full one must not hide that the link is dead."""
        timeout = self._options.response_timeout
        timer = self._loop.call_later(timeout, self.abort, "enquire_link timeout")
        _, future = self._post(smpp_pdu.ENQUIRE_LINK)
        future.add_done_callback(lambda _: timer.cancel())


Deliver: TypeAlias = Callable[[Session, Pdu], None]


def _fail(future: asyncio.Future[Pdu], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # perhaps nobody is left to hear of it
