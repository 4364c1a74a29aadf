"""A thousand sends at once want an access token: the service is asked for one, once."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.clock import Clock
from gateway.dispatch.senders import HttpSender
from gateway.model import wire
from gateway.providers import base

HERE = Path(__file__).parent
SENDS = 1_000
#: By kind: an answer of the token endpoint, and one that takes a message.
ANSWERS: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "dingtalk_app": (
        {"errcode": 0, "access_token": "{}", "expires_in": 7200},
        {"errcode": 0, "errmsg": "ok", "task_id": 1},
    ),
    "fcm": ({"access_token": "{}", "expires_in": 3599}, {"name": "projects/p/messages/1"}),
    "feishu_app": (
        {"code": 0, "tenant_access_token": "{}", "expire": 7200},
        {"code": 0, "data": {"message_id": "om_1"}},
    ),
    "getui": (
        {"code": 0, "data": {"token": "{}", "expire_time": "4102444800000"}},
        {"code": 0, "data": {"task": {"device-token": "successed_online"}}},
    ),
    "huawei": (
        {"access_token": "{}", "expires_in": 3600, "token_type": "Bearer"},
        {"code": "80000000", "msg": "Success", "requestId": "1"},
    ),
    "rcs_google": (
        {"access_token": "{}", "expires_in": 3599},
        {"name": "phones/+15005550001/agentMessages/1"},
    ),
    "wechat": ({"access_token": "{}", "expires_in": 7200}, {"errcode": 0, "msgid": 1}),
    "wecom": (
        {"errcode": 0, "access_token": "{}", "expires_in": 7200},
        {"errcode": 0, "errmsg": "ok", "msgid": "1"},
    ),
}
#: By kind: how the service says that it knows the token no more.
REFUSALS: Mapping[str, tuple[int, Mapping[str, Any]]] = {
    "dingtalk_app": (200, {"errcode": 88, "sub_code": "40014"}),
    "fcm": (401, {"error": {"code": 401, "status": "UNAUTHENTICATED"}}),
    "feishu_app": (400, {"code": 99991663}),
    "getui": (401, {"code": 10001, "msg": "token"}),
    "huawei": (200, {"code": "80200003", "msg": "expired"}),
    "rcs_google": (401, {"error": {"code": 401, "status": "UNAUTHENTICATED"}}),
    "wechat": (200, {"errcode": 42001}),
    "wecom": (200, {"errcode": 42001}),
}
KINDS = sorted(ANSWERS)


class Service:
    """Numbers its tokens and knows the last one; each answer takes some turns of the loop."""

    def __init__(self, kind: str, provider: base.HttpProvider) -> None:
        assert provider.credential is not None
        self._kind = kind
        self._endpoint = provider.credential.token_request().url.partition("?")[0]
        self.given = self.refused = self.taken = 0

    async def send(self, request: wire.HttpRequest, **options: Any) -> wire.HttpResponse:
        for _ in range(20):
            await asyncio.sleep(0)
        token, taken = ANSWERS[self._kind]
        if request.url.partition("?")[0] == self._endpoint:
            self.given += 1
            body = orjson.dumps(token).replace(b"{}", f"token-{self.given}".encode())
            return wire.HttpResponse(status=200, body=body)
        if f"token-{self.given}" not in f"{request.url} {request.headers}":
            self.refused += 1
            status, refusal = REFUSALS[self._kind]
            return wire.HttpResponse(status=status, body=orjson.dumps(refusal))
        self.taken += 1
        return wire.HttpResponse(status=200, body=orjson.dumps(taken))

    async def __aenter__(self) -> "Service":
        return self

    async def __aexit__(self, *exc: object) -> None: ...


async def send_all(
    sender: HttpSender, message: Callable[..., wire.Message]
) -> list[wire.AttemptResult]:
    calls = [sender.plan([message()])[0] for _ in range(SENDS)]
    return [
        one for results in await asyncio.gather(*(c.make(None) for c in calls)) for one in results
    ]


@pytest.mark.parametrize("kind", KINDS)
async def test_concurrent_sends_share_one_refresh(
    make: Callable[..., Any], message: Callable[..., wire.Message], clock: Clock, kind: str
) -> None:
    provider = make(kind)
    service = Service(kind, provider)
    sender = HttpSender(provider, service, clock, timeout=10.0)

    results = await send_all(sender, message)

    assert (service.given, service.taken, service.refused) == (1, SENDS, 0)
    assert all(isinstance(one, wire.Accepted) for one in results)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_token_that_is_refused_to_all_of_them_is_renewed_once(
    make: Callable[..., Any], message: Callable[..., wire.Message], clock: Clock, kind: str
) -> None:
    provider = make(kind)
    service = Service(kind, provider)
    sender = HttpSender(provider, service, clock, timeout=10.0)
    await send_all(sender, message)
    service.given += 1  # somebody else has had a new one, which ended ours
    service.taken = 0

    results = await send_all(sender, message)

    assert (service.given, service.taken, service.refused) == (3, SENDS, SENDS)
    assert all(isinstance(one, wire.Accepted) for one in results)


def test_no_kind_with_tokens_is_left_out(make: Callable[..., Any]) -> None:
    kinds = {path.parent.name for path in HERE.glob("*/settings.json")}

    with_tokens = {kind for kind in kinds if getattr(make(kind), "credential", None) is not None}

    assert with_tokens == set(KINDS)
