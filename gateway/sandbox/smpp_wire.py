"""SMPP 3.4 as a message centre reads and writes it, and what it refuses in a submit_sm.

SMPP Protocol Specification v3.4: PDUs §4, parameters §5. Made for the sandbox alone.
"""

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

HEADER = struct.Struct(">IIII")
LONGEST = 65_536

RESPONSE = 0x8000_0000
BINDS: Mapping[int, str] = {0x01: "receiver", 0x02: "transmitter", 0x09: "transceiver"}
SUBMIT, DELIVER, UNBIND, ENQUIRE = 0x04, 0x05, 0x06, 0x15
NACK = 0x8000_0000

#: §5.1.3, by the names there.
STATUS: Mapping[str, int] = {
    "ROK": 0x00,
    "RINVMSGLEN": 0x01,
    "RINVCMDLEN": 0x02,
    "RINVCMDID": 0x03,
    "RINVBNDSTS": 0x04,
    "RALYBND": 0x05,
    "RSYSERR": 0x08,
    "RINVSRCADR": 0x0A,
    "RINVDSTADR": 0x0B,
    "RBINDFAIL": 0x0D,
    "RINVPASWD": 0x0E,
    "RINVSYSID": 0x0F,
    "RMSGQFUL": 0x14,
    "RINVESMCLASS": 0x43,
    "RINVDSTTON": 0x50,
    "RTHROTTLED": 0x58,
    "RINVEXPIRY": 0x62,
    "RX_R_APPN": 0x66,
    "RINVOPTPARSTREAM": 0xC0,
    "RMISSINGOPTPARAM": 0xC3,
    "RPROHIBITED": 0x101,
    "RINVDCS": 0x104,
}

PAYLOAD, RECEIPTED_ID, STATE = 0x0424, 0x001E, 0x0427
SAR = (0x020C, 0x020E, 0x020F)

#: TS 23.038 §6.2.1 in the order of the septets.
_SEPTETS = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_AFTER_ESC = {
    "\n": "\f",
    "Λ": "^",
    "(": "{",
    ")": "}",
    "/": "\\",
    "<": "[",
    "=": "~",
    ">": "]",
    "¡": "|",
    "e": "€",
}


class Refused(Exception):
    """A PDU that cannot be taken; the name of the status to answer it with."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What a client asked to be sent."""

    source: str
    source_ton: int
    to: str
    to_ton: int
    esm_class: int
    validity: str
    registered_delivery: int
    data_coding: int
    message: bytes
    parameters: Mapping[int, bytes] = field(default_factory=dict)

    @property
    def _has_header(self) -> bool:
        return bool(self.esm_class & 0x40 and self.message)

    @property
    def part(self) -> tuple[int, int, int]:
        """(reference, total, number); (0, 1, 1) for a whole message."""
        head = self.message[: 1 + self.message[0]] if self._has_header else b""
        if head[:3] == b"\x05\x00\x03" and len(head) == 6:
            return head[3], head[4], head[5]
        if head[:3] == b"\x06\x08\x04" and len(head) == 7:
            return int.from_bytes(head[3:5], "big"), head[5], head[6]
        if SAR[0] in self.parameters:
            reference, total, number = (
                int.from_bytes(self.parameters.get(tag, b""), "big") for tag in SAR
            )
            return reference, total, number
        return 0, 1, 1

    @property
    def text(self) -> str:
        """Without the header; binary in hexadecimal."""
        octets = self.message[1 + self.message[0] :] if self._has_header else self.message
        if self.data_coding == 0:
            return _from_septets(octets)
        codec = {1: "ascii", 3: "latin-1", 8: "utf-16-be"}.get(self.data_coding)
        return octets.hex() if codec is None else octets.decode(codec, "replace")


def pdu(command: int, status: str, sequence: int, body: bytes = b"") -> bytes:
    return HEADER.pack(HEADER.size + len(body), command, STATUS[status], sequence) + body


def c_string(text: str) -> bytes:
    return text.encode("ascii") + b"\0"


def read_bind(body: bytes) -> tuple[str, str]:
    """(system_id, password). Raises Refused."""
    walk = _Walk(body)
    system_id, password = walk.text(16), walk.text(9)
    walk.text(13)
    walk.take(3)
    walk.text(41)
    return system_id, password


