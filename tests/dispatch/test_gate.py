"""May it go now: time, bans, and whether it is still needed."""

from typing import Any

import pytest

from gateway.dispatch.gate import Defer, Expire, Hold, Obsolete, PassOn, Send, Suppress, decide
from gateway.model import wire
from gateway.model.case import Case, Claimed
from gateway.model.message import Message, MessageId, Mode, Priority, Step
from gateway.model.state import AttemptEvidence, Outcome, ReceiptEvidence, State
from gateway.model.values import replace

TAKEN = AttemptEvidence(0, 0, 0, 1, "a", Outcome.ACCEPTED)
FAILED = ReceiptEvidence(0, 0, 0, 1, "a", wire.ReceiptEvent.FAILED)
DELIVERED = ReceiptEvidence(0, 0, 0, 1, "a", wire.ReceiptEvent.DELIVERED)


def claimed(*, step: int = 1, until: State = State.SENT, **case: Any) -> Claimed:
    """A claim of a message of two steps."""
    plan = Step(channel=wire.Channel.SMS, lane="sms", parts=(wire.Address(phone="+1"),))
    message = Message(
        category="otp", priority=Priority.CRITICAL, chain=(replace(plan, until=until), plan)
    )
    usual: dict[str, Any] = {
        "id": MessageId("m"),
        "tenant": "billing",
        "internal": False,
        "created_ms": 0,
        "expires_ms": 1000,
        "message": message,
        "state": State.QUEUED,
        "version": 1,
        "redrive": 0,
        "ending": None,
        "live": [],
        "attempts": [],
        "receipts": [],
    }
    return Claimed(
        case=Case(**{**usual, **case}),
        step=step,
        part=0,
        lane="sms",
        pin="",
        priority=0,
        rank=1.0,
        flow="billing",
        weight=1.0,
        due_ms=0,
        attempts=1,
        units=1,
        once=False,
        epoch=1,
    )


SENT: dict[str, Any] = {"state": State.SENT, "attempts": [TAKEN]}


@pytest.mark.parametrize(
    ("row", "now_ms", "ban", "decision"),
    [
        (claimed(), 999, "", Send()),
        (claimed(), 1000, "", Expire()),
        (claimed(), 1000, "bounced", Expire()),
        (claimed(), 0, "bounced", Suppress("bounced")),
        (claimed(internal=True), 0, "bounced", Send()),
        (claimed(ending=State.CANCELLED), 0, "", Obsolete()),
        (claimed(ending=State.CANCELLED), 0, "bounced", Obsolete()),
        (claimed(**SENT), 0, "", Obsolete()),
        (claimed(until=State.DELIVERED, **SENT), 0, "", Send()),
        (claimed(step=0, **SENT), 0, "", Send()),
        (claimed(redrive=1, **SENT), 0, "", Send()),
        (claimed(**{**SENT, "receipts": [FAILED], "state": State.FAILED}), 0, "", Send()),
        (
            claimed(
                until=State.DELIVERED,
                state=State.DELIVERED,
                attempts=[TAKEN],
                receipts=[DELIVERED],
            ),
            0,
            "",
            Obsolete(),
        ),
    ],
)
def test_decision(row: Claimed, now_ms: int, ban: str, decision: object) -> None:
    assert decide(row, now_ms=now_ms, ban=ban) == decision


def test_every_step_of_mode_all_may_go() -> None:
    row = claimed(**SENT)
    everything = replace(row.case.message, mode=Mode.ALL)

    decision = decide(replace(row, case=replace(row.case, message=everything)), now_ms=0, ban="")

    assert decision == Send()


def test_account_that_must_not_passes_on_to_those_that_may() -> None:
    row = claimed()

    assert decide(row, now_ms=1, ban="opted_out", others=["b"]) == PassOn("opted_out", ["b"])
    assert decide(row, now_ms=1, ban="opted_out") == Suppress("opted_out")
    assert decide(row, now_ms=1, ban="") == Send()
    assert decide(row, now_ms=1000, ban="opted_out", others=["b"]) == Expire()


@pytest.mark.parametrize(
    ("row", "ban", "hold", "decision"),
    [
        (claimed(), "", Hold("quiet hours", 999), Defer(until_ms=999, reason="quiet hours")),
        (claimed(), "", Hold("quiet hours", 1000), Suppress("quiet hours")),
        (claimed(), "", Hold("cap", None), Suppress("cap")),
        (claimed(), "bounced", Hold("quiet hours", 999), Suppress("bounced")),
        (claimed(**SENT), "", Hold("quiet hours", 999), Obsolete()),
        (claimed(internal=True), "", Hold("quiet hours", 999), Send()),
    ],
)
def test_what_is_held_waits_unless_its_time_would_be_over(
    row: Claimed, ban: str, hold: Hold, decision: object
) -> None:
    assert decide(row, now_ms=0, ban=ban, hold=hold) == decision
