"""The demo shows what it promises; run as a user runs it."""

import io
import json
import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import pytest
from rich.console import Console

from gateway.cli import stand
from gateway.cli.demo import people, report, scenario, view
from gateway.cli.demo.tally import Tally
from gateway.model.hours import read_span
from gateway.sandbox.log import Arrival
from gateway.sandbox.magic import Fate

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def summary(gateway: Run) -> Mapping[str, Any]:
    """What `gateway demo` says after three seconds of sending."""
    done = gateway("demo", "--for", "3s", "--json")
    assert done.returncode == 0, done.stderr
    found: Mapping[str, Any] = json.loads(done.stdout)
    return found


def test_every_message_came_to_its_end(summary: Mapping[str, Any]) -> None:
    assert summary["submitted"] >= 100
    assert summary["refused"] <= 2  # answers that a busy machine owed for too long
    for one, expected in zip(summary["scenarios"], scenario.SCENARIOS, strict=True):
        assert one["states"].keys() <= set(expected.ends), one["name"]
        assert sum(one["states"].values()) == one["submitted"] > 0


def test_who_is_asleep_is_written_to_when_they_wake(summary: Mapping[str, Any]) -> None:
    (quiet,) = [one for one in summary["scenarios"] if one["name"] == "quiet hours"]
    message = summary["examples"]["quiet hours"]

    assert quiet["states"] == {"scheduled": quiet["submitted"]}
    assert message["state"] == "scheduled"
    assert "quiet" in "".join(one.get("detail", "") for one in message["timeline"])


def test_who_has_opted_out_gets_nothing(summary: Mapping[str, Any]) -> None:
    (left,) = [one for one in summary["scenarios"] if one["name"] == "opted out"]

    assert left["states"] == {"suppressed": left["submitted"]}
    assert left["channels"] == {}


def test_cap_lets_two_through_and_drops_the_others(summary: Mapping[str, Any]) -> None:
    (capped,) = [one for one in summary["scenarios"] if one["name"] == "over the cap"]
    message = summary["examples"]["over the cap"]

    assert capped["states"] == {"sent": 2, "suppressed": capped["submitted"] - 2}
    assert message["state"] == "suppressed"
    assert "cap:deals" in [one.get("detail") for one in message["timeline"]]


def test_something_got_through_on_every_channel(summary: Mapping[str, Any]) -> None:
    reached = {channel for one in summary["scenarios"] for channel in one["channels"]}

    assert reached == {"push", "sms", "email"}


def test_chains_went_on_to_another_channel(summary: Mapping[str, Any]) -> None:
    assert summary["fallbacks"]["sms"] > 0
    assert summary["fallbacks"]["email"] > 0


def test_second_provider_took_over(summary: Mapping[str, Any]) -> None:
    providers = {one["account"]: one for one in summary["providers"]}

    assert summary["failovers"] > 0
    assert providers["acme"]["deferred"] > 0
    assert providers["twilio"]["delivered"] > 0
    assert providers["aliyun"]["deferred"] > 0
    assert providers["tencent"]["accepted"] > 0


def test_a_provider_throttled_and_lost_nothing(summary: Mapping[str, Any]) -> None:
    assert summary["throttled"] > 0


def test_webhooks_were_verified(summary: Mapping[str, Any]) -> None:
    assert summary["webhooks"]["verified"] >= summary["submitted"]
    assert summary["webhooks"]["refused"] == 0


def test_timeline_tells_of_the_push_that_was_not_delivered(summary: Mapping[str, Any]) -> None:
    message = summary["examples"]["push, no receipt"]

    taken = [one for one in message["timeline"] if one["event"] == "attempt.accepted"]
    assert [one["channel"] for one in taken] == ["push", "sms"]
    assert message["state"] == "delivered"


def test_late_receipt_cancels_what_had_not_started(summary: Mapping[str, Any]) -> None:
    (late,) = [one for one in summary["scenarios"] if one["name"] == "receipt too late"]
    message = summary["examples"]["receipt too late"]

    taken = [one["channel"] for one in message["timeline"] if one["event"] == "attempt.accepted"]

    assert summary["cancelled"] == late["submitted"] > 0
    assert (message["state"], taken) == ("delivered", ["push", "sms"])


