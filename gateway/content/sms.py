"""How many SMS segments a text takes, before it is sent, and what is in each of them.

3GPP TS 23.038 §6.2.1 (alphabet) and TS 23.040 §9.2.3.24.1 (concatenation): a message carries 140
octets, each segment of a long one loses six to the header. National shift tables are not used by
any provider here. Takes the text as it stands: `normalise` it first, as rendering does; what is
put around it (`sms_wording`) counts, too.
"""

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum


class Alphabet(StrEnum):
    GSM7 = "gsm7"
    UCS2 = "ucs2"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsText:
    """What a text comes to on the air."""

    alphabet: Alphabet
    #: code points, as people count characters, more or less
    characters: int
    #: septets in GSM7, 16-bit code units in UCS2
    units: int
    #: units in each segment, in order; never empty
    parts: tuple[int, ...]


#: TS 23.038 §6.2.1, without ESC.
_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
#: TS 23.038 §6.2.1.1: sent as ESC and a second septet.
_EXTENSION = "\f^{}\\[~]|€"

_ALL_BASIC = re.compile(f"[{re.escape(_BASIC)}]*")
_ALL_GSM = re.compile(f"[{re.escape(_BASIC + _EXTENSION)}]*")
_EXTENDED = re.compile(f"[{re.escape(_EXTENSION)}]")
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")

#: Units of a lone message, and of each segment of a long one: 140 and 134 octets.
_LIMITS = {Alphabet.GSM7: (160, 153), Alphabet.UCS2: (70, 67)}


def normalise(text: str) -> str:
    """NFC: a letter and its combining accent would force UCS-2 where one character does not."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def measure(text: str, *, china: bool = False) -> SmsText:
    """Alphabet, units and segments.

    china: as mainland carriers count, 70 and 67 characters whatever the alphabet. Pass the whole
    text, with signature and opt-out words.
    """
    alphabet, wide = _read(text, china=china)
    units = len(text) if wide is None else len(text) + len(wide.findall(text))
    single, limit = _LIMITS[alphabet]
    parts = (units,) if units <= single else _sizes(text, wide, units, limit)
    return SmsText(alphabet=alphabet, characters=len(text), units=units, parts=parts)


def split(text: str, *, china: bool = False) -> tuple[str, ...]:
    """The text of each segment, in order; never empty. Their units are those of `measure`."""
    alphabet, wide = _read(text, china=china)
    single, limit = _LIMITS[alphabet]
    if len(text) <= single and (wide is None or len(text) + len(wide.findall(text)) <= single):
        return (text,)
    if wide is None:
        return tuple(text[at : at + limit] for at in range(0, len(text), limit))
    ends = [end for end, _ in _fill(text, wide, limit)]
    return tuple(text[start:end] for start, end in zip([0, *ends], ends, strict=False))


def is_gsm(text: str) -> bool:
    """Whether the GSM alphabet has all of its characters."""
    return _ALL_GSM.fullmatch(text) is not None


def count(text: str, *, china: bool = False) -> int:
    """Segments alone, which most texts show at a glance: 70 characters of ASCII are one segment in
    any alphabet."""
    if len(text) <= _LIMITS[Alphabet.UCS2][0] and text.isascii():
        return 1
    return len(measure(text, china=china).parts)


def _read(text: str, *, china: bool) -> tuple[Alphabet, re.Pattern[str] | None]:
    """The alphabet, and what matches the characters that take two units; None when it has none."""
    if not china and _ALL_BASIC.fullmatch(text):
        return Alphabet.GSM7, None
    if not china and _ALL_GSM.fullmatch(text):
        return Alphabet.GSM7, _EXTENDED
    return Alphabet.UCS2, _ASTRAL if _ASTRAL.search(text) else None


def _sizes(text: str, wide: re.Pattern[str] | None, units: int, limit: int) -> tuple[int, ...]:
    if wide is None:
        full, rest = divmod(units, limit)
        return (limit,) * full + ((rest,) if rest else ())
    return tuple(used for _, used in _fill(text, wide, limit))


def _fill(text: str, wide: re.Pattern[str], limit: int) -> list[tuple[int, int]]:
    """Where each segment ends in the text, and its units: a character of two is never cut, so
    that one may end a unit short."""
    filled: list[tuple[int, int]] = []
    used = 0
    for at, character in enumerate(text):
        size = 2 if wide.match(character) else 1
        if used + size > limit:
            filled.append((at, used))
            used = 0
        used += size
    return [*filled, (len(text), used)]
