"""The checker sees what it is there for: each test plants one fault, and none tells nothing."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.model import wire
from gateway.model.state import AttemptEvidence, Outcome, ReceiptEvidence, State
from tests.faults import arrivals, check, client, counts
from tests.faults.records import Record
from tests.faults.traffic import Traffic

ID = "019a0000-0000-7000-8000-000000000001"
REFERENCE = f"{ID}-0-0-0"


def attempt(number: int, outcome: Outcome) -> AttemptEvidence:
    return AttemptEvidence(0, 0, 0, number, "acme", outcome)


SENT = Record(
    id=ID,
    is_report=False,
    number=1,
    on_unknown="resend",
    state=State.SENT,
    ending=None,
    attempts=[attempt(1, Outcome.UNKNOWN), attempt(2, Outcome.ACCEPTED)],
    receipts=[],
)
DELIVERED = ReceiptEvidence(0, 0, 0, 2, "acme", wire.ReceiptEvent.DELIVERED)


def test_sound_message_is_passed() -> None:
    sound = replace(SENT, state=State.DELIVERED, receipts=[DELIVERED])

    assert list(check.of_message(sound)) == []
    assert list(check.of_copies(sound, {REFERENCE: 1})) == []
    assert list(check.of_copies(sound, {REFERENCE: 2})) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"state": State.QUEUED}, "has not ended"),
        ({"state": State.DELIVERED}, "its evidence amounts to sent"),
        ({"receipts": [DELIVERED]}, "its evidence amounts to delivered"),
        ({"attempts": []}, "its evidence amounts to failed"),
    ],
)
def test_state_that_does_not_follow_is_found(change: dict[str, Any], told: str) -> None:
    found = list(check.of_message(replace(SENT, **change)))

    assert any(told in one for one in found), found


@pytest.mark.parametrize(
    ("change", "copies", "told"),
    [
        ({}, 3, "came 3 times"),
        ({}, 0, "never came"),
        ({"attempts": [attempt(1, Outcome.DEFERRED)]}, 1, "no attempt says so"),
        ({"attempts": [attempt(1, Outcome.ACCEPTED)]}, 2, "0 attempts are unknown"),
        ({"on_unknown": "stop"}, 2, "must not come twice"),
        ({"attempts": []}, 1, "no attempt says so"),
    ],
)
def test_copies_that_no_attempt_explains_are_found(
    change: dict[str, Any], copies: int, told: str
) -> None:
    found = list(check.of_copies(replace(SENT, **change), Counter({REFERENCE: copies})))

    assert any(told in one for one in found), found


def answered(*entries: client.Entry) -> client.Log:
    log = client.Log()
    for entry in entries:
        log.add(entry)
    return log


@pytest.mark.parametrize(
    ("log", "stored", "told"),
    [
        (answered(client.Entry((1,), 202, (ID,))), {}, "was acknowledged"),
        (answered(client.Entry((1,), 202, (ID,))), {1: "another"}, "stored is another"),
        (answered(client.Entry((1,), 503)), {1: ID}, "stored and was refused"),
        (answered(client.Entry((1,), 500)), {}, "were answered 500"),
        (answered(client.Entry((1, 2), 202, (ID, ""))), {1: ID}, "number 2 was refused"),
        (
            answered(client.Entry((1,), 202, (ID,)), client.Entry((1,), 202, ("other",))),
            {1: ID},
            f"is {ID} and other",
        ),
    ],
)
def test_promise_to_a_caller_that_is_not_kept_is_found(
    log: client.Log, stored: dict[int, str], told: str
) -> None:
    found = list(check.against_caller(stored, log))

    assert any(told in one for one in found), found


def test_request_without_an_answer_may_have_been_stored_or_not() -> None:
    log = answered(client.Entry((1, 2), None), client.Entry((3,), 503))

    assert list(check.against_caller({1: ID}, log)) == []
    assert log.open() == [(1, 2), (3,)]


def test_message_that_nobody_sent_is_found_at_the_provider() -> None:
    copies = {REFERENCE: 1, f"{ID[:-1]}2-0-0-0": 1}

    (found,) = check.strangers({ID}, copies)

    assert f"{ID[:-1]}2" in found


def test_planted_words_are_found_in_what_traffic_makes() -> None:
    traffic = Traffic(1)

    for number in range(50):
        message = traffic.message(number)
        assert list(check.planted("here", [str(message["to"])]))
        assert list(check.planted("here", [str(message["content"])]))
    assert list(check.planted("here", ["01a200f7-6860-73f5-8ecf-c9f2bf53fa2f delivered"])) == []


METRICS = """
# TYPE gateway_attempts_total counter
gateway_attempts_total{provider="acme",result="accepted"} 2.0
gateway_attempts_total{provider="acme",result="unknown"} 1.0
# TYPE gateway_messages_accepted_total counter
gateway_messages_accepted_total{category="service"} 2.0
# TYPE gateway_messages_entered_total counter
gateway_messages_entered_total{category="service",state="sent"} 2.0
gateway_messages_entered_total{category="webhook",state="sent"} 7.0
# TYPE gateway_in_flight gauge
gateway_in_flight{provider="acme"} 0.0
"""

ATTEMPTS: dict[tuple[str, ...], int] = {("acme", "accepted"): 2, ("acme", "unknown"): 1}


def counted(**changes: dict[tuple[str, ...], int]) -> counts.Counts:
    made: dict[str, dict[tuple[str, ...], int]] = {
        "attempts": ATTEMPTS,
        "accepted": {("service",): 2},
        "entered": {("service", "sent"): 2},
        **changes,
    }
    return counts.Counts(**{name: Counter(value) for name, value in made.items()})


def differences(
    after: counts.Counts, *, metrics: str = METRICS, has_gaps: bool = False, doubtful: int = 0
) -> list[str]:
    samples = counts.Samples([metrics])
    before = counts.Counts()
    return list(counts.faults(samples, before, after, has_gaps=has_gaps, doubtful=doubtful))


def test_metrics_that_agree_are_passed() -> None:
    assert differences(counted()) == []


@pytest.mark.parametrize(
    "after",
    [
        counted(attempts={("acme", "accepted"): 3}),
        counted(accepted={("service",): 1}),
        counted(entered={("service", "sent"): 2, ("service", "failed"): 1}),
    ],
)
def test_metrics_that_differ_from_the_database_are_found(after: counts.Counts) -> None:
    assert len(differences(after)) == 1


def test_commit_lost_sight_of_may_have_stored_what_was_not_accepted_and_no_more() -> None:
    assert differences(counted(accepted={("service",): 7}), doubtful=5) == []
    assert len(differences(counted(accepted={("service",): 8}), doubtful=5)) == 1
    assert len(differences(counted(accepted={("service",): 1}), doubtful=5)) == 1


def test_killed_node_takes_counts_with_it_and_adds_none() -> None:
    more = counted(attempts={("acme", "accepted"): 5, ("acme", "unknown"): 1})
    fewer = counted(attempts={("acme", "accepted"): 1, ("acme", "unknown"): 1})

    assert differences(more, has_gaps=True) == []
    assert len(differences(fewer, has_gaps=True)) == 1


def test_result_that_came_too_late_is_a_receipt() -> None:
    name = "gateway_stale_results_total"
    stale = f'# TYPE {name} counter\n{name}{{provider="acme"}} 1.0\n'
    after = counted(attempts={("acme", "accepted"): 1, ("acme", "unknown"): 1})

    assert differences(after, metrics=METRICS + stale) == []


def test_request_that_never_ends_is_found() -> None:
    metrics = METRICS.replace('{provider="acme"} 0.0', '{provider="acme"} 1.0')

    assert len(differences(counted(), metrics=metrics)) == 1


def spaced(at: Callable[[int], float], late: float = 0.0) -> list[tuple[float, float]]:
    return [(at(number) - late, at(number)) for number in range(100)]


def test_rate_that_is_kept_is_passed() -> None:
    burst = spaced(lambda number: max(0.0, (number - 5) / 50))

    assert arrivals.worst_excess(burst, 50, 5) <= 0


def test_rate_that_is_exceeded_is_found() -> None:
    too_fast = spaced(lambda number: number / 60)
    too_many = spaced(lambda number: max(0.0, (number - 10) / 50))

    assert arrivals.worst_excess(too_fast, 50, 5) > 0
    assert arrivals.worst_excess(too_many, 50, 5) > 0


def test_arrivals_that_were_noticed_late_are_no_excess() -> None:
    at_once = [(number / 50, 2.0) for number in range(100)]

    assert arrivals.worst_excess(at_once, 50, 5) <= 0
    assert arrivals.worst_excess([(2.0, 2.0)] * 100, 50, 5) > 0
