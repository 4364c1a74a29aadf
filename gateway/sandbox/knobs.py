"""How a simulator behaves: knobs that may be turned while it runs.

Every share (`…_rate`) is between 0 and 1, every duration in seconds. Chance comes from one
generator with the knob `seed`, so a run with the same knobs and the same sends repeats itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.model import wire
from gateway.sandbox.magic import Fate

#: What the knob `error` may be.
ERRORS = frozenset(
    {Fate.TEMPORARY, Fate.THROTTLED, Fate.PERMANENT, Fate.RECIPIENT, Fate.CREDENTIAL}
)


@dataclass(slots=True, kw_only=True)
class Knobs:
    """Settings of one simulator; set a field to turn a knob. A wrong value raises ValueError."""

    #: time from the whole request to its answer, and up to this much more, evenly spread
    latency: float = 0.0
    jitter: float = 0.0
    #: share of sends that get `error` for an answer
    error_rate: float = 0.0
    error: Fate = Fate.TEMPORARY
    #: messages a second that are let through, in bursts of one second's worth; 0: no limit
    throttle: float = 0.0
    #: what throttling answers tell the client to wait; None: they do not say
    retry_after: float | None = None
    #: share of sends that are taken and whose connection is then dropped
    lost_answer_rate: float = 0.0
    #: take no message and answer nothing; those waiting are dropped when it is turned off
    hang: bool = False
    #: close the listening socket and every connection; the control port stays open
    refuse: bool = False
    #: last event that receipts report; None: no receipts
    receipt: wire.ReceiptEvent | None = wire.ReceiptEvent.DELIVERED
    #: from taking the message, so a receipt may overtake an answer that `latency` holds back
    receipt_delay: float = 0.0
    receipt_jitter: float = 0.0
    #: share of the messages taken that are reported on
    receipt_rate: float = 1.0
    #: how often each receipt is sent again though it was accepted
    receipt_repeats: int = 0
    #: wait before a receipt that was not accepted is tried again
    receipt_retry_delay: float = 1.0
    #: where receipts go, for services that are not told with each message
    receipt_url: str = ""
    #: error of the token endpoint, such as `invalid_grant`; empty: tokens are given
    token_error: str = ""
    seed: int = 0
    #: called with the name of a knob after it was turned
    watchers: list[Callable[[str], None]] = field(
        default_factory=list, init=False, repr=False, compare=False
    )

    def __setattr__(self, name: str, value: object) -> None:
        if name != "watchers":
            value = _checked(name, value)
        object.__setattr__(self, name, value)
        for watcher in getattr(self, "watchers", ()):
            watcher(name)

    def turn(self, changes: Mapping[str, object]) -> None:
        """Set the knobs that `changes` names, all or none."""
        checked = {name: _checked(name, value) for name, value in changes.items()}
        for name, value in checked.items():
            setattr(self, name, value)

    def to_json(self) -> dict[str, Any]:
        """Every knob by name, as JSON values that `turn` takes back."""
        return {name: getattr(self, name) for name in _CHECKS}


def _share(value: object) -> float:
    number = _seconds(value)
    if number > 1:
        raise ValueError("must be between 0 and 1")
    return number


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise ValueError("must be a number, not negative")
    return float(value)


def _maybe_seconds(value: object) -> float | None:
    return None if value is None else _seconds(value)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("must be a whole number, not negative")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return value


def _error(value: object) -> Fate:
    if _text(value) not in ERRORS:
        raise ValueError(f"must be one of {', '.join(sorted(ERRORS))}")
    return Fate(_text(value))


def _receipt(value: object) -> wire.ReceiptEvent | None:
    return None if value is None or value == "none" else wire.ReceiptEvent(_text(value))


_CHECKS: Mapping[str, Callable[[object], object]] = {
    "latency": _seconds,
    "jitter": _seconds,
    "error_rate": _share,
    "error": _error,
    "throttle": _seconds,
    "retry_after": _maybe_seconds,
    "lost_answer_rate": _share,
    "hang": _flag,
    "refuse": _flag,
    "receipt": _receipt,
    "receipt_delay": _seconds,
    "receipt_jitter": _seconds,
    "receipt_rate": _share,
    "receipt_repeats": _count,
    "receipt_retry_delay": _seconds,
    "receipt_url": _text,
    "token_error": _text,
    "seed": _count,
}


def _checked(name: str, value: object) -> object:
    check = _CHECKS.get(name)
    if check is None:
        raise ValueError(f"{name}: no such knob")
    try:
        return check(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
