"""The octets of SMS text: GSM 7 bit and UCS-2, and where a long text may be cut.

3GPP TS 23.038 §6.1.2.1 (packing), §6.2.1 (alphabet); TS 23.040 §9.2.3.24.1 (concatenation).
National shift tables are not used by any provider here.
"""

import re
from collections.abc import Mapping

#: TS 23.038 §6.2.1, by position; ESC is at 1B.
BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)

#: TS 23.038 §6.2.1.1: the second septet after ESC.
EXTENSION: Mapping[str, int] = {
    "\f": 0x0A,
    "^": 0x14,
    "{": 0x28,
    "}": 0x29,
    "\\": 0x2F,
    "[": 0x3C,
    "~": 0x3D,
    "]": 0x3E,
    "|": 0x40,
    "€": 0x65,
}

_ESC = 0x1B

#: Septets as Latin-1 characters, so that `str.translate` does the work.
_ENCODED = {
    ord(character): chr(septet) for septet, character in enumerate(BASIC) if septet != _ESC
} | {ord(character): f"\x1b{chr(septet)}" for character, septet in EXTENSION.items()}

_EXTENDED = {septet: character for character, septet in EXTENSION.items()}


#: What most texts are made of: septets that are their ASCII codes.
_PLAIN = re.compile(r"[A-Za-z0-9 !\"#%&'()*+,\-./:;<=>?\n\r]*")


def encode(text: str) -> bytes:
    """One septet an octet. The text must be within the alphabet, see `sms.measure`."""
    if _PLAIN.fullmatch(text):
        return text.encode("ascii")
    return text.translate(_ENCODED).encode("latin-1", "replace")


def decode(septets: bytes) -> str:
    """The inverse for any octets: an unknown second septet stands for itself (TS 23.038 §6.2.1.1),
    an octet that is no septet for a replacement character."""
    characters: list[str] = []
    escaped = False
    for septet in septets:
        if septet == _ESC and not escaped:
            escaped = True
            continue
        plain = BASIC[septet] if septet < len(BASIC) and septet != _ESC else "\ufffd"
        characters.append(_EXTENDED.get(septet, plain) if escaped else plain)
        escaped = False
    return "".join(characters)


def pack(septets: bytes, *, after: int = 0) -> bytes:
    """Eight septets in seven octets. after: octets of a header before them, which are not given:
    septets begin at the next multiple of seven bits."""
    bits = -after * 8 % 7
    value = 0
    for septet in septets:
        value |= septet << bits
        bits += 7
    return value.to_bytes((bits + 7) // 8, "little")


def cut(text: str, limit: int, *, is_gsm: bool) -> list[str]:
    """Segments of at most `limit` septets or 16-bit units, none ending inside a character."""
    segments: list[str] = []
    start = used = 0
    for place, character in enumerate(text):
        size = 2 if (character in EXTENSION if is_gsm else character > "\uffff") else 1
        if used + size > limit:
            segments.append(text[start:place])
            start, used = place, 0
        used += size
    return [*segments, text[start:]]