def read_submit(body: bytes) -> Submitted:
    """Raises Refused for what cannot be read, not for what makes no sense."""
    walk = _Walk(body)
    walk.text(6)
    source_ton, _ = walk.take(2)
    source = walk.text(21)
    to_ton, _ = walk.take(2)
    to = walk.text(21)
    esm_class, _, _ = walk.take(3)
    walk.text(17)
    validity = walk.text(17)
    registered, _, data_coding, _, length = walk.take(5)
    message = walk.take(length)
    parameters = walk.parameters()
    if message and PAYLOAD in parameters:
        raise Refused("RINVOPTPARSTREAM")
    return Submitted(
        source=source,
        source_ton=source_ton,
        to=to,
        to_ton=to_ton,
        esm_class=esm_class,
        validity=validity,
        registered_delivery=registered,
        data_coding=data_coding,
        message=message or parameters.get(PAYLOAD, b""),
        parameters=parameters,
    )


def fault(submitted: Submitted) -> str:
    """The status of the first thing wrong with it; empty when nothing is."""
    for status, holds in _RULES.items():
        if not holds(submitted):
            return status
    return ""


def deliver_body(
    *, source: str, to: str, esm_class: int, message: bytes, parameters: Mapping[int, bytes]
) -> bytes:
    """Both addresses international numbers, or the second a name."""
    ton = b"\x01\x01" if to.isdecimal() else b"\x05\x00"
    return (
        b"\0\x01\x01"
        + c_string(source)
        + ton
        + c_string(to)
        + bytes((esm_class, 0, 0, 0, 0, 0, 0, 0, 0, len(message)))
        + message
        + b"".join(struct.pack(">HH", tag, len(one)) + one for tag, one in parameters.items())
    )


class _Walk:
    """Takes fields off a body."""

    def __init__(self, body: bytes) -> None:
        self._rest = body

    def take(self, count: int) -> bytes:
        taken, self._rest = self._rest[:count], self._rest[count:]
        if len(taken) < count:
            raise Refused("RINVCMDLEN")
        return taken

    def text(self, most: int) -> str:
        """A C-octet string of at most so many octets, its NUL counted."""
        text, nul, rest = self._rest.partition(b"\0")
        if not nul or len(text) >= most:
            raise Refused("RINVCMDLEN")
        self._rest = rest
        return text.decode("ascii", "replace")

    def parameters(self) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        while self._rest:
            tag, length = struct.unpack(">HH", self.take(4))
            found[tag] = self.take(length)
        return found


def _from_septets(octets: bytes) -> str:
    plain = "".join(_SEPTETS[one] if one < 128 else "\ufffd" for one in octets)
    return re.sub("\x1b(.)", lambda match: _AFTER_ESC.get(match[1], match[1]), plain, flags=re.S)


def _is_short_enough(one: Submitted) -> bool:
    """140 octets on the air: 160 septets, which come unpacked, or 140 octets of anything else."""
    if PAYLOAD in one.parameters:
        return True
    head = 1 + one.message[0] if one.esm_class & 0x40 and one.message else 0
    if one.data_coding != 0:
        return len(one.message) <= 140
    return (len(one.message) - head) * 7 <= (140 - head) * 8


def _is_part(one: Submitted) -> bool:
    """A part that says so is one of as many as it says."""
    if one.esm_class & 0x40 and (not one.message or one.message[0] >= len(one.message)):
        return False
    _, total, number = one.part
    return 1 <= number <= total


_RULES = {
    "RINVSRCADR": lambda one: len(one.source) <= (11 if one.source_ton == 5 else 20),
    "RINVDSTTON": lambda one: one.to_ton in range(7),
    "RINVDSTADR": lambda one: re.fullmatch(r"\d{3,15}", one.to),
    "RINVESMCLASS": _is_part,
    "RINVEXPIRY": lambda one: re.fullmatch(r"|\d{15}R|\d{13}(?:[0-3]\d|4[0-8])[+-]", one.validity),
    "RINVDCS": lambda one: one.data_coding in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14),
    "RINVMSGLEN": _is_short_enough,
}
