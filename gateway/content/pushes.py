"""What a push says beside its texts: one vocabulary, whichever service carries it.

| Field | Value |
|---|---|
| `title`, `text` | what is shown; without either the push is for the app alone |
| `image` | URL of a picture |
| `link` | what a tap opens: `https://…`, or the app's own scheme |
| `badge` | number on the app's icon, 0 clears it |
| `sound` | name of a sound |
| `collapse_key` | takes the place of an earlier push with the same |
| `ttl` | longest time that it is kept for a device that is off, such as `1h`; the message's own
  time bounds it too |
| `data` | values for the app |
| `cut` | which texts may be shortened, with an ellipsis, where all of it is too long: `["text"]` |

A service that has no use for a field leaves it out. What one service alone knows stands in the
table of its kind (`apns = { push_type = "voip" }`). Templates make texts: `badge = "{{ unread }}"`
is a number all the same, and a field that comes out empty is absent.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.model import wire
from gateway.model.values import replace

#: Texts that may be cut, in the order in which they are.
CUTTABLE: Final = ("text", "title")
#: Characters of the texts, as the API takes them.
_LENGTHS: Final[Mapping[str, int]] = {
    "image": 2048,
    "link": 2048,
    "sound": 200,
    "collapse_key": 64,
}
#: Of a badge, and seconds of a time to live: services keep pushes for four weeks at the most.
MAX_BADGE, MAX_TTL = 99_999, 30 * 86_400
#: Apple's own fields, which once stood here and now belong into its kind's table.
_APPLES: Final = frozenset({"aps", "push_type"})
FIELDS: Final = frozenset({*_LENGTHS, "badge", "ttl", "data", "cut"}) | _APPLES
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, None: 1.0}
_ELLIPSIS: Final = "…"
#: What belongs to the character before it: joiners, variation selectors, skin tones.
_JOINER = "\u200d"
_MODIFIERS = re.compile("[\u200d\ufe00-\ufe0f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]")


class PushFault(ValueError):
    """`field` cannot be sent; the reason holds no value."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


def check(extra: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same with every value of its type and without empty ones. Raises PushFault.

    `badge` becomes a number, `ttl` seconds. Names that are not ours pass as they are.
    """
    checked = {}
    for name, value in extra.items():
        if value is None or value == "":
            continue
        reader = _READERS.get(name)
        checked[name] = value if reader is None else reader(name, value)
    return checked


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise PushFault(name, "not a text")
    if len(value) > _LENGTHS[name]:
        raise PushFault(name, f"longer than {_LENGTHS[name]} characters")
    if not value.isprintable():
        raise PushFault(name, "not one line of printable characters")
    return value


def _badge(name: str, value: Any) -> int:
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdecimal():
        value = int(value.strip()[:9])
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_BADGE:
        raise PushFault(name, f"not a number from 0 to {MAX_BADGE}")
    return value


def _ttl(name: str, value: Any) -> float:
    if isinstance(value, str) and (found := _DURATION.fullmatch(value.strip())):
        value = float(found[1]) * _SECONDS[found[2]]
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= MAX_TTL:
        raise PushFault(name, "not a duration of up to 30 days, such as 90s, 15m or 1h")
    return float(value)


def _data(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise PushFault(name, "not values by name")
    return value


def _cut(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(one in CUTTABLE for one in value):
        raise PushFault(name, f"not a list of {' and '.join(CUTTABLE)}")
    return tuple(one for one in CUTTABLE if one in value)


_READERS: Final[Mapping[str, Callable[[str, Any], Any]]] = {
    **dict.fromkeys(_LENGTHS, _text),
    "badge": _badge,
    "ttl": _ttl,
    "data": _data,
    "cut": _cut,
}


def fit(content: wire.Content, size: Callable[[wire.Content], int], most: int) -> wire.Content:
    """The content, its texts cut as far as it allows until `size` of it is `most` or less.

    It comes back too long where that is not allowed or not enough. size: grows with the texts.
    """
    allowed = content.extra.get("cut", ())
    for name in CUTTABLE:
        if name not in allowed or size(content) <= most:
            continue
        content = _shorten(content, name, lambda one: size(one) <= most)
    return content


def _shorten(
    content: wire.Content, name: str, fits: Callable[[wire.Content], bool]
) -> wire.Content:
    """With the longest beginning of a text that fits; with none of it but the ellipsis, if none."""
    text: str = getattr(content, name)
    least, most = 0, len(text)
    while least < most:  # bisection: the length of a beginning that is known to fit
        middle = (least + most + 1) // 2
        if fits(replace(content, **{name: text[:middle] + _ELLIPSIS})):
            least = middle
        else:
            most = middle - 1
    return replace(content, **{name: _whole(text, least) + _ELLIPSIS if text else text})


def _whole(text: str, end: int) -> str:
    """The beginning up to `end` or a little before, where no character as people see it is cut."""
    while 0 < end < len(text) and _is_inside(text, end):
        end -= 1
    return text[:end].rstrip()


def _is_inside(text: str, at: int) -> bool:
    after, before = text[at], text[at - 1]
    if unicodedata.combining(after) or _MODIFIERS.match(after) or before == _JOINER:
        return True
    if not (_is_flag(after) and _is_flag(before)):
        return False
    start = at
    while start and _is_flag(text[start - 1]):
        start -= 1
    return (at - start) % 2 == 1


def _is_flag(character: str) -> bool:
    """Half of a flag (regional indicators)."""
    return "\U0001f1e6" <= character <= "\U0001f1ff"
