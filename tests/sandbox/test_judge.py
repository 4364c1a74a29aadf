"""What becomes of sends, without any server."""

import asyncio
from collections import Counter

import pytest

from gateway.model import wire
from gateway.sandbox.http import HttpServiceSimulator
from gateway.sandbox.judge import Judge
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.log import busiest
from gateway.sandbox.magic import Fate, Magic
from tests.virtual import VirtualLoop


def fates(knobs: Knobs, count: int = 2000) -> Counter[Fate]:
    judge = Judge(knobs)
    return Counter(judge.decide() for _ in range(count))


def test_everything_is_taken_when_no_knob_is_turned() -> None:
    assert fates(Knobs()) == {Fate.TAKEN: 2000}


@pytest.mark.parametrize("error", [Fate.TEMPORARY, Fate.RECIPIENT, Fate.PERMANENT])
def test_error_rate_is_the_share_of_errors_of_that_kind(error: Fate) -> None:
    found = fates(Knobs(error_rate=0.25, error=error))

    assert set(found) == {error, Fate.TAKEN}
    assert 400 < found[error] < 600


def test_lost_answer_rate_is_the_share_of_answers_lost() -> None:
    found = fates(Knobs(lost_answer_rate=0.5))

    assert set(found) == {Fate.LOST, Fate.TAKEN}
    assert 900 < found[Fate.LOST] < 1100


def test_same_seed_gives_the_same_fates_and_another_seed_others() -> None:
    def run(seed: int) -> list[Fate]:
        judge = Judge(Knobs(error_rate=0.5, seed=seed))
        return [judge.decide() for _ in range(64)]

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_turning_the_seed_starts_the_chances_again() -> None:
    knobs = Knobs(error_rate=0.5, seed=5)
    judge = Judge(knobs)
    first = [judge.decide() for _ in range(64)]

    knobs.seed = 5

    assert [judge.decide() for _ in range(64)] == first


def test_hanging_comes_before_errors() -> None:
    assert fates(Knobs(hang=True, error_rate=1), 10) == {Fate.HUNG: 10}


def test_magic_comes_before_chance_and_after_throttling() -> None:
    now = [0.0]
    judge = Judge(Knobs(throttle=1, lost_answer_rate=1), now=lambda: now[0])
    magic = Magic(fate=Fate.RECIPIENT)

    assert [judge.decide(magic), judge.decide(magic)] == [Fate.RECIPIENT, Fate.THROTTLED]


@pytest.mark.parametrize("rate", [0.5, 3, 50])
def test_throttle_lets_through_no_more_than_its_rate_and_one_second_of_burst(rate: float) -> None:
    now = [100.0]
    judge = Judge(Knobs(throttle=rate), now=lambda: now[0])
    passed = []

    for step in range(4000):
        now[0] = 100 + step / 200
        if judge.decide() is Fate.TAKEN:
            passed.append(now[0])

    for window in (1, 2, 5):
        assert busiest(passed, window) <= max(1, rate) + rate * window
    assert len(passed) >= rate * 19


def test_turning_the_throttle_fills_its_bucket() -> None:
    knobs = Knobs(throttle=1)
    judge = Judge(knobs, now=lambda: 0.0)
    assert [judge.decide(), judge.decide()] == [Fate.TAKEN, Fate.THROTTLED]

    knobs.throttle = 2

    assert [judge.decide() for _ in range(3)] == [Fate.TAKEN, Fate.TAKEN, Fate.THROTTLED]


def test_latency_and_jitter_bound_the_answer() -> None:
    judge = Judge(Knobs(latency=2, jitter=1))

    found = [judge.latency() for _ in range(200)]

    assert 2 <= min(found) < 2.2
    assert 2.8 < max(found) < 3


def test_receipt_delay_and_jitter_bound_the_receipt() -> None:
    judge = Judge(Knobs(receipt_delay=10, receipt_jitter=5))

    found = [judge.receipt_delay() for _ in range(200)]

    assert 10 <= min(found) < 11
    assert 14 < max(found) < 15


def test_receipt_rate_is_the_share_reported_on() -> None:
    judge = Judge(Knobs(receipt_rate=0.25))

    found = Counter(judge.receipt() for _ in range(2000))

    assert set(found) == {None, wire.ReceiptEvent.DELIVERED}
    assert 400 < found[wire.ReceiptEvent.DELIVERED] < 600


def test_receipts_follow_the_address_then_the_knob() -> None:
    knobs = Knobs(receipt=wire.ReceiptEvent.READ)
    judge = Judge(knobs)

    assert judge.receipt() is wire.ReceiptEvent.READ
    assert judge.receipt(Magic(receipt=wire.ReceiptEvent.FAILED)) is wire.ReceiptEvent.FAILED
    assert judge.receipt(Magic(silent=True)) is None
    knobs.receipt = None
    assert judge.receipt(Magic(receipt=wire.ReceiptEvent.FAILED)) is None


def test_pause_is_as_long_as_the_knob_says() -> None:
    simulator = HttpServiceSimulator(knobs=Knobs(latency=5))

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        start = runner.get_loop().time()
        runner.run(simulator.pause())
        took = runner.get_loop().time() - start

    assert took == pytest.approx(5)
