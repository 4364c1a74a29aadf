"""One client's connection to the simulated message centre.

SMPP Protocol Specification v3.4 §2.2 (states), §4 (PDUs).
"""

import asyncio
import hmac
from typing import Protocol, cast

from gateway.sandbox import smpp_wire
from gateway.sandbox.smpp_outbox import Delivery


class Centre(Protocol):
    """What a session asks of its centre."""

    system_id: str
    password: str
    #: unanswered submits that a bind may have; 0: no limit
    window: int
    sessions: "set[Session]"

    @property
    def is_silent(self) -> bool: ...
    def may_bind(self) -> bool: ...
    def bound(self) -> None: ...
    def submitted(self, session: "Session", sequence: int, body: bytes) -> None: ...
    def answered(self, delivery: Delivery, status: int) -> None: ...
    def lost(self, session: "Session") -> None: ...


class Session(asyncio.Protocol):
    """Bound or not; answers what it is asked."""

    def __init__(self, centre: Centre) -> None:
        self._centre = centre
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._sequence = 0
        #: `transmitter`, `receiver`, `transceiver`; empty before the bind
        self.mode = ""
        #: submits not answered yet
        self.open = 0
        #: a submit will never be answered
        self.has_hung = False
        self.unanswered: dict[int, Delivery] = {}

    @property
    def receives(self) -> bool:
        return self.mode in ("receiver", "transceiver")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._centre.sessions.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.mode = ""
        self._centre.sessions.discard(self)
        self._centre.lost(self)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= smpp_wire.HEADER.size:
            length, command, status, sequence = smpp_wire.HEADER.unpack_from(self._buffer)
            if not smpp_wire.HEADER.size <= length <= smpp_wire.LONGEST:
                self._write(smpp_wire.NACK, "RINVCMDLEN", sequence)
                self._leave()
                return
            if len(self._buffer) < length:
                return
            body = self._buffer[smpp_wire.HEADER.size : length]
            self._buffer = self._buffer[length:]
            if not self._centre.is_silent:
                self._take(command, status, sequence, body)

    def deliver(self, delivery: Delivery) -> None:
        self._sequence += 1
        self.unanswered[self._sequence] = delivery
        self._write(smpp_wire.DELIVER, "ROK", self._sequence, delivery.body)

    def answer_submit(self, sequence: int, status: str, id_: str = "") -> None:
        """An error has no body."""
        self.open -= 1
        body = smpp_wire.c_string(id_) if status == "ROK" else b""
        self._write(smpp_wire.SUBMIT | smpp_wire.RESPONSE, status, sequence, body)

    def _take(self, command: int, status: int, sequence: int, body: bytes) -> None:
        if command in smpp_wire.BINDS:
            self._bind(command, sequence, body)
        elif command == smpp_wire.SUBMIT:
            self._submit(sequence, body)
        elif command in (smpp_wire.ENQUIRE, smpp_wire.UNBIND):
            self._write(command | smpp_wire.RESPONSE, "ROK", sequence)
            if command == smpp_wire.UNBIND:
                self._leave()
        elif command & smpp_wire.RESPONSE:
            if (delivery := self.unanswered.pop(sequence, None)) is not None:
                self._centre.answered(delivery, status)
        else:
            self._write(smpp_wire.NACK, "RINVCMDID", sequence)

    def _bind(self, command: int, sequence: int, body: bytes) -> None:
        status = self._judge_bind(body)
        answer = b""
        if status == "ROK":
            self.mode = smpp_wire.BINDS[command]
            answer = smpp_wire.c_string("sandbox") + b"\x02\x10\x00\x01\x34"
        self._write(command | smpp_wire.RESPONSE, status, sequence, answer)
        if status == "ROK":
            self._centre.bound()

    def _judge_bind(self, body: bytes) -> str:
        if self.mode:
            return "RALYBND"
        try:
            system_id, password = smpp_wire.read_bind(body)
        except smpp_wire.Refused as refused:
            return refused.status
        if system_id != self._centre.system_id:
            return "RINVSYSID"
        if not hmac.compare_digest(password.encode(), self._centre.password.encode()):
            return "RINVPASWD"
        return "ROK" if self._centre.may_bind() else "RBINDFAIL"

    def _submit(self, sequence: int, body: bytes) -> None:
        self.open += 1
        if self.mode not in ("transmitter", "transceiver"):
            self.answer_submit(sequence, "RINVBNDSTS")
        elif 0 < self._centre.window < self.open:
            self.answer_submit(sequence, "RTHROTTLED")
        else:
            self._centre.submitted(self, sequence, body)

    def _leave(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _write(self, command: int, status: str, sequence: int, body: bytes = b"") -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(smpp_wire.pdu(command, status, sequence, body))
