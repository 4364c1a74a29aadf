"""DingTalk's work notifications: calls, answers, and the simulator of the service."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from gateway.clock import SystemClock
from gateway.dispatch.senders import HttpSender
from gateway.model import errors, wire
from gateway.providers import dingtalk_app
from gateway.sandbox import dingtalk_app as sandbox
from gateway.transport.http import AiohttpTransport

Make = Callable[..., dingtalk_app.Provider]
Message = Callable[..., wire.Message]


@pytest.fixture(name="provider")
def fixture_provider(make: Make) -> dingtalk_app.Provider:
    return make("dingtalk_app")


def to(message: Message, member: str, **changes: Any) -> wire.Message:
    return message(to=wire.Address(chat=member), id=member, reference=member, **changes)


def calls(
    provider: dingtalk_app.Provider, messages: Sequence[wire.Message]
) -> list[dict[str, Any]]:
    return [json.loads(request.body) for _, request in provider.build_requests(messages)]


def test_members_who_are_told_the_same_share_a_call(
    provider: dingtalk_app.Provider, message: Message
) -> None:
    same = wire.Content(title="T", text="hello")
    messages = [
        to(message, "user1", content=same),
        to(message, "user2", content=wire.Content(text="other")),
        to(message, "user3", content=same),
    ]

    first, second = calls(provider, messages)

    assert first == {
        "agent_id": 123456,
        "userid_list": "user1,user3",
        "to_all_user": False,
        "msg": {"msgtype": "text", "text": {"content": "T\nhello"}},
    }
    assert second["userid_list"] == "user2"


def test_a_call_has_a_hundred_members_at_most_and_none_twice(
    provider: dingtalk_app.Provider, message: Message
) -> None:
    members = [*(f"u{number}" for number in range(150)), "u0"]

    lists = [
        one["userid_list"].split(",") for one in calls(provider, [to(message, m) for m in members])
    ]

    assert [len(one) for one in lists] == [100, 51]
    assert all(len(set(one)) == len(one) for one in lists)


def test_own_message_is_sent_as_it_is(provider: dingtalk_app.Provider, message: Message) -> None:
    own = {"msgtype": "markdown", "markdown": {"title": "t", "text": "# x"}}
    content = wire.Content(provider_templates={"dingtalk_app": own})

    [call] = calls(provider, [to(message, "u", content=content)])

    assert call["msg"] == own


def test_token_is_asked_for_with_key_and_secret(provider: dingtalk_app.Provider) -> None:
    assert provider.credential
    request = provider.credential.token_request()

    assert (request.method, request.url) == (
        "GET",
        "https://oapi.dingtalk.com/gettoken?appkey=dingabc&appsecret=what+proves+the+application",
    )


@pytest.mark.parametrize("member", ["a,b", "a b", "a\n"])
def test_several_members_in_one_address_are_refused(
    provider: dingtalk_app.Provider, message: Message, member: str
) -> None:
    assert provider.misfit(wire.Address(chat=member)) == "chat: not one userid"
    with pytest.raises(ValueError, match=r"to\.chat: not one userid"):
        provider.build_requests([to(message, member)])


def test_too_long_a_text_is_objected_to(provider: dingtalk_app.Provider) -> None:
    address = wire.Address(chat="u")

    assert provider.objection(wire.Content(text="x" * 20_001), address).startswith("text: longer")
    assert provider.objection(wire.Content(text="x" * 100), address) == ""


def test_call_that_is_refused_for_one_of_its_members_is_made_apart(
    provider: dingtalk_app.Provider, message: Message
) -> None:
    answer = wire.HttpResponse(status=200, body=b'{"errcode":33012,"errmsg":"x"}')

    both = provider.read_response([to(message, "a"), to(message, "b")], answer)

    for one in both:
        assert isinstance(one, wire.Deferred)
        assert one.apart


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"task_id": 1}'])
def test_unreadable_answer_leaves_it_open(
    provider: dingtalk_app.Provider, message: Message, body: bytes
) -> None:
    [result] = provider.read_response([message()], wire.HttpResponse(status=200, body=body))

    assert isinstance(result, wire.Unknown)


def test_application_without_key_and_secret_is_a_fault(make: Make) -> None:
    with pytest.raises(errors.SettingsError, match="app_secret: is empty"):
        make("dingtalk_app", app_key="", app_secret="")


async def test_simulator_takes_a_call_and_refuses_others(make: Make, message: Message) -> None:
    async with sandbox.DingtalkAppSimulator() as simulator, AiohttpTransport() as transport:

        async def send(*members: str, **changes: Any) -> list[wire.AttemptResult]:
            options = {
                "app_key": sandbox.APP_KEY,
                "app_secret": sandbox.APP_SECRET,
                "agent_id": sandbox.AGENT_ID,
                "base_url": simulator.url,
                **changes,
            }
            provider = make("dingtalk_app", options, clock=SystemClock())
            sender = HttpSender(provider, transport, SystemClock(), timeout=10)
            plan = sender.plan([to(message, member) for member in members])
            return [result for call in plan for result in await call.make(None)]

        taken = await send("user1", "user2")
        gone = await send("gone-1")
        wrong = await send("user1", app_secret="wrong")
        other = await send("user1", agent_id=7)

    assert all(isinstance(one, wire.Accepted) and one.provider_id for one in taken)
    assert simulator.log.taken == 2
    assert isinstance(gone[0], wire.Rejected)
    assert gone[0].suppress
    assert isinstance(wrong[0], wire.Deferred)
    assert wrong[0].cause is wire.Cause.CREDENTIAL
    assert isinstance(other[0], wire.Rejected)
