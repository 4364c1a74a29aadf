"""Mailgun's simulator against the service's own SDK, and what it refuses."""

import asyncio
import base64
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
import orjson
import pytest
from mailgun.client import Client
from mailgun.security import SecurityGuard

from gateway.model import wire
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.magic import Fate
from gateway.sandbox.mailgun import API_KEY, DOMAIN, MAGNIFICENT, SIGNING_KEY, MailgunSimulator
from gateway.sandbox.mailgun_events import signature

Fields = Sequence[tuple[str, str]]

FORM: Fields = [
    ("from", "Ex Ample <noreply@mg.example.com>"),
    ("to", "ann@example.org"),
    ("subject", "S"),
    ("text", "Hi"),
    ("v:gw_id", "r-1"),
]


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


async def send(
    session: aiohttp.ClientSession,
    simulator: MailgunSimulator,
    form: Fields = FORM,
    headers: Mapping[str, str] | None = None,
    path: str = f"/v3/{DOMAIN}/messages",
) -> tuple[int, str]:
    """(status, body)"""
    async with session.post(
        simulator.url + path,
        data=form,
        headers=basic("api", API_KEY) if headers is None else headers,
    ) as response:
        return response.status, await response.text()


async def test_sdk_sends_a_batch_and_believes_the_webhooks(
    sink_url: str, inbox: list[wire.HttpRequest], answers: list[int]
) -> None:
    answers += [200] * 4
    variables = {"ann@example.org": {"n": "Ann"}, "bob@example.org": {"n": "Bob"}}
    mail = {
        "from": "noreply@mg.example.com",
        "to": list(variables),
        "subject": "Hi %recipient.n%",
        "text": "x %recipient.other%",
        "h:X-Name": "%recipient.n%",
        "v:gw_id": "r-%recipient.n%",
        "recipient-variables": orjson.dumps(variables).decode(),
    }

    def call() -> Any:
        with Client(auth=("api", API_KEY), api_url=simulator.url) as client:
            return client.messages.create(domain=DOMAIN, data=mail)

    async with MailgunSimulator(knobs=Knobs(receipt_url=sink_url)) as simulator:
        answer = await asyncio.to_thread(call)
        await simulator.reporter.join()

        ann, bob = simulator.log.arrivals
    assert (answer.status_code, answer.json()["message"]) == (200, "Queued. Thank you.")
    assert (ann.content["subject"], bob.content["subject"]) == ("Hi Ann", "Hi Bob")
    assert ann.content["text"] == "x %recipient.other%"
    assert ann.content["headers"] == {"X-Name": "Ann"}
    assert ann.content["visible_to"] == ["ann@example.org"]
    posts = [orjson.loads(request.body) for request in inbox]
    assert all(
        SecurityGuard.verify_webhook(SIGNING_KEY, **post["signature"], max_age_seconds=0)
        for post in posts
    )
    assert all(len(post["signature"]["token"]) == 50 for post in posts)
    told = [(one["event-data"]["event"], one["event-data"]["user-variables"]) for one in posts]
    assert sorted(told, key=str) == [
        ("accepted", {"gw_id": "r-Ann"}),
        ("accepted", {"gw_id": "r-Bob"}),
        ("delivered", {"gw_id": "r-Ann"}),
        ("delivered", {"gw_id": "r-Bob"}),
    ]
    call_id = answer.json()["id"].strip("<>")
    headers = [one["event-data"]["message"]["headers"] for one in posts]
    assert {one["message-id"] for one in headers} == {call_id}


def test_signature_is_the_documented_one() -> None:
    token = "a8ce0edb2dd8301dee6c2405235584e45aa91d1e9f979f3de0"

    found = signature("key-test-signing", timestamp="1529006854", token=token)

    assert found == "ea80a3596ce790aa20ccea2a5ba5f2f725e02026d71bc488e9308afc89b5907b"


async def test_without_variables_everybody_sees_all(session: aiohttp.ClientSession) -> None:
    async with MailgunSimulator() as simulator:
        await send(session, simulator, [*FORM, ("to", "Bob <bob@example.org>")])

        seen = [one.content["visible_to"] for one in simulator.log.arrivals]
    assert seen == [["ann@example.org", "bob@example.org"]] * 2


@pytest.mark.parametrize(
    "headers", [{}, basic("api", "wrong"), basic("me", API_KEY), {"Authorization": API_KEY}]
)
async def test_wrong_credentials_are_forbidden(
    session: aiohttp.ClientSession, headers: Mapping[str, str]
) -> None:
    async with MailgunSimulator() as simulator:
        assert await send(session, simulator, headers=headers) == (401, "Forbidden")
        assert simulator.log.total == 0


async def test_unknown_paths_are_magnificent(session: aiohttp.ClientSession) -> None:
    async with MailgunSimulator() as simulator:
        found = await send(session, simulator, path=f"/v3/{DOMAIN}/x/messages")

    assert found == (200, MAGNIFICENT)


async def test_unknown_domain_is_not_found(session: aiohttp.ClientSession) -> None:
    async with MailgunSimulator() as simulator:
        status, body = await send(session, simulator, path="/v3/example.net/messages")

    assert status == 404
    assert orjson.loads(body)["message"].startswith("Domain not found")


