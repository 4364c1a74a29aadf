"""The token bucket: tokens may be lost, never minted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.bucket import TokenBucket

#: Floating-point slack, far below one token.
SLACK = 1e-6

STEPS = st.lists(st.tuples(st.floats(0.0, 3.0), st.floats(0.1, 5.0)), max_size=60)


def grants(
    bucket: TokenBucket, steps: list[tuple[float, float]], largest: float
) -> list[tuple[float, float]]:
    """(time, tokens) of what was granted, asking after each pause."""
    now, granted = 0.0, []
    for pause, tokens in steps:
        now += pause
        asked = min(tokens, largest)
        if bucket.take(asked, now) == 0.0:
            granted.append((now, asked))
    return granted


def most_above_rate(granted: list[tuple[float, float]], rate: float) -> float:
    """The most by which any window's grants exceed rate·w."""
    return max(
        (
            sum(tokens for at, tokens in granted[first : last + 1])
            - rate * (granted[last][0] - granted[first][0])
            for first in range(len(granted))
            for last in range(first, len(granted))
        ),
        default=0.0,
    )


@given(st.floats(0.1, 100.0), st.floats(1.0, 20.0), STEPS)
def test_no_window_gets_more_than_burst_and_rate(
    rate: float, burst: float, steps: list[tuple[float, float]]
) -> None:
    bucket = TokenBucket(rate=rate, burst=burst, now=0.0)

    granted = grants(bucket, steps, largest=burst)

    assert most_above_rate(granted, rate) <= burst + SLACK


@given(st.floats(0.1, 10.0), STEPS)
def test_large_messages_cost_their_tokens_all_the_same(
    rate: float, steps: list[tuple[float, float]]
) -> None:
    bucket = TokenBucket(rate=rate, burst=1.0, now=0.0)

    granted = grants(bucket, steps, largest=5.0)

    largest = max([1.0, *(tokens for _, tokens in granted)])
    assert most_above_rate(granted, rate) <= largest + SLACK


@given(st.floats(0.1, 100.0), st.floats(1.0, 20.0), st.floats(0.1, 20.0), st.floats(0.0, 5.0))
def test_wait_that_it_names_is_long_enough(
    rate: float, burst: float, tokens: float, pause: float
) -> None:
    bucket = TokenBucket(rate=rate, burst=burst, now=0.0)
    bucket.take(burst, pause)

    wait = bucket.take(tokens, pause)

    assert wait == 0.0 or bucket.take(tokens, pause + wait) == 0.0


def test_bucket_starts_empty_and_fills_up_to_its_burst() -> None:
    bucket = TokenBucket(rate=10.0, burst=5.0, now=100.0)

    assert bucket.take(1.0, 100.0) == pytest.approx(0.1)
    assert bucket.level(100.3) == pytest.approx(3.0)
    assert bucket.level(999.0) == 5.0


def test_message_of_more_parts_than_the_bucket_holds_leaves_a_debt() -> None:
    bucket = TokenBucket(rate=1.0, burst=2.0, now=0.0)

    assert bucket.take(5.0, 1.0) == pytest.approx(1.0)
    assert bucket.take(5.0, 2.0) == 0.0
    assert bucket.level(2.0) == pytest.approx(-3.0)
    assert bucket.take(1.0, 5.0) == pytest.approx(1.0)


def test_floor_is_left_for_others() -> None:
    bucket = TokenBucket(rate=10.0, burst=10.0, now=0.0)

    assert bucket.take(8.0, 1.0, floor=2.0) == 0.0
    assert bucket.take(1.0, 1.0, floor=2.0) == pytest.approx(0.1)
    assert bucket.take(2.0, 1.0) == 0.0


def test_floor_cannot_lock_anyone_out_of_a_small_bucket() -> None:
    bucket = TokenBucket(rate=1.0, burst=1.0, now=0.0)

    assert bucket.take(1.0, 1.0, floor=0.5) == 0.0


def test_lower_factor_slows_from_now_on() -> None:
    bucket = TokenBucket(rate=10.0, burst=10.0, now=0.0)

    bucket.set_factor(0.5, 0.4)

    assert bucket.level(0.4) == pytest.approx(4.0)
    assert bucket.level(0.6) == pytest.approx(5.0)
    assert bucket.take(6.0, 0.6) == pytest.approx(0.2)


def test_clock_that_goes_back_mints_nothing() -> None:
    bucket = TokenBucket(rate=10.0, burst=10.0, now=5.0)
    bucket.take(1.0, 6.0)

    level = bucket.level(5.5)

    assert bucket.level(6.0) == level == pytest.approx(9.0)


@given(
    rate=st.floats(0.1, 1000.0),
    burst=st.floats(1.0, 100.0),
    share=st.floats(0.0, 0.9),
    wanted=st.lists(st.integers(1, 500), min_size=1, max_size=10),
)
def test_whatever_is_wanted_is_granted_in_the_end(
    rate: float, burst: float, share: float, wanted: list[int]
) -> None:
    bucket, now = TokenBucket(rate=rate, burst=burst, now=0.0), 0.0

    for tokens in wanted:
        for _ in range(3):
            wait = bucket.take(tokens, now, floor=share * burst)
            if wait == 0.0:
                break
            now += wait * 1.000001
        assert wait == 0.0

    assert now <= (burst + sum(wanted) + len(wanted) * share * burst) / rate * 1.01 + 0.01
