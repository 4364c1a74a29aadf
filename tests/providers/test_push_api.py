"""What providers of push by many tokens share."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from gateway.model import wire
from gateway.providers import push_api

Message = Callable[..., wire.Message]


@pytest.fixture(name="push")
def fixture_push(message: Message, now: datetime) -> Callable[..., push_api.Push]:
    """A push to a token that lives some seconds."""

    def build(token: str, *, seconds: int = 300, **changes: Any) -> push_api.Push:
        fields = {
            "to": wire.Address(token=token),
            "content": wire.Content(text="B"),
            "expires_at": now + timedelta(seconds=seconds),
        }
        one = message(**{**fields, **changes})
        return push_api.read(one, kind="acme", now_ms=int(now.timestamp() * 1000))

    return build


Push = Callable[..., push_api.Push]


def tokens(calls: Any) -> list[list[str]]:
    return [[one.token for one in call] for call in calls]


def test_equal_contents_share_calls_and_no_token_is_twice_in_one(push: Push) -> None:
    other = wire.Content(text="other")
    pushes = [push("a"), push("x", content=other), push("b"), push("a"), push("c"), push("d")]

    calls = push_api.share(pushes, limit=3)

    assert tokens(calls) == [["a", "b", "c"], ["a", "d"], ["x"]]


@pytest.mark.parametrize(
    "changes",
    [
        {"content": wire.Content(text="B", title="T")},
        {"content": wire.Content(text="B", extra={"data": {"a": 1}})},
        {"content": wire.Content(text="B", extra={"badge": 0})},
        {"content": wire.Content(text="B", extra={"sound": "s"})},
        {"content": wire.Content(text="B", extra={"collapse_key": "k"})},
        {"content": wire.Content(text="B", provider_templates={"acme": {"a": 1}})},
        {"category": "marketing"},
        {"priority": 0},
        {"seconds": 400},
    ],
)
def test_what_differs_goes_apart(push: Push, changes: dict[str, Any]) -> None:
    assert len(push_api.share([push("a"), push("b", **changes)], limit=9)) == 2


def test_same_data_in_another_order_is_the_same(push: Push) -> None:
    first = wire.Content(text="B", extra={"data": {"a": 1, "b": {"c": 2, "d": 3}}})
    second = wire.Content(text="B", extra={"data": {"b": {"d": 3, "c": 2}, "a": 1}})

    calls = push_api.share([push("a", content=first), push("b", content=second)], limit=9)

    assert len(calls) == 1


def test_no_message_outlives_its_time(push: Push) -> None:
    call = [push("a", seconds=302), push("b", seconds=300), push("c", seconds=-5)]

    assert push_api.shortest(call[:2]) == 300
    assert push_api.shortest(call) == 0


@pytest.mark.parametrize("seconds", [1, 31, 32, 300, 86_400, 1_296_000])
def test_times_in_a_call_differ_by_a_sixteenth_at_most(push: Push, seconds: int) -> None:
    longer = [
        push("b", seconds=other)
        for other in range(seconds, seconds + seconds // 8 + 2, max(1, seconds // 64))
        if push("b", seconds=other).common == push("a", seconds=seconds).common
    ]

    assert max(one.ttl for one in longer) <= seconds * 17 / 16


def test_name_tells_case_of_tokens_and_calls_apart() -> None:
    names = {push_api.name(call, token) for call in ("1", "2") for token in ("a", "A", "b")}

    assert len(names) == 6
    assert push_api.name("", "a") == ""


def test_badge_is_a_count(push: Push) -> None:
    badges = [
        push("a", content=wire.Content(extra={"badge": badge})).badge
        for badge in (0, 7, -1, True, "7", None)
    ]

    assert badges == [0, 7, None, None, None, None]
