"""What follows from a result: every result in every situation that matters."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dispatch.policy import (
    Await,
    Done,
    GiveUp,
    Move,
    Retry,
    RetryRules,
    Situation,
    Stop,
    next_move,
    pass_on,
)
from gateway.dispatch.webhooks import SCHEDULE
from gateway.model import wire
from gateway.model.message import OnUnknown
from gateway.model.state import State

NOW = 1_000_000
RULES = RetryRules()

ACCEPTED = wire.Accepted()
REJECTED = wire.Rejected(code="x")
DEAD_ADDRESS = wire.Rejected(code="x", scope=wire.Scope.RECIPIENT, suppress=True)
NOT_HERE = wire.Rejected(code="x", scope=wire.Scope.PROVIDER)
UNKNOWN = wire.Unknown(code="x")


def deferred(cause: wire.Cause, retry_after: float | None = None) -> wire.Deferred:
    return wire.Deferred(code="x", cause=cause, retry_after=retry_after)


BUSY = deferred(wire.Cause.TEMPORARY)
NO_CONNECTION = deferred(wire.Cause.CONNECT)
FULL_MAILBOX = deferred(wire.Cause.RECIPIENT)
THROTTLED = deferred(wire.Cause.THROTTLED, 60.0)
CREDENTIAL = deferred(wire.Cause.CREDENTIAL)

ALONE: dict[str, Any] = {"providers": ("a",)}
BOTH_TRIED: dict[str, Any] = {"tried": frozenset({"b"})}
LAST: dict[str, Any] = {"attempts": 5}
LATE: dict[str, Any] = {"expires_ms": NOW + 100, **ALONE}


def move(result: wire.AttemptResult, chance: float = 0.5, **situation: Any) -> Move:
    usual: dict[str, Any] = {
        "until": State.SENT,
        "on_unknown": OnUnknown.RESEND,
        "attempts": 1,
        "provider": "a",
        "providers": ("a", "b"),
        "tried": frozenset(),
        "now_ms": NOW,
        "expires_ms": NOW + 86_400_000,
    }
    return next_move(result, Situation(**{**usual, **situation}), RULES, lambda: chance)


def in_half_a(second: float = 1.0, pin: str = "") -> Retry:
    return Retry(due_ms=NOW + int(second * 500), pin=pin)


@pytest.mark.parametrize(
    ("result", "situation", "expected"),
    [
        (ACCEPTED, {}, Done()),
        (ACCEPTED, {"until": State.DELIVERED}, Await()),
        (ACCEPTED, {"until": State.READ}, Await()),
        (REJECTED, {}, GiveUp()),
        (DEAD_ADDRESS, {}, GiveUp()),
        (NOT_HERE, {}, Retry(due_ms=NOW, pin="b")),
        (NOT_HERE, BOTH_TRIED, GiveUp()),
        (NOT_HERE, ALONE, GiveUp()),
        (BUSY, {}, Retry(due_ms=NOW, pin="b")),
        (BUSY, BOTH_TRIED, in_half_a()),
        (BUSY, ALONE, in_half_a()),
        (BUSY, {**ALONE, "attempts": 3}, in_half_a(16.0)),
        (BUSY, LAST, GiveUp()),
        (BUSY, LATE, GiveUp(late=True)),
        (NO_CONNECTION, {}, Retry(due_ms=NOW, pin="b")),
        (NO_CONNECTION, ALONE, in_half_a()),
        (NO_CONNECTION, LAST, GiveUp()),
        (FULL_MAILBOX, {}, in_half_a()),
        (FULL_MAILBOX, LAST, GiveUp()),
        (deferred(wire.Cause.RECIPIENT, 90.0), {}, in_half_a(180.0)),
        (deferred(wire.Cause.TEMPORARY, 90.0), ALONE, in_half_a(180.0)),
        (deferred(wire.Cause.TEMPORARY, 0.1), ALONE, in_half_a()),
        (deferred(wire.Cause.RECIPIENT, 9e9), {}, GiveUp(late=True)),
        (THROTTLED, {}, Retry(due_ms=NOW, counts=False)),
        (THROTTLED, LAST, Retry(due_ms=NOW, counts=False)),
        (CREDENTIAL, {}, Retry(due_ms=NOW, counts=False)),
        (CREDENTIAL, LAST, Retry(due_ms=NOW, counts=False)),
        (UNKNOWN, {}, in_half_a(pin="a")),
        (UNKNOWN, LAST, GiveUp()),
        (UNKNOWN, LATE, GiveUp(late=True)),
        (UNKNOWN, {"on_unknown": OnUnknown.FALLBACK}, GiveUp()),
        (UNKNOWN, {"on_unknown": OnUnknown.STOP}, Stop()),
        (UNKNOWN, {"on_unknown": OnUnknown.STOP, **LAST}, Stop()),
        (BUSY, {"on_unknown": OnUnknown.STOP, **ALONE}, in_half_a()),
    ],
)
def test_move(result: wire.AttemptResult, situation: dict[str, Any], expected: Move) -> None:
    assert move(result, **situation) == expected


@given(st.integers(1, 4), st.floats(0.0, 1.0, exclude_max=True))
def test_back_off_is_full_jitter_under_a_growing_ceiling(attempts: int, chance: float) -> None:
    retry = move(BUSY, chance, attempts=attempts, **ALONE)

    assert isinstance(retry, Retry)
    assert 0 <= retry.due_ms - NOW <= 1000 * 4 ** (attempts - 1)
    assert retry.due_ms - NOW == int(1000 * 4 ** (attempts - 1) * chance)


@given(st.integers(1, 99), st.floats(0.0, 1.0, exclude_max=True))
def test_back_off_has_a_cap(attempts: int, chance: float) -> None:
    rules = RetryRules(attempts=100, cap=7.0)
    situation = Situation(
        until=State.SENT,
        on_unknown=OnUnknown.RESEND,
        attempts=attempts,
        provider="a",
        providers=(),
        tried=frozenset(),
        now_ms=NOW,
        expires_ms=NOW + 10**9,
    )

    retry = next_move(BUSY, situation, rules, lambda: chance)

    assert isinstance(retry, Retry)
    assert retry.due_ms - NOW <= 7000


@pytest.mark.parametrize(("chance", "factor"), [(0.0, 0.9), (0.5, 1.0), (0.999999, 1.1)])
def test_schedule_takes_the_place_of_back_off(chance: float, factor: float) -> None:
    rules = RetryRules(schedule=SCHEDULE)
    waits = []
    for attempts in range(1, rules.limit + 1):
        situation = Situation(
            until=State.SENT,
            on_unknown=OnUnknown.RESEND,
            attempts=attempts,
            provider="webhook",
            providers=(),
            tried=frozenset(),
            now_ms=NOW,
            expires_ms=NOW + 10**9,
        )
        retry = next_move(BUSY, situation, rules, lambda: chance)
        waits.append(retry.due_ms - NOW if isinstance(retry, Retry) else None)

    assert waits[-1] is None
    assert waits[:-1] == pytest.approx([wait * factor * 1000 for wait in SCHEDULE], rel=1e-3)


def test_schedule_is_the_one_that_standard_webhooks_recommends() -> None:
    minute, hour = 60, 3600

    # immediately, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h
    expected = (5, 5 * minute, 30 * minute, *(n * hour for n in (2, 5, 10, 14, 20, 24)))
    assert expected == SCHEDULE


@pytest.mark.parametrize(
    ("accounts", "situation", "expected"),
    [
        (("b", "c"), {}, Retry(due_ms=NOW, pin="b", counts=False)),
        (("b", "c"), {"tried": {"b"}}, Retry(due_ms=NOW, pin="c", counts=False)),
        (("b",), {"tried": {"b"}}, Retry(due_ms=NOW + 500, pin="b", counts=False)),
        (("b",), {"tried": {"b"}, "expires_ms": NOW + 100}, GiveUp(late=True)),
        (("b",), {"attempts": 6}, GiveUp()),
        ((), {}, GiveUp()),
    ],
)
def test_part_goes_to_an_account_that_may_have_it(
    accounts: tuple[str, ...], situation: dict[str, Any], expected: Move
) -> None:
    usual: dict[str, Any] = {
        "until": State.SENT,
        "on_unknown": OnUnknown.RESEND,
        "attempts": 1,
        "provider": "a",
        "providers": ("a", "b", "c"),
        "tried": frozenset(),
        "now_ms": NOW,
        "expires_ms": NOW + 86_400_000,
    }

    assert pass_on(accounts, Situation(**{**usual, **situation}), RULES, lambda: 0.5) == expected
