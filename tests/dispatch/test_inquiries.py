"""What is known of addresses: for a day, and of so many."""

from gateway.dispatch.inquiries import KEPT_MS, Answers
from gateway.model import wire
from tests.providers.conftest import FixedClock

NO = wire.Rejected(code="NOT_FOUND", scope=wire.Scope.RECIPIENT)


def phone(number: int) -> wire.Address:
    return wire.Address(phone=f"+1500555{number:04d}")


def test_an_answer_holds_for_a_day() -> None:
    clock = FixedClock(1_000)
    answers = Answers(clock)
    answers.keep(phone(1), NO)

    clock.ms += KEPT_MS - 1
    assert answers.get(phone(1)) == NO
    assert answers.get(phone(2)) is None
    clock.ms += 1
    assert answers.get(phone(1)) is None


def test_the_oldest_are_forgotten_first() -> None:
    answers = Answers(FixedClock(1_000), most=2)
    for number in (1, 2, 1, 3):
        answers.keep(phone(number), NO)

    assert [answers.get(phone(number)) for number in (1, 2, 3)] == [NO, None, NO]
