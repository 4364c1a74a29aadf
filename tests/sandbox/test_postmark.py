"""The Postmark simulator, by Postmark's own library."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
import pytest
from postmark import ServerClient
from postmark.exceptions import (
    InactiveRecipientException,
    InvalidAPIKeyException,
    PostmarkAPIException,
    RateLimitException,
    ServerException,
)

from gateway.model import wire
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.magic import Fate
from gateway.sandbox.postmark import SERVER_TOKEN, PostmarkSimulator

REFERENCE = "01900000-0000-7000-8000-00000000000a-0-1-0"
MAIL: dict[str, Any] = {
    "sender": "Example <noreply@example.com>",
    "to": "li@example.com",
    "subject": "Hello",
    "text_body": "Hi",
    "metadata": {"gw_id": REFERENCE},
    "message_stream": "outbound",
}


@asynccontextmanager
async def connected(
    simulator: PostmarkSimulator, token: str = SERVER_TOKEN
) -> AsyncIterator[ServerClient]:
    async with ServerClient(token, retries=0, base_url=simulator.url) as client:
        yield client


async def send(simulator: PostmarkSimulator, **changes: Any) -> Any:
    async with connected(simulator) as client:
        return await client.outbound.send({**MAIL, **changes})


async def test_mail_is_taken_as_the_library_expects() -> None:
    async with PostmarkSimulator() as simulator:
        answer = await send(simulator)

    assert answer.success
    assert answer.to == "li@example.com"
    [arrival] = simulator.log.arrivals
    assert (arrival.id, arrival.fate) == (answer.message_id, Fate.TAKEN)
    assert (arrival.reference, arrival.to) == (REFERENCE, "li@example.com")


async def test_batch_is_answered_in_its_order() -> None:
    mails: list[Any] = [{**MAIL, "to": f"li+{at}@example.com"} for at in range(30)]
    async with PostmarkSimulator() as simulator, connected(simulator) as client:
        answers = await client.outbound.send_batch(mails)

    assert [one.to for one in answers] == [one["to"] for one in mails]
    assert len({one.message_id for one in answers}) == 30
    assert simulator.log.taken == 30


async def test_wrong_token_is_refused() -> None:
    async with PostmarkSimulator() as simulator, connected(simulator, "wrong") as client:
        with pytest.raises(InvalidAPIKeyException) as error:
            await client.outbound.send(MAIL)

    assert (error.value.http_status, error.value.error_code) == (401, 10)


async def test_inactive_address_is_named() -> None:
    async with PostmarkSimulator() as simulator:
        with pytest.raises(InactiveRecipientException) as error:
            await send(simulator, to="invalid@example.com")

    assert error.value.inactive_recipients == ["invalid@example.com"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"to": "nobody"}, 300),
        ({"to": ""}, 300),
        ({"sender": "nobody"}, 300),
        ({"cc": "x"}, 300),
        ({"text_body": None}, 300),
        ({"to": ",".join(["li@example.com"] * 51)}, 300),
        ({"metadata": {"a" * 21: "x"}}, 300),
        ({"metadata": {"a": "x" * 81}}, 300),
        ({"metadata": {str(at): "x" for at in range(11)}}, 300),
        ({"attachments": [{"Name": "a.exe", "Content": "eA==", "ContentType": "a/b"}]}, 411),
        ({"attachments": [{"Name": "a.txt", "Content": "?", "ContentType": "a/b"}]}, 300),
        ({"to": "big@example.com"}, 411),
    ],
)
async def test_mail_that_breaks_a_rule_is_refused(changes: dict[str, Any], code: int) -> None:
    async with PostmarkSimulator() as simulator:
        with pytest.raises(PostmarkAPIException) as error:
            await send(simulator, **changes)

    assert (error.value.http_status, error.value.error_code) == (422, code)


@pytest.mark.parametrize(
    ("name", "kind", "status"),
    [
        ("later", ServerException, 503),
        ("throttled", RateLimitException, 429),
        ("credential", InvalidAPIKeyException, 401),
    ],
)
async def test_addresses_decide(name: str, kind: type[PostmarkAPIException], status: int) -> None:
    async with PostmarkSimulator() as simulator:
        with pytest.raises(kind) as error:
            await send(simulator, to=f"{name}@example.com")

    assert error.value.http_status == status


async def post(url: str, body: object, **headers: str) -> tuple[int, int]:
    """(HTTP status, ErrorCode) of a batch."""
    usual = {"X-Postmark-Server-Token": SERVER_TOKEN, "Content-Type": "application/json"}
    given = {**usual, **{name.replace("_", "-"): value for name, value in headers.items()}}
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session,
        session.post(f"{url}/email/batch", data=data, headers=given) as response,
    ):
        return response.status, (await response.json())["ErrorCode"]


RAW = {"From": "a@example.com", "To": "b@example.com", "TextBody": "x"}


@pytest.mark.parametrize(
    ("body", "found"),
    [([RAW] * 501, (422, 410)), ([], (422, 403)), ({}, (422, 403)), (b"{", (422, 403))],
)
async def test_batch_that_is_none_is_refused(body: object, found: tuple[int, int]) -> None:
    async with PostmarkSimulator() as simulator:
        assert await post(simulator.url, body) == found

    assert simulator.log.total == 0


async def test_body_must_be_json() -> None:
    async with PostmarkSimulator() as simulator:
        assert await post(simulator.url, [RAW], Content_Type="text/plain") == (415, 409)


async def test_mail_of_a_batch_may_break_a_rule_alone() -> None:
    async with PostmarkSimulator() as simulator:
        usual = {"X-Postmark-Server-Token": SERVER_TOKEN, "Content-Type": "application/json"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{simulator.url}/email/batch",
                data=orjson.dumps([RAW, 7, {**RAW, "To": "x"}, RAW]),
                headers=usual,
            ) as response,
        ):
            answers = await response.json()

    assert response.status == 200
    assert [one["ErrorCode"] for one in answers] == [0, 403, 300, 0]
    assert simulator.log.counts == {Fate.TAKEN: 2, Fate.INVALID: 2}


async def test_lost_answer_takes_the_whole_batch_with_it() -> None:
    lost = {**RAW, "To": "lost@example.com"}
    async with PostmarkSimulator() as simulator:
        with pytest.raises(aiohttp.ClientError):
            await post(simulator.url, [RAW, lost])

    assert simulator.log.counts == {Fate.LOST: 2}


async def test_webhooks_carry_what_proves_them(
    sink_url: str, inbox: list[wire.HttpRequest]
) -> None:
    simulator = PostmarkSimulator(
        webhook_username="li",
        webhook_password="x",
        webhook_headers={"X-Secret": "y"},
        knobs=Knobs(receipt_url=sink_url),
    )
    async with simulator:
        answer = await send(simulator)
        async with asyncio.timeout(20):
            await simulator.reporter.join()

    [request] = inbox
    webhook = orjson.loads(request.body)
    assert request.headers["authorization"] == "Basic " + base64.b64encode(b"li:x").decode()
    assert request.headers["x-secret"] == "y"
    assert (webhook["RecordType"], webhook["MessageID"]) == ("Delivery", answer.message_id)
    assert (webhook["Recipient"], webhook["Metadata"]) == ("li@example.com", {"gw_id": REFERENCE})


@pytest.mark.parametrize(("status", "tries"), [(503, 2), (400, 2), (403, 1), (200, 1)])
async def test_webhook_is_tried_again_unless_it_is_forbidden(
    sink_url: str, inbox: list[wire.HttpRequest], answers: list[int], status: int, tries: int
) -> None:
    answers.append(status)
    knobs = Knobs(receipt_url=sink_url, receipt_retry_delay=0.0)
    async with PostmarkSimulator(knobs=knobs) as simulator:
        await send(simulator)
        async with asyncio.timeout(20):
            await simulator.reporter.join()

    assert len(inbox) == tries