def test_shares_are_kept_in_every_round() -> None:
    total = sum(one.share for one in scenario.SCENARIOS)

    first = [one.name for one in islice(scenario.mix(), total)]

    assert {name: first.count(name) for name in first} == {
        one.name: one.share for one in scenario.SCENARIOS
    }


def test_page_fits_into_80_columns_and_24_lines() -> None:
    many = 12_345
    states = {"open": many, "sent": many, "delivered": many, "failed": many, "suppressed": many}
    seen = report.Report(
        seconds=1234.5,
        submitted=many,
        refused=0,
        states=states,
        scenarios=[
            report.ScenarioRow(
                name=one.name, chain=one.chain, submitted=many, states=states, channels={}
            )
            for one in scenario.SCENARIOS
        ],
        providers=[
            report.ProviderRow(
                account=account,
                channel="email",
                accepted=many,
                deferred=many,
                rejected=many,
                unknown=0,
                delivered=many,
                failed=many,
                throttled=many,
            )
            for account in stand.Stand(port=1).channels
        ],
        fallbacks={"sms": many},
        failovers=many,
        throttled=many,
        cancelled=many,
        webhooks={"verified": many, "repeated": 0, "refused": 0},
        quiet_until="07:30",
    )
    terminal = Console(width=80, record=True, file=io.StringIO())

    terminal.print(view.page(seen, "sending until Ctrl-C"))

    text = terminal.export_text()
    assert len(text.splitlines()) <= 24
    assert "suppressed" in text
    assert "wait until 07:30 UTC" in text
    assert all(f"{one.name} " in text and one.chain in text for one in scenario.SCENARIOS)


@pytest.mark.parametrize("clock", ["00:02", "12:00", "23:58"])
def test_it_is_quiet_at_whatever_time_the_demo_starts(clock: str) -> None:
    now = datetime.strptime(f"2026-03-01 {clock}", "%Y-%m-%d %H:%M").replace(tzinfo=UTC)

    asleep = people.quiet_hours(now)

    start, end = read_span(asleep["from"], asleep["to"])
    minute = now.hour * 60 + now.minute
    assert 0 < (minute - start) % 1440 < (end - start) % 1440


def heard(number: int, state: str, channel: str, *, fate: Fate = Fate.TAKEN) -> Arrival:
    data = {
        "id": f"m-{number}",
        "state": state,
        "channel": channel,
        "provider": "acme",
        "metadata": {"number": number},
    }
    return Arrival(at=0.0, fate=fate, content={"data": data})


def test_reports_count_once_in_whatever_order_they_come() -> None:
    tally = Tally()
    kind = scenario.SCENARIOS[0]
    tally.submit(kind, 7)

    tally.hear(heard(7, "delivered", "sms"))
    tally.hear(heard(7, "sent", "sms"))
    tally.hear(heard(7, "delivered", "sms"))

    assert tally.waiting == 0
    assert tally.states() == {"delivered": 1}
    assert tally.fallbacks == {"sms": 1}


def test_reports_that_do_not_prove_true_are_not_believed() -> None:
    tally = Tally()
    tally.submit(scenario.SCENARIOS[0], 7)

    tally.hear(heard(7, "delivered", "sms", fate=Fate.INVALID))

    assert tally.waiting == 1


def test_one_that_waits_for_its_time_is_counted_by_the_answer() -> None:
    tally = Tally()
    (kind,) = [one for one in scenario.SCENARIOS if one.name == "quiet hours"]
    tally.submit(kind, 7)

    tally.answered(7, {"id": "m-7", "state": "scheduled"})

    assert tally.waiting == 0
    assert tally.states() == {"scheduled": 1}
    assert tally.examples == {"quiet hours": "m-7"}


def test_success_on_an_earlier_channel_is_not_the_end() -> None:
    tally = Tally()
    tally.submit(scenario.SCENARIOS[0], 7)

    tally.hear(heard(7, "sent", "push"))

    assert tally.waiting == 1
    assert tally.states() == {"sent": 1}