async def test_json_is_no_form(session: aiohttp.ClientSession) -> None:
    headers = {**basic("api", API_KEY), "Content-Type": "application/json"}
    async with (
        MailgunSimulator() as simulator,
        session.post(
            f"{simulator.url}/v3/{DOMAIN}/messages", data=b"{}", headers=headers
        ) as response,
    ):
        assert response.status == 400


async def test_multipart_is_read_too(session: aiohttp.ClientSession) -> None:
    form = aiohttp.FormData(FORM, default_to_multipart=True)
    async with MailgunSimulator() as simulator:
        async with session.post(
            f"{simulator.url}/v3/{DOMAIN}/messages", data=form, headers=basic("api", API_KEY)
        ) as response:
            assert response.status == 200

        assert simulator.log.arrivals[0].content["variables"] == {"gw_id": "r-1"}


def without(name: str) -> Fields:
    return [(key, value) for key, value in FORM if key != name]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (without("from"), "from parameter is missing"),
        ([*without("from"), ("from", "nobody")], "'from' parameter is not a valid address"),
        (without("to"), "to parameter is missing"),
        ([*FORM, ("to", "nobody")], "'to' parameter is not a valid address"),
        ([*FORM, ("to", "")], "'to' parameter is not a valid address"),
        ([*FORM, ("cc", "a@b")], "'cc' parameter is not a valid address"),
        (
            [*FORM, *[("to", f"p{number}@example.org") for number in range(1000)]],
            "Too many recipients, max is 1000",
        ),
        (without("text"), "Need at least one of 'text'"),
        ([*FORM, ("v:x", "x" * 17_000)], "o:, h:, v: and t: parameters are limited"),
        ([*FORM, ("h:Reply-To", "Jürgen <a@b.org>")], "h:Reply-To header is not ASCII"),
        ([*FORM, ("h:X", "a\nBcc: b")], "h:X header is not ASCII"),
        ([*FORM, ("o:testmode", "perhaps")], "o:testmode parameter"),
        ([*FORM, *[("o:tag", str(number)) for number in range(4)]], "at most 3 tags"),
        ([*FORM, ("o:deliverytime", "soon")], "o:deliverytime is not a valid"),
        ([*FORM, ("recipient-variables", "{")], "'recipient-variables' parameter"),
        ([*FORM, ("recipient-variables", '{"a": 7}')], "'recipient-variables' parameter"),
    ],
)
async def test_what_the_service_refuses_is_refused(
    session: aiohttp.ClientSession, form: Fields, text: str
) -> None:
    async with MailgunSimulator() as simulator:
        status, body = await send(session, simulator, form)

        assert status == 400
        assert orjson.loads(body)["message"].startswith(text)
        assert set(simulator.log.counts) == {Fate.INVALID}


async def test_account_may_be_kept_from_large_batches(session: aiohttp.ClientSession) -> None:
    async with MailgunSimulator(max_batch=1) as simulator:
        one, _ = await send(session, simulator)
        two, _ = await send(session, simulator, [*FORM, ("to", "bob@example.org")])

    assert (one, two) == (200, 403)


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (Fate.TEMPORARY, 503, "Service unavailable"),
        (Fate.THROTTLED, 429, "limit exceeded, try again after "),
        (Fate.PERMANENT, 402, "Request failed"),
        (Fate.RECIPIENT, 400, "'to' parameter is not a valid address"),
        (Fate.CREDENTIAL, 401, "Forbidden"),
    ],
)
async def test_error_knob_has_its_answer(
    session: aiohttp.ClientSession, error: Fate, status: int, text: str
) -> None:
    async with MailgunSimulator(knobs=Knobs(error_rate=1, error=error)) as simulator:
        found, body = await send(session, simulator)

        assert (found, text in body) == (status, True)
        assert simulator.log.counts == {error: 1}


@pytest.mark.parametrize(
    ("given", "posts"), [([200], 1), ([406], 1), ([500, 404, 200], 3), ([204, 200], 2)]
)
async def test_webhook_is_repeated_until_200_or_406(
    session: aiohttp.ClientSession,
    sink_url: str,
    inbox: list[wire.HttpRequest],
    answers: list[int],
    given: list[int],
    posts: int,
) -> None:
    answers += given
    knobs = Knobs(receipt_url=sink_url, receipt_retry_delay=0, receipt=wire.ReceiptEvent.SENT)
    async with MailgunSimulator(knobs=knobs) as simulator:
        await send(session, simulator)
        await simulator.reporter.join()

    tokens = {orjson.loads(request.body)["signature"]["token"] for request in inbox}
    assert len(tokens) == len(inbox) == posts


async def test_report_of_a_delivery_is_made_once(
    session: aiohttp.ClientSession,
    sink_url: str,
    inbox: list[wire.HttpRequest],
    answers: list[int],
) -> None:
    answers += [500] * 10
    async with MailgunSimulator(knobs=Knobs(receipt_url=sink_url)) as simulator:
        simulator.knobs.receipt_retry_delay = 0
        await send(session, simulator)
        await simulator.reporter.join()

    events = [orjson.loads(request.body)["event-data"]["event"] for request in inbox]
    assert events.count("delivered") == 1
    assert events.count("accepted") == 6
