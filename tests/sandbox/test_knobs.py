"""Knobs take what they should and nothing else."""

import pytest

from gateway.model import wire
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.magic import Fate


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("latency", -1),
        ("latency", "1"),
        ("latency", float("nan")),
        ("latency", True),
        ("jitter", None),
        ("error_rate", 1.01),
        ("error", "taken"),
        ("error", ["temporary"]),
        ("throttle", float("inf")),
        ("retry_after", "soon"),
        ("lost_answer_rate", -0.1),
        ("hang", 1),
        ("refuse", "no"),
        ("receipt", "eaten"),
        ("receipt_rate", 2),
        ("receipt_repeats", 1.5),
        ("receipt_url", None),
        ("token_error", 7),
        ("seed", -1),
        ("speed", 1),
    ],
)
def test_wrong_value_is_refused_by_name(name: str, value: object) -> None:
    knobs = Knobs()

    with pytest.raises(ValueError, match=f"^{name}: "):
        knobs.turn({name: value})


def test_wrong_value_is_refused_when_set_or_built() -> None:
    knobs = Knobs()

    with pytest.raises(ValueError, match="error_rate"):
        knobs.error_rate = 3
    with pytest.raises(ValueError, match="error_rate"):
        Knobs(error_rate=3)
    assert knobs.error_rate == 0


def test_one_wrong_value_leaves_all_knobs_as_they_were() -> None:
    knobs = Knobs(latency=1)

    with pytest.raises(ValueError, match="hang"):
        knobs.turn({"latency": 2, "hang": "yes"})

    assert knobs == Knobs(latency=1)


def test_json_form_is_taken_back() -> None:
    knobs = Knobs(
        latency=0.5, error=Fate.RECIPIENT, receipt=wire.ReceiptEvent.FAILED, retry_after=3
    )
    other = Knobs()

    other.turn(knobs.to_json())

    assert other == knobs
    assert set(knobs.to_json()) >= {"latency", "throttle", "hang", "refuse", "receipt", "seed"}


@pytest.mark.parametrize("value", [None, "none"])
def test_receipts_can_be_turned_off(value: str | None) -> None:
    knobs = Knobs()

    knobs.turn({"receipt": value})

    assert knobs.receipt is None


def test_watchers_hear_of_each_turn() -> None:
    knobs = Knobs()
    heard: list[str] = []
    knobs.watchers.append(heard.append)

    knobs.turn({"hang": True, "seed": 3})
    knobs.latency = 1

    assert heard == ["hang", "seed", "latency"]
