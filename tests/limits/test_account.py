"""What one account may be given, by tokens, slots, breaker and pauses."""

from collections.abc import Mapping

import pytest

from gateway.clock import Clock
from gateway.limits.account import Account, AccountLimits, Tally
from gateway.limits.breaker import BreakerState


class ManualClock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def now_ms(self) -> int:
        return int(self.now * 1000)

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def time() -> ManualClock:
    return ManualClock()


def account_of(
    clock: Clock,
    *,
    rate: float | None = None,
    burst: float = 1.0,
    concurrency: int = 32,
    reserve: Mapping[int, float] | None = None,
    log: list[BreakerState] | None = None,
    batch: int = 1,
    token_per_call: bool = False,
) -> Account:
    limits = AccountLimits(
        rate=rate,
        burst=burst,
        concurrency=concurrency,
        reserve=dict(reserve or {}),
        batch=batch,
        token_per_call=token_per_call,
    )
    account = Account(limits, clock, (log if log is not None else []).append)
    account.note_plan(batch, calls=1)  # as if rows had shared calls of late
    return account


def start(account: Account, calls: int) -> None:
    for _ in range(calls):
        account.start()


def end(account: Account, calls: int) -> None:
    for _ in range(calls):
        account.end(1)


def open_breaker(account: Account) -> None:
    for _ in range(account.limits.breaker.connects):
        account.fail(connect=True)


def test_without_a_rate_the_slots_are_the_room(time: ManualClock) -> None:
    account = account_of(time, concurrency=4)

    start(account, 3)

    assert account.room(waiting=0) == (1, 1)


def test_started_rows_take_one_slot_each(time: ManualClock) -> None:
    account = account_of(time, concurrency=4)
    start(account, 2)

    assert account.room(waiting=0, started=2) == (2, 2)
    assert account.room(waiting=1, started=2) == (1, 1)


def test_without_a_rate_some_rows_are_held_ahead_of_the_throughput(time: ManualClock) -> None:
    account = account_of(time, concurrency=4)
    start(account, 54)
    end(account, 50)

    assert account.room(waiting=0) == (5, 0)
    assert account.room(waiting=2) == (3, 0)


def test_room_is_the_tokens_in_hand_and_those_of_the_next_tenth_of_a_second(
    time: ManualClock,
) -> None:
    account = account_of(time, rate=100.0, burst=20.0)

    empty = account.room(waiting=0)
    time.now += 1.0

    assert empty == (10, 0)
    assert account.room(waiting=0) == (30, 20)
    assert account.room(waiting=25) == (5, 0)


def test_room_does_not_exceed_what_can_be_in_flight(time: ManualClock) -> None:
    account = account_of(time, rate=100.0, burst=20.0, concurrency=5)
    time.now += 1.0
    start(account, 3)

    _, startable = account.room(waiting=0)

    assert startable == 2


def test_slow_rate_makes_room_shortly_before_each_token(time: ManualClock) -> None:
    account = account_of(time, rate=1.0)

    assert account.room(waiting=0) == (0, 0)
    time.now += account.next_room() + 1e-9
    assert account.room(waiting=0) == (1, 0)
    assert account.next_room() > 0.0


def test_room_for_several_comes_when_it_is_said_to(time: ManualClock) -> None:
    account = account_of(time, rate=100.0, burst=20.0)

    time.now += account.next_room(12, waiting=3, started=4) - 1e-6
    shortly_before = account.room(waiting=3, started=4)[0]
    time.now += 2e-6

    assert shortly_before == 11
    assert account.room(waiting=3, started=4)[0] == 12


def test_full_account_can_start_nothing_by_itself(time: ManualClock) -> None:
    account = account_of(time, rate=100.0, burst=20.0, concurrency=5)
    start(account, 4)

    assert account.next_start(waiting=0, started=0) > 0.0
    assert account.next_start(waiting=1, started=0) == 0.0


def test_nothing_has_room_during_a_pause(time: ManualClock) -> None:
    account = account_of(time, rate=100.0, burst=20.0)
    time.now += 1.0

    account.pause(3.0)

    assert account.room(waiting=0) == (0, 0)
    assert account.paused_for() == account.next_room() == 3.0
    time.now += 3.0
    assert account.room(waiting=0)[0] > 0


def test_shorter_pause_does_not_end_a_longer_one(time: ManualClock) -> None:
    account = account_of(time)

    account.pause(10.0)
    account.pause(1.0)

    assert account.paused_for() == 10.0


