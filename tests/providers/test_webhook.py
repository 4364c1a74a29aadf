"""Our reports against the published vectors."""

from collections.abc import Callable

import pytest

import gateway
from gateway.clock import Clock
from gateway.model import wire
from gateway.providers import webhook

Make = Callable[..., webhook.Provider]
Message = Callable[..., wire.Message]

SECRETS = [
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
]


def read(make: Make, message: Message, status: int, **headers: str) -> wire.AttemptResult:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = wire.HttpResponse(status=status, headers=named, body=b"ignored")
    [result] = make("webhook").read_response([message()], response)
    return result


def test_request_is_as_recorded(
    make: Make,
    message: Message,
    clock_at: Callable[[int], Clock],
    recorded_request: Callable[[str], wire.HttpRequest],
) -> None:
    one = message(
        id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        to=wire.Address(url="https://customer.example/receipts"),
        content=wire.Content(text='{"test": 2432232314}', extra={"secrets": SECRETS}),
    )
    recorded = recorded_request("webhook/send")

    [(carried, request)] = make("webhook", clock=clock_at(1614265330)).build_requests([one])

    user_agent = {"user-agent": f"gateway/{gateway.__version__}"}
    assert carried == (one,)
    assert request.headers == {**recorded.headers, **user_agent}
    assert (request.method, request.url, request.body) == (
        recorded.method,
        recorded.url,
        recorded.body,
    )


def test_repeated_report_keeps_its_id_and_is_signed_anew(
    make: Make, message: Message, clock_at: Callable[[int], Clock]
) -> None:
    one = message(content=wire.Content(text="{}", extra={"secrets": SECRETS[:1]}))

    [(_, first)] = make("webhook", clock=clock_at(1614265330)).build_requests([one])
    [(_, again)] = make("webhook", clock=clock_at(1614265335)).build_requests([one])

    assert first.headers["webhook-id"] == again.headers["webhook-id"] == one.id
    assert again.headers["webhook-timestamp"] == "1614265335"
    assert first.headers["webhook-signature"] != again.headers["webhook-signature"]


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_success_is_enough(make: Make, message: Message, status: int) -> None:
    assert read(make, message, status) == wire.Accepted()


def test_endpoint_that_is_gone_is_never_called_again(make: Make, message: Message) -> None:
    assert read(make, message, 410) == wire.Rejected(
        code="http_410", detail="endpoint gone", scope=wire.Scope.RECIPIENT, suppress=True
    )


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_overloaded_endpoint_is_slowed_down(make: Make, message: Message, status: int) -> None:
    result = read(make, message, status, retry_after="30")

    assert result == wire.Deferred(
        code=f"http_{status}", cause=wire.Cause.THROTTLED, retry_after=30.0
    )


@pytest.mark.parametrize("status", [101, 301, 302, 400, 401, 403, 404, 422, 500, 503])
def test_everything_else_is_tried_again(make: Make, message: Message, status: int) -> None:
    result = read(make, message, status)

    assert result == wire.Deferred(code=f"http_{status}", cause=wire.Cause.TEMPORARY)
