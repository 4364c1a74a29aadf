"""How well an account has done of late."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.merit import Fading, Merit

HALF_LIFE = 600.0


def test_account_that_has_done_nothing_yet_is_trusted() -> None:
    merit = Merit()

    assert merit.reach(0.0) == pytest.approx(0.98**2)
    assert merit.seconds(0.0) is None


def test_one_failure_does_not_decide() -> None:
    merit = Merit()

    merit.note_receipt(arrived=False, now=0.0)

    assert merit.reach(0.0) > 0.9


def test_what_does_not_arrive_counts_as_what_is_not_taken() -> None:
    lost, refused = Merit(), Merit()

    for _ in range(100):
        lost.note_answers(1, 0, 0.0)
        lost.note_receipt(arrived=False, now=0.0)
        refused.note_answers(0, 1, 0.0)

    assert lost.reach(0.0) < 0.2
    assert refused.reach(0.0) < 0.2


def test_bad_hour_is_forgiven_but_not_at_once() -> None:
    merit = Merit()

    merit.note_answers(0, 1000, 0.0)

    shares = [merit.reach(times * HALF_LIFE) for times in (0, 1, 3, 6, 12)]
    assert shares == sorted(shares)
    assert shares[1] < 0.1
    assert shares[-1] > 0.9


def test_mean_is_of_what_came_last() -> None:
    merit = Merit()

    merit.note_call(10.0, 0.0)
    merit.note_call(1.0, 2 * HALF_LIFE)

    assert merit.seconds(2 * HALF_LIFE) == pytest.approx((10.0 / 4 + 1.0) / (1 / 4 + 1))
    assert merit.seconds(100 * HALF_LIFE) is None


@given(st.lists(st.tuples(st.booleans(), st.floats(0.0, 1e5)), max_size=50))
def test_share_stays_a_share(events: list[tuple[bool, float]]) -> None:
    fading = Fading()

    for good, now in events:
        fading.add(good, 1.0, now)

        assert 0.0 <= fading.share(now) <= 1.0
