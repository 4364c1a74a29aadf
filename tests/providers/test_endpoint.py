"""Recipients' own systems, against the reference library of Standard Webhooks."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from gateway.model import wire
from gateway.providers import endpoint

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
RECIPIENT = wire.Scope.RECIPIENT


@pytest.fixture(name="provider")
def fixture_provider(make: Callable[..., Any]) -> endpoint.Provider:
    provider: endpoint.Provider = make("endpoint")
    return provider


@pytest.fixture(name="post")
def fixture_post(
    make: Callable[..., Any], message: Callable[..., wire.Message], clock_at: Callable[..., Any]
) -> Callable[..., wire.HttpRequest]:
    """The request for a message, made now: the library has no clock but the machine's."""

    def build(**changes: Any) -> wire.HttpRequest:
        now = clock_at(int(datetime.now(UTC).timestamp()))
        [(_, request)] = make("endpoint", clock=now).build_requests([message(**changes)])
        built: wire.HttpRequest = request
        return built

    return build


def test_request_goes_where_the_message_says_and_is_signed(
    post: Callable[..., wire.HttpRequest],
) -> None:
    content = wire.Content(text="Door open", title="Alarm", extra={"data": {"door": 3}})

    request = post(content=content)

    body = Webhook(SECRET).verify(request.body, dict(request.headers))
    assert request.url == "https://tenant.example.com/hooks?a=1"
    assert body["type"] == "message"
    assert body["data"] == {
        "id": "0195500a-5c00-7000-8000-000000000001",
        "category": "otp",
        "title": "Alarm",
        "text": "Door open",
        "data": {"door": 3},
    }


def test_second_copy_has_the_same_id(post: Callable[..., wire.HttpRequest]) -> None:
    assert post().headers["webhook-id"] == post().headers["webhook-id"]


def test_content_that_is_too_long_cannot_be_sent(post: Callable[..., wire.HttpRequest]) -> None:
    with pytest.raises(ValueError, match="more than 262144 bytes"):
        post(content=wire.Content(text="x" * 262_144))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, wire.Accepted()),
        (204, wire.Accepted()),
        (301, wire.Rejected(code="http_301", detail="refused", scope=RECIPIENT)),
        (400, wire.Rejected(code="http_400")),
        (401, wire.Rejected(code="http_401", detail="refused", scope=RECIPIENT)),
        (403, wire.Rejected(code="http_403", detail="refused", scope=RECIPIENT)),
        (410, wire.Rejected(code="http_410", detail="gone", scope=RECIPIENT, suppress=True)),
        (429, wire.Deferred(code="http_429", cause=wire.Cause.RECIPIENT)),
        (503, wire.Deferred(code="http_503")),
    ],
)
def test_answers_are_about_the_recipient_alone(
    provider: endpoint.Provider, status: int, expected: wire.AttemptResult
) -> None:
    assert provider.result(wire.HttpResponse(status=status)) == expected


def test_requests_go_only_where_the_guard_lets_them(provider: endpoint.Provider) -> None:
    assert provider.guarded
    assert not provider.knows("https://tenant.example.com")
