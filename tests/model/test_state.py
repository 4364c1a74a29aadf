"""The one function that finds a message's state: order and repetition must not matter."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import wire
from gateway.model.state import (
    DEAD,
    REPORTED,
    SUCCESSES,
    AttemptEvidence,
    Outcome,
    ReceiptEvidence,
    State,
    attempt_rank,
    state_of,
    succeeded,
)
from gateway.model.wire import ReceiptEvent

ENDINGS = [None, State.FAILED, State.EXPIRED, State.SUPPRESSED, State.CANCELLED]
PLACES = st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 1))


@st.composite
def attempts(draw: st.DrawFn) -> AttemptEvidence:
    return AttemptEvidence(
        *draw(PLACES),
        draw(st.integers(1, 3)),
        draw(st.sampled_from(["a", "b"])),
        draw(st.sampled_from(Outcome)),
        draw(st.integers(1, 3)),
    )


@st.composite
def receipts(draw: st.DrawFn) -> ReceiptEvidence:
    return ReceiptEvidence(
        *draw(PLACES),
        draw(st.none() | st.integers(1, 3)),
        draw(st.sampled_from(["a", "b"])),
        draw(st.sampled_from(ReceiptEvent)),
        draw(st.sampled_from(["", "s1", "s2", "s3"])),
    )


ATTEMPTS = st.lists(attempts(), max_size=5)
RECEIPTS = st.lists(receipts(), max_size=5)


def attempt(outcome: Outcome, *, step: int = 0, number: int = 1) -> AttemptEvidence:
    return AttemptEvidence(0, step, 0, number, "acme", outcome)


def receipt(event: ReceiptEvent, *, step: int = 0, number: int | None = 1) -> ReceiptEvidence:
    return ReceiptEvidence(0, step, 0, number, "acme", event)


@given(ATTEMPTS, RECEIPTS, st.sampled_from(ENDINGS), st.randoms())
def test_order_and_repetition_of_evidence_do_not_matter(
    tries: list[AttemptEvidence],
    reports: list[ReceiptEvidence],
    ending: State | None,
    chance: random.Random,
) -> None:
    shuffled, repeated = [*tries, *tries[:2]], [*reports, *reports[:2]]
    chance.shuffle(shuffled)
    chance.shuffle(repeated)

    state = state_of(tries, reports, ending=ending)

    assert state_of(shuffled, repeated, ending=ending) is state


_HEIGHT = {State.SENT: 1, State.DELIVERED: 2, State.READ: 3}


@given(ATTEMPTS, RECEIPTS, receipts())
def test_delivered_and_read_are_never_taken_back(
    tries: list[AttemptEvidence], reports: list[ReceiptEvidence], late: ReceiptEvidence
) -> None:
    before = state_of(tries, reports)
    after = state_of(tries, [*reports, late])

    if before in (State.DELIVERED, State.READ):
        assert _HEIGHT[after] >= _HEIGHT[before]


@given(
    ATTEMPTS,
    RECEIPTS,
    PLACES,
    st.sampled_from([ReceiptEvent.DELIVERED, ReceiptEvent.READ]),
    st.sampled_from(ENDINGS),
)
def test_good_news_raises_any_state(
    tries: list[AttemptEvidence],
    reports: list[ReceiptEvidence],
    place: tuple[int, int, int],
    event: ReceiptEvent,
    ending: State | None,
) -> None:
    late = ReceiptEvidence(*place, None, "a", event)

    state = state_of(tries, [*reports, late], ending=ending)

    assert state in (State.DELIVERED, State.READ)


@pytest.mark.parametrize(
    ("outcome", "events", "state"),
    [
        (Outcome.ACCEPTED, [], State.SENT),
        (Outcome.ACCEPTED, [ReceiptEvent.SENT], State.SENT),
        (Outcome.ACCEPTED, [ReceiptEvent.UNKNOWN], State.SENT),
        (Outcome.ACCEPTED, [ReceiptEvent.FAILED], State.FAILED),
        (Outcome.ACCEPTED, [ReceiptEvent.EXPIRED], State.FAILED),
        (Outcome.ACCEPTED, [ReceiptEvent.OPTED_OUT], State.FAILED),
        (Outcome.ACCEPTED, [ReceiptEvent.BOUNCED], State.FAILED),
        (Outcome.ACCEPTED, [ReceiptEvent.DELIVERED], State.DELIVERED),
        (Outcome.ACCEPTED, [ReceiptEvent.FAILED, ReceiptEvent.DELIVERED], State.DELIVERED),
        (Outcome.ACCEPTED, [ReceiptEvent.DELIVERED, ReceiptEvent.BOUNCED], State.DELIVERED),
        (Outcome.ACCEPTED, [ReceiptEvent.COMPLAINED], State.DELIVERED),
        (Outcome.ACCEPTED, [ReceiptEvent.READ, ReceiptEvent.DELIVERED], State.READ),
        (Outcome.REJECTED, [], State.FAILED),
        (Outcome.DEFERRED, [], State.FAILED),
        (Outcome.UNKNOWN, [], State.UNKNOWN),
        (Outcome.UNKNOWN, [ReceiptEvent.FAILED], State.FAILED),
        (Outcome.UNKNOWN, [ReceiptEvent.DELIVERED], State.DELIVERED),
    ],
)
def test_one_attempt_and_what_was_reported_of_it(
    outcome: Outcome, events: list[ReceiptEvent], state: State
) -> None:
    assert state_of([attempt(outcome)], [receipt(event) for event in events]) is state


def test_receipt_without_attempt_counts_by_itself() -> None:
    assert state_of([], [receipt(ReceiptEvent.DELIVERED)]) is State.DELIVERED
    assert state_of([], [receipt(ReceiptEvent.SENT)]) is State.SENT


def segments(*events: ReceiptEvent) -> list[ReceiptEvidence]:
    """A receipt for each segment."""
    return [
        ReceiptEvidence(0, 0, 0, None, "acme", event, f"s{number}")
        for number, event in enumerate(events)
    ]


@pytest.mark.parametrize(
    ("reports", "state"),
    [
        ([ReceiptEvent.DELIVERED] * 3, State.DELIVERED),
        ([ReceiptEvent.READ, ReceiptEvent.READ, ReceiptEvent.DELIVERED], State.DELIVERED),
        ([ReceiptEvent.READ] * 3, State.READ),
        ([ReceiptEvent.DELIVERED] * 2, State.SENT),
        ([ReceiptEvent.DELIVERED, ReceiptEvent.DELIVERED, ReceiptEvent.SENT], State.SENT),
        ([ReceiptEvent.UNKNOWN], State.SENT),
        ([ReceiptEvent.DELIVERED, ReceiptEvent.DELIVERED, ReceiptEvent.FAILED], State.FAILED),
        ([ReceiptEvent.EXPIRED], State.FAILED),
    ],
)
def test_message_of_three_segments_is_what_they_come_to_together(
    reports: list[ReceiptEvent], state: State
) -> None:
    whole = AttemptEvidence(0, 0, 0, 1, "acme", Outcome.ACCEPTED, 3)

    assert state_of([whole], segments(*reports)) is state


def test_repeated_receipt_of_a_segment_does_not_stand_for_another() -> None:
    whole = AttemptEvidence(0, 0, 0, 1, "acme", Outcome.ACCEPTED, 2)
    one = ReceiptEvidence(0, 0, 0, 1, "acme", ReceiptEvent.DELIVERED, "s1")
    again = ReceiptEvidence(0, 0, 0, None, "acme", ReceiptEvent.READ, "s1")

    assert state_of([whole], [one, again]) is State.SENT


def test_receipt_of_all_needs_none_of_the_segments() -> None:
    whole = AttemptEvidence(0, 0, 0, 1, "acme", Outcome.ACCEPTED, 3)

    assert state_of([whole], [receipt(ReceiptEvent.DELIVERED)]) is State.DELIVERED


def test_segment_of_an_attempt_whose_answer_is_not_known_yet_is_no_more_than_sent() -> None:
    assert state_of([], segments(ReceiptEvent.DELIVERED)) is State.SENT


def test_segment_of_an_attempt_whose_answer_was_lost_tells_of_the_whole() -> None:
    lost = attempt(Outcome.UNKNOWN)

    assert state_of([lost], segments(ReceiptEvent.DELIVERED)) is State.DELIVERED


def test_receipt_speaks_only_of_its_own_attempt() -> None:
    one = attempt(Outcome.UNKNOWN)
    about_it = receipt(ReceiptEvent.FAILED)
    others = [
        ReceiptEvidence(1, 0, 0, 1, "acme", ReceiptEvent.READ),
        ReceiptEvidence(0, 1, 0, 1, "acme", ReceiptEvent.READ),
        ReceiptEvidence(0, 0, 1, 1, "acme", ReceiptEvent.READ),
        ReceiptEvidence(0, 0, 0, 2, "acme", ReceiptEvent.READ),
        ReceiptEvidence(0, 0, 0, 1, "other", ReceiptEvent.READ),
    ]

    assert attempt_rank(one, others) == attempt_rank(one, [])
    assert attempt_rank(one, [*others, about_it]) > attempt_rank(one, [])


def test_waiting_counts_until_somebody_has_it() -> None:
    failed, taken = attempt(Outcome.REJECTED), attempt(Outcome.ACCEPTED, step=1)

    assert state_of([], [], waiting=State.SCHEDULED) is State.SCHEDULED
    assert state_of([failed], [], waiting=State.QUEUED) is State.QUEUED
    assert state_of([failed, taken], [], waiting=State.QUEUED) is State.SENT


@pytest.mark.parametrize("ending", ENDINGS[1:])
def test_ending_names_the_reason_unless_somebody_may_have_it(ending: State) -> None:
    deferred, unknown = attempt(Outcome.DEFERRED), attempt(Outcome.UNKNOWN, number=2)

    assert state_of([deferred], [], ending=ending) is ending
    assert state_of([deferred, unknown], [], ending=ending) is State.UNKNOWN


@pytest.mark.parametrize(
    ("until", "events", "enough"),
    [
        (State.SENT, [], True),
        (State.SENT, [ReceiptEvent.FAILED], False),
        (State.DELIVERED, [], False),
        (State.DELIVERED, [ReceiptEvent.SENT], False),
        (State.DELIVERED, [ReceiptEvent.DELIVERED], True),
        (State.READ, [ReceiptEvent.DELIVERED], False),
        (State.READ, [ReceiptEvent.READ], True),
    ],
)
def test_step_is_done_when_it_got_as_far_as_it_must(
    until: State, events: list[ReceiptEvent], enough: bool
) -> None:
    reports = [receipt(event) for event in events]

    assert succeeded([attempt(Outcome.ACCEPTED)], reports, until=until) is enough


def test_neither_unknown_nor_failed_is_a_success() -> None:
    for outcome in (Outcome.UNKNOWN, Outcome.REJECTED, Outcome.DEFERRED):
        assert not succeeded([attempt(outcome)], [], until=State.SENT)


def test_failures_are_what_the_rank_calls_failed() -> None:
    for event in wire.ReceiptEvent:
        state = state_of([attempt(Outcome.ACCEPTED)], [receipt(event)])
        assert (state is State.FAILED) is (event in wire.FAILURES)


def test_every_state_is_work_success_or_end() -> None:
    assert not DEAD & SUCCESSES
    assert DEAD | SUCCESSES | {State.SUPPRESSED, State.CANCELLED} == REPORTED
