"""Messages over HTTP: what reaches intake, and what callers read."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.model import errors
from gateway.model.message import Mode, OnUnknown, Priority
from gateway.model.state import State
from gateway.model.submission import Dedupe, Device, StepRequest, To

KNOWN = "01989f3c-7b1e-7a52-9d0f-3c1d5f6b8a21"
UNKNOWN = "01989f3c-7b1e-7a52-9d0f-3c1d5f6b8a22"
GOOD: dict[str, Any] = {"to": {"phone": "+8613800138000"}, "content": {"text": "hello"}}
FULL: dict[str, Any] = {
    "to": {
        "phone": "+8613800138000",
        "email": "li@example.com",
        "push": [{"app": "ios", "token": "t1"}, {"app": "web", "token": "t2"}],
        "wecom": "LiLei",
        "wechat": "openid",
        "recipient": "user-42",
        "zone": "Asia/Shanghai",
        "locale": "zh-Hans-CN",
    },
    "category": "otp",
    "priority": "critical",
    "chain": [
        {"channel": "push", "until": "delivered", "within": "20s"},
        {"channel": "sms", "until": "accepted"},
        {"channel": "email"},
    ],
    "template": "login-code",
    "data": {"code": "834201"},
    "dedupe": {"key": "login-42", "window": "60s"},
    "replaces": "order-17",
    "send_at": "2030-11-21T20:00:00+08:00",
    "expires_in": "5m",
    "on_unknown": "fallback",
    "mode": "all",
    "metadata": {"order": "A17"},
}


async def post(edge: Any, path: str, body: Any, **headers: str) -> tuple[int, Any]:
    async with edge.session.post(edge.url + path, json=body, headers=headers) as answer:
        return answer.status, json.loads(await answer.read())


async def test_tables_of_provider_kinds_reach_intake(edge: Any, fakes: Any) -> None:
    content = {
        "text": "hello",
        "sms": {"text": "hi"},
        "aliyun": {"template": "SMS_1", "sign": "Acme", "params": {"code": "1"}},
        "wechat": {"template": "T", "data": {"first": {"value": "1"}}, "text": "hello there"},
    }

    status, _ = await post(edge, "/v1/messages", {**GOOD, "content": content})

    (got,) = fakes.intake.accepted
    assert status == 202
    assert got.content == content


async def test_every_field_reaches_intake(edge: Any, fakes: Any) -> None:
    status, body = await post(edge, "/v1/messages", FULL)

    (got,) = fakes.intake.accepted
    assert status == 202
    assert set(body) == {"id", "state", "duplicate"}
    assert got.to == To(
        phone="+8613800138000",
        email="li@example.com",
        push=(Device(app="ios", token="t1"), Device(app="web", token="t2")),
        wecom="LiLei",
        wechat="openid",
        recipient="user-42",
        zone="Asia/Shanghai",
        locale="zh-Hans-CN",
    )
    assert (got.category, got.priority) == ("otp", Priority.CRITICAL)
    assert got.chain == (
        StepRequest(channel="push", until=State.DELIVERED, within=20.0),
        StepRequest(channel="sms", until=State.SENT),
        StepRequest(channel="email"),
    )
    assert (got.template, got.data, got.content) == ("login-code", {"code": "834201"}, {})
    assert got.dedupe == Dedupe(key="login-42", window=60.0)
    assert got.replaces == "order-17"
    assert got.send_at == datetime(2030, 11, 21, 12, tzinfo=UTC)
    assert got.expires_in == 300.0
    assert (got.on_unknown, got.mode) == (OnUnknown.FALLBACK, Mode.ALL)
    assert got.metadata == {"order": "A17"}
    assert (got.idempotency_key, got.fingerprint) == ("", b"")


async def test_what_is_absent_is_left_to_the_category(edge: Any, fakes: Any) -> None:
    status, body = await post(edge, "/v1/messages", GOOD)

    (got,) = fakes.intake.accepted
    assert status == 202
    assert set(body) == {"id", "state"}
    assert got.category == ""
    assert (got.priority, got.chain, got.on_unknown, got.dedupe) == (None, (), None, None)
    assert (got.send_at, got.expires_in, got.mode) == (None, None, Mode.CHAIN)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("250ms", 0.25),
        ("20s", 20.0),
        ("1.5h", 5400.0),
        ("366d", 31_622_400.0),
        (90, 90.0),
        (0.5, 0.5),
    ],
)
async def test_durations_are_read_in_every_form(
    edge: Any, fakes: Any, given: Any, seconds: float
) -> None:
    status, _ = await post(edge, "/v1/messages", {**GOOD, "expires_in": given})

    assert status == 202
    assert fakes.intake.accepted[0].expires_in == seconds


async def test_fingerprint_tells_bodies_apart_and_nothing_else(edge: Any, fakes: Any) -> None:
    reordered = dict(reversed(GOOD.items()))
    other = {**GOOD, "category": "otp"}

    for body in (GOOD, reordered, other):
        await post(edge, "/v1/messages", body, **{"Idempotency-Key": "k 1"})
    await post(edge, "/v1/messages/batch", [{**GOOD, "idempotency_key": "k 1"}])

    first, second, third, batched = fakes.intake.accepted
    assert {one.idempotency_key for one in fakes.intake.accepted} == {"k 1"}
    assert first.fingerprint
    assert first.fingerprint == second.fingerprint == batched.fingerprint
    assert third.fingerprint != first.fingerprint


async def test_refusal_of_intake_names_the_field(edge: Any) -> None:
    status, problem = await post(edge, "/v1/messages", {**GOOD, "category": "refused"})

    assert status == 422
    assert problem["type"] == "/docs#problem-invalid-message"
    assert problem["faults"] == [{"field": "category", "detail": "is not configured"}]


async def test_one_bad_message_does_not_sink_the_batch(edge: Any, fakes: Any) -> None:
    batch = [
        GOOD,
        {"to": 1},
        {**GOOD, "category": "refused"},
        7,
        {**GOOD, "data": {"a": "\0"}},
        GOOD,
    ]

    status, body = await post(edge, "/v1/messages/batch", batch)

    assert status == 202
    assert ["id" in one for one in body["results"]] == [True, False, False, False, False, True]
    assert body["results"][1]["problem"]["faults"][0]["field"] == "to"
    assert body["results"][2]["problem"]["faults"][0]["field"] == "category"
    assert "U+0000" in body["results"][4]["problem"]["faults"][0]["detail"]
    assert fakes.keys.admitted == [6]
    assert len(fakes.intake.accepted) == 3


async def test_lines_are_a_batch_in_which_a_bad_line_stands_alone(edge: Any, fakes: Any) -> None:
    good = json.dumps(GOOD)
    deep = '{"data":' + "[" * 200 + "]" * 200 + "}"
    lines = f'{good}\n\n{{"to": "\n{deep}\r\n{good}\n'
    headers = {"Content-Type": "application/x-ndjson"}

    async with edge.session.post(
        f"{edge.url}/v1/messages/batch", data=lines, headers=headers
    ) as answer:
        results = (await answer.json())["results"]

    assert answer.status == 202
    assert ["id" in one for one in results] == [True, False, False, True]
    assert results[1]["problem"]["status"] == 400
    assert results[2]["problem"]["status"] == 422


async def test_batch_of_which_none_is_accepted_answers_422_with_results(edge: Any) -> None:
    status, body = await post(
        edge, "/v1/messages/batch", [{"to": 1}, {**GOOD, "category": "refused"}]
    )

    assert status == 422
    assert body["title"] == "Invalid message"
    assert [one["problem"]["status"] for one in body["results"]] == [422, 422]


@pytest.mark.parametrize("body", [[], [GOOD] * 1001, {"messages": [GOOD]}, 7])
async def test_what_is_no_batch_is_refused_whole(edge: Any, fakes: Any, body: Any) -> None:
    status, problem = await post(edge, "/v1/messages/batch", body)

    assert status == 422
    assert "results" not in problem
    assert fakes.keys.admitted == []


async def test_largest_batch_is_accepted(edge: Any, fakes: Any) -> None:
    status, body = await post(edge, "/v1/messages/batch", [GOOD] * 1000)

    assert (status, len(body["results"])) == (202, 1000)


async def test_thousand_and_one_lines_are_refused_whole(edge: Any, fakes: Any) -> None:
    headers = {"Content-Type": "application/x-ndjson"}

    async with edge.session.post(
        f"{edge.url}/v1/messages/batch", data="1\n" * 1001, headers=headers
    ) as answer:
        status = answer.status

    assert status == 422
    assert fakes.keys.admitted == []


async def test_key_of_a_whole_batch_is_refused(edge: Any, fakes: Any) -> None:
    status, _ = await post(edge, "/v1/messages/batch", [GOOD], **{"Idempotency-Key": "k"})

    assert status == 400
    assert fakes.intake.accepted == []


async def test_message_reads_with_its_timeline(edge: Any) -> None:
    async with edge.session.get(f"{edge.url}/v1/messages/{KNOWN.upper()}") as answer:
        body = await answer.json()

    assert answer.status == 200
    assert body == {
        "id": KNOWN,
        "state": "delivered",
        "category": "otp",
        "created_at": "2030-03-17T17:46:40.000Z",
        "expires_at": "2030-03-17T17:51:40.000Z",
        "metadata": {"order": "A17"},
        "timeline": [
            {
                "at": "2030-03-17T17:46:40.480Z",
                "event": "receipt.delivered",
                "channel": "sms",
                "provider": "acme",
                "detail": "",
            }
        ],
    }


async def test_unknown_message_is_not_found(edge: Any) -> None:
    async with edge.session.get(f"{edge.url}/v1/messages/{UNKNOWN}") as answer:
        status = answer.status

    assert status == 404


async def test_filters_reach_the_desk(edge: Any, fakes: Any) -> None:
    query = (
        f"state=failed&category=otp&since=1970-01-01T01:00:01%2B01:00"
        f"&until=1970-01-01T01:00:02+01:00&cursor={KNOWN}&limit=7"
    )

    async with edge.session.get(f"{edge.url}/v1/messages?{query}") as answer:
        body = await answer.json()

    (got,) = fakes.desk.filters
    assert (got.state, got.category, got.limit, got.cursor) == (State.FAILED, "otp", 7, KNOWN)
    assert (got.since_ms, got.until_ms) == (1000, 2000)
    assert body["next_cursor"] == KNOWN
    assert "timeline" not in body["messages"][0]


async def test_cancel_answers_the_message_and_redrive_a_conflict(edge: Any) -> None:
    cancelled, message = await post(edge, f"/v1/messages/{KNOWN}/cancel", None)
    redriven, problem = await post(edge, f"/v1/messages/{KNOWN}/redrive", None)

    assert (cancelled, message["state"]) == (200, "cancelled")
    assert (redriven, problem["title"]) == (409, "Conflict")


async def test_preview_shows_steps_taken_and_skipped(edge: Any, fakes: Any) -> None:
    status, body = await post(edge, "/v1/preview", GOOD)

    assert (status, body["decision"], body["category"]) == (200, "send", "service")
    assert body["chain"][0]["sms"] == {"alphabet": "gsm7", "length": 5, "segments": 1}
    assert body["chain"][1] == {"channel": "push", "skipped": "no address"}
    assert fakes.intake.accepted == []


async def test_preview_shows_until_when_it_would_wait(edge: Any, fakes: Any) -> None:
    fakes.intake.until_ms = 1_900_000_000_000

    _, waiting = await post(edge, "/v1/preview", GOOD)
    fakes.intake.until_ms = None
    _, starting = await post(edge, "/v1/preview", GOOD)

    assert waiting["until"] == "2030-03-17T17:46:40.000Z"
    assert "until" not in starting


@pytest.mark.parametrize("locale", ["", "zh_CN", "chinese!", "zh-", "a"])
async def test_locale_is_a_language_tag(edge: Any, fakes: Any, locale: str) -> None:
    body = {**GOOD, "to": {"phone": "+8613800138000", "locale": locale}}

    status, problem = await post(edge, "/v1/messages", body)

    assert (status, [one["field"] for one in problem["faults"]]) == (422, ["to.locale"])


async def test_unreachable_store_is_503_with_a_time_to_retry(edge: Any, fakes: Any) -> None:
    fakes.intake.failure = errors.StoreUnavailable("disk full")

    async with edge.session.post(f"{edge.url}/v1/messages", json=GOOD) as answer:
        problem = await answer.json(content_type="application/problem+json")

    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert "disk" not in str(problem)


async def test_bug_is_a_logged_500_that_tells_nothing(
    edge: Any, fakes: Any, caplog: pytest.LogCaptureFixture
) -> None:
    fakes.intake.failure = ZeroDivisionError("PLANTED")

    async with edge.session.post(
        f"{edge.url}/v1/messages", json=GOOD, headers={"X-Request-Id": "r-1"}
    ) as answer:
        text = await answer.text()

    assert answer.status == 500
    assert json.loads(text)["request_id"] == answer.headers["X-Request-Id"] == "r-1"
    assert "PLANTED" not in text
    assert "request_id=r-1" in caplog.text


async def test_tenant_over_its_rate_is_told_when_to_return(edge: Any, fakes: Any) -> None:
    fakes.keys.retry_after = 1.2

    async with edge.session.post(f"{edge.url}/v1/messages", json=GOOD) as answer:
        status, wait = answer.status, answer.headers["Retry-After"]

    assert (status, wait) == (429, "2")
