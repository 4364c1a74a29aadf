"""May it go now? Pure; asked when a message is accepted and again when it has been claimed,
because bans, permissions and time change while it waits.
"""

from collections.abc import Sequence
from typing import TypeAlias

from gateway.model.case import Claimed
from gateway.model.hold import Hold as Hold
from gateway.model.message import Mode
from gateway.model.state import SUCCESSES, State, succeeded
from gateway.model.values import Value


class Send(Value, kw_only=False):
    """Go."""


class Suppress(Value, kw_only=False):
    """Not to this address; the next step may be possible."""

    reason: str


class Defer(Value, kw_only=False):
    """Not yet; its time costs it no attempt, and later steps wait with it."""

    until_ms: int
    #: the rule that says so
    reason: str


class PassOn(Value, kw_only=False):
    """Not by this account; others of the lane may."""

    reason: str
    accounts: Sequence[str]


class Replace(Value):
    """A later message says it better."""

    by: str


class Expire(Value, kw_only=False):
    """Too late for the whole message."""


class Obsolete(Value, kw_only=False):
    """It is not needed any more: another step succeeded, or it was cancelled."""


Decision: TypeAlias = Send | Defer | Suppress | PassOn | Replace | Expire | Obsolete

_SEND = Send()


def decide(
    claimed: Claimed,
    *,
    now_ms: int,
    ban: str,
    others: Sequence[str] = (),
    hold: Hold | None = None,
    heir: str = "",
) -> Decision:
    """ban: why the account must not write to this address; empty when it may. others: accounts of
    the lane that may. hold: a rule that lets nothing pass now; None without one. heir: the
    message that has taken its place; '' without one."""
    case = claimed.case
    if now_ms >= case.expires_ms:
        return Expire()
    if case.version > 0 and _is_obsolete(claimed):
        return Obsolete()
    if heir:
        return Replace(by=heir)
    if ban and not case.internal:
        return PassOn(ban, others) if others else Suppress(ban)
    if hold is not None and not case.internal:
        return held(hold, expires_ms=case.expires_ms)
    return _SEND


def held(hold: Hold, *, expires_ms: int) -> Defer | Suppress:
    """Rather late than never, and rather never than after the message's time is over."""
    if hold.until_ms is None or hold.until_ms >= expires_ms:
        return Suppress(hold.rule)
    return Defer(hold.until_ms, hold.rule)


def _is_obsolete(claimed: Claimed) -> bool:
    case = claimed.case
    if case.ending in (State.CANCELLED, State.SUPPRESSED) or case.message.erased:
        return True
    if case.message.mode is Mode.ALL or case.state not in SUCCESSES:
        return False
    return any(
        succeeded(
            [one for one in case.attempts if _is_of(one.redrive, one.step, claimed, step)],
            [one for one in case.receipts if _is_of(one.redrive, one.step, claimed, step)],
            until=plan.until,
        )
        for step, plan in enumerate(case.message.chain)
        if step != claimed.step
    )


def _is_of(redrive: int, step_of: int, claimed: Claimed, step: int) -> bool:
    return redrive == claimed.case.redrive and step_of == step