def test_open_breaker_has_room_for_one_probe_when_it_is_due(time: ManualClock) -> None:
    log: list[BreakerState] = []
    account = account_of(time, log=log)
    open_breaker(account)

    assert account.room(waiting=0) == (0, 0)
    time.now += account.paused_for()
    assert account.room(waiting=0) == (1, 1)
    assert account.room(waiting=1) == (0, 0)
    start(account, 1)
    assert account.room(waiting=0) == (0, 0)
    end(account, 1)
    account.succeed()
    assert account.room(waiting=0)[0] > 1
    assert log == [BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED]


def test_probe_waits_until_nothing_else_is_in_flight(time: ManualClock) -> None:
    account = account_of(time)
    start(account, 1)
    open_breaker(account)

    time.now += account.paused_for()

    assert account.room(waiting=0) == (0, 0)
    end(account, 1)
    assert account.room(waiting=0) == (1, 1)


def test_probe_that_came_to_nothing_is_repeated(time: ManualClock) -> None:
    account = account_of(time)
    open_breaker(account)
    time.now += account.paused_for()
    start(account, 1)
    end(account, 1)

    account.abandon()

    assert account.paused_for() == account.limits.breaker.first_probe


def test_throttling_halves_the_rate_and_pauses(time: ManualClock) -> None:
    account = account_of(time, rate=100.0, burst=20.0)
    assert account.limiter is not None

    account.throttle(7.0)

    assert account.limiter.bucket.factor == 0.5
    assert account.paused_for() == 7.0


def test_answers_of_one_wave_throttle_once(time: ManualClock) -> None:
    account = account_of(time, rate=100.0, burst=20.0)
    assert account.limiter is not None

    for _ in range(32):
        account.throttle(None)

    assert account.limiter.bucket.factor == 0.5
    assert account.paused_for() == 1.0


def test_longest_time_asked_for_in_a_wave_counts(time: ManualClock) -> None:
    account = account_of(time)

    for seconds in (None, 5.0, 30.0, 2.0):
        account.throttle(seconds)

    assert account.paused_for() == 30.0


def test_pauses_grow_while_throttling_lasts(time: ManualClock) -> None:
    account, pauses = account_of(time, rate=100.0), []
    assert account.limiter is not None

    for _ in range(8):
        account.throttle(None)
        pauses.append(account.paused_for())
        time.now += pauses[-1]

    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    assert account.limiter.bucket.factor == 0.1


def test_rate_comes_back_step_by_step_with_success(time: ManualClock) -> None:
    account = account_of(time, rate=100.0)
    assert account.limiter is not None
    account.throttle(1.0)

    time.now += 2.0
    account.succeed()
    later = account.limiter.bucket.factor
    time.now += 100.0
    account.succeed()

    assert later == pytest.approx(0.6)
    assert account.limiter.bucket.factor == 1.0


def test_tally_forgets_after_five_minutes() -> None:
    tally = Tally()

    for now in (0.0, 30.0, 61.0, 290.0):
        tally.add("accepted", now)

    assert tally.counts(299.0)["accepted"] == 4
    assert tally.counts(301.0)["accepted"] == 2
    assert tally.counts(1000.0)["accepted"] == 0


def test_slots_have_room_for_all_that_their_calls_can_carry(time: ManualClock) -> None:
    account = account_of(time, concurrency=4, batch=100)

    start(account, 1)

    assert account.room(waiting=50) == (350, 250)


def test_calls_that_can_carry_much_do_not_hold_everything(time: ManualClock) -> None:
    account = account_of(time, concurrency=64, batch=1_000)

    assert account.room(waiting=500) == (2_500, 1_500)


def test_token_for_a_call_has_room_for_all_that_it_can_carry(time: ManualClock) -> None:
    account = account_of(time, rate=10.0, burst=10.0, batch=100, token_per_call=True)
    time.now += 0.5

    assert account.room(waiting=20, started=30) == (550, 450)
    assert account.next_start(waiting=550, started=0) == pytest.approx(0.1)


def test_room_shrinks_when_rows_do_not_share_calls_and_grows_when_they_do(
    time: ManualClock,
) -> None:
    account = account_of(time, concurrency=2, batch=100)

    for _ in range(20):
        account.note_plan(rows=100, calls=100)
    apart = account.room(waiting=0)
    for rows in (4, 8, 16, 32, 64):
        account.note_plan(rows, calls=1)

    assert apart == (6, 4)
    assert account.room(waiting=0) == (300, 200)


def test_token_for_a_message_has_room_for_one_whatever_a_call_can_carry(time: ManualClock) -> None:
    account = account_of(time, rate=10.0, burst=10.0, batch=100)
    time.now += 0.5

    assert account.room(waiting=0) == (6, 5)
