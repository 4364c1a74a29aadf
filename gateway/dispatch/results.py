"""What adapters answer, as it can be stored: texts that are text, and the names that count."""

from collections.abc import Sequence

from gateway.model import wire
from gateway.model.state import Outcome
from gateway.model.values import replace

OUTCOMES: dict[type, Outcome] = {
    wire.Accepted: Outcome.ACCEPTED,
    wire.Rejected: Outcome.REJECTED,
    wire.Deferred: Outcome.DEFERRED,
    wire.Unknown: Outcome.UNKNOWN,
}

_TEXTS, _REASONS = ("provider_id", "detail"), ("code", "detail")


def sound(result: wire.AttemptResult) -> wire.AttemptResult:
    """The same with texts that can be stored: adapters make them of what providers say. Raises
    TypeError when it is no result at all."""
    if type(result) not in OUTCOMES:
        raise TypeError("an adapter's result is none")
    if not isinstance(result, wire.Accepted):
        return _repaired(result, _REASONS)
    if _is_text(result.provider_id) and not result.detail and not result.segments:
        return result  # nearly all are of this kind
    if not all(map(_is_text, result.segments)):
        result = replace(result, segments=tuple(map(_text, result.segments)))
    return _repaired(result, _TEXTS)


def names_of(taken: wire.Accepted) -> Sequence[str]:
    """By which its receipts may name it."""
    if taken.segments:
        return tuple(filter(None, dict.fromkeys(taken.segments)))
    return (taken.provider_id,) if taken.provider_id else ()


def segments_of(result: wire.AttemptResult) -> int:
    """How many receipts of success it takes."""
    return max(1, len(result.segments)) if type(result) is wire.Accepted else 1


def code_of(result: wire.AttemptResult) -> str:
    return "" if isinstance(result, wire.Accepted) else result.code[:64]


def _repaired(result: wire.AttemptResult, names: Sequence[str]) -> wire.AttemptResult:
    broken = {name: _text(text) for name in names if not _is_text(text := getattr(result, name))}
    return replace(result, **broken) if broken else result


def _text(value: object) -> str:
    return str(value).encode("utf-8", "replace").decode()


def _is_text(value: object) -> bool:
    if not isinstance(value, str):
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
