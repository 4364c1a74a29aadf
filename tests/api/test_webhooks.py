"""Webhook endpoints, receipts and what operators see."""

from typing import Any

import pytest
from yarl import URL

TARGET = "https://example.com/hooks"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
GIVEN = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


async def test_endpoints_are_listed_without_secrets(edge: Any) -> None:
    async with edge.session.get(f"{edge.url}/v1/webhooks") as answer:
        text = await answer.text()
        configured, off = (await answer.json())["webhooks"]

    assert "whsec_" not in text
    assert (configured["configured"], configured["enabled"]) == (True, True)
    assert (off["enabled"], off["disabled_reason"]) == (False, "failed for five days")


@pytest.mark.parametrize(("body", "shown"), [({}, SECRET), ({"secret": GIVEN}, None)])
async def test_secret_is_shown_only_when_the_gateway_made_it(
    edge: Any, body: dict[str, str], shown: str | None
) -> None:
    async with edge.session.put(f"{edge.url}/v1/webhooks", json={"url": TARGET, **body}) as answer:
        made = await answer.json()

    assert (answer.status, answer.headers["Location"]) == (201, "/v1/webhooks/made")
    assert made.get("secret") == shown


async def test_endpoint_is_replaced(edge: Any) -> None:
    body = {"url": TARGET, "events": ["message.failed"]}

    async with edge.session.put(f"{edge.url}/v1/webhooks/e1", json=body) as answer:
        made = await answer.json()

    assert (answer.status, made["id"], made["events"]) == (200, "e1", ["message.failed"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": TARGET, "events": ["message.queued"]}, "events[0]"),
        ({"url": TARGET, "secret": "short"}, "secret"),
        ({"url": f"{TARGET}\r\nHost: x"}, "url"),
    ],
)
async def test_bad_endpoint_is_refused_by_field(edge: Any, body: Any, field: str) -> None:
    async with edge.session.put(f"{edge.url}/v1/webhooks", json=body) as answer:
        problem = await answer.json(content_type="application/problem+json")

    assert answer.status == 422
    assert problem["faults"][0]["field"] == field


async def test_endpoint_is_deleted_unless_configured(edge: Any) -> None:
    async with edge.session.delete(f"{edge.url}/v1/webhooks/e1") as answer:
        gone, body = answer.status, await answer.read()
    async with edge.session.delete(f"{edge.url}/v1/webhooks/default") as answer:
        kept = answer.status

    assert (gone, body, kept) == (204, b"", 409)


async def test_replay_counts_what_it_queued(edge: Any, fakes: Any) -> None:
    body = {"since": "1970-01-01T00:00:01Z", "only_failed": False}

    async with edge.session.post(f"{edge.url}/v1/webhooks/e1/replay", json=body) as answer:
        result = await answer.json()

    assert (answer.status, result) == (202, {"queued": 3})
    assert fakes.endpoints.replayed == [("e1", 1000, False)]


async def test_receipt_reaches_its_provider_as_it_came(edge: Any, fakes: Any) -> None:
    body = b"\x00\xff raw \r\n"
    headers = [("X-Sign", "one"), ("X-Sign", "two"), ("Authorization", ""), ("Host", "10.0.0.1")]

    url = URL(f"{edge.url}/v1/receipts/acme?a=%2Fb&c=d+e", encoded=True)
    async with edge.session.post(url, data=body, headers=headers) as answer:
        said = await answer.read()

    ((account, request),) = fakes.receipts.taken
    assert (answer.status, answer.content_type, said) == (200, "text/xml", b"<Response/>")
    assert (account, request.method, request.body) == ("acme", "POST", body)
    assert request.url == "https://gw.example.com/v1/receipts/acme?a=%2Fb&c=d+e"
    assert request.headers["x-sign"] == "one, two"


async def test_service_may_put_a_path_of_its_own_after_its_address(edge: Any, fakes: Any) -> None:
    statuses = []
    for account in ("platform", "acme"):
        url = f"{edge.url}/v1/receipts/{account}/openchatbot/v2/DeliveryInfoNotification"
        async with edge.session.post(url, data=b"x") as answer:
            statuses.append(answer.status)

    ((account, request),) = fakes.receipts.taken
    assert statuses == [200, 404]
    assert account == "platform"
    assert request.url.endswith("/v1/receipts/platform/openchatbot/v2/DeliveryInfoNotification")


async def test_address_can_be_proved_by_a_get(edge: Any, fakes: Any) -> None:
    async with edge.session.get(f"{edge.url}/v1/receipts/acme?echostr=1") as answer:
        status = answer.status

    assert (status, fakes.receipts.taken[0][1].method) == (200, "GET")


@pytest.mark.parametrize(
    ("account", "status"),
    [("nobody", 404), ("forged", 403), ("garbled", 400), ("%00", 404), ("unprovable", 503)],
)
async def test_receipt_that_cannot_be_used_is_refused(edge: Any, account: str, status: int) -> None:
    async with edge.session.post(f"{edge.url}/v1/receipts/{account}", data=b"x") as answer:
        problem = await answer.json(content_type="application/problem+json")

    assert (answer.status, problem["status"]) == (status, status)


class TestNoPublicUrl:
    """Without a configured public address."""

    @pytest.fixture
    def fakes(self, fakes: Any) -> Any:
        fakes.public_url = ""
        return fakes

    async def test_url_is_the_one_of_the_request(self, edge: Any, fakes: Any) -> None:
        async with edge.session.post(
            f"{edge.url}/v1/receipts/acme", data=b"x", headers={"Host": "gw.internal:81"}
        ) as answer:
            status = answer.status

        assert status == 200
        assert fakes.receipts.taken[0][1].url == "http://gw.internal:81/v1/receipts/acme"


async def test_health_of_providers_is_rounded(edge: Any) -> None:
    async with edge.session.get(f"{edge.url}/v1/providers") as answer:
        (provider,) = (await answer.json())["providers"]

    assert (provider["tokens"], provider["acceptance"]) == (12.1235, 0.9123)
    assert provider["delivery"] is None


async def test_probes_and_metrics_are_on_the_internal_port_alone(edge: Any) -> None:
    statuses = {}
    for path in ("/metrics", "/healthz", "/readyz"):
        async with (
            edge.session.get(edge.internal_url + path) as inside,
            edge.session.get(edge.url + path) as outside,
        ):
            statuses[path] = (inside.status, outside.status)
    async with edge.session.get(f"{edge.internal_url}/v1/messages") as answer:
        messages = answer.status

    assert set(statuses.values()) == {(200, 404)}
    assert messages == 404


async def test_readiness_says_why_not(edge: Any, fakes: Any) -> None:
    fakes.operations.reason = "draining"

    async with edge.session.get(f"{edge.internal_url}/readyz") as answer:
        ready, text = answer.status, await answer.text()
    async with edge.session.get(f"{edge.internal_url}/healthz") as answer:
        alive = answer.status

    assert (ready, text.strip(), alive) == (503, "draining", 200)
