"""SendGrid's simulator against the service's own SDK, and what it refuses."""

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
import orjson
import pytest
from python_http_client import exceptions
from sendgrid import SendGridAPIClient
from sendgrid.helpers import mail as sdk
from sendgrid.helpers.eventwebhook import EventWebhook

from gateway.model import wire
from gateway.sandbox import sendgrid_events
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.magic import Fate
from gateway.sandbox.sendgrid import API_KEY, SendGridSimulator

MAIL: Mapping[str, Any] = {
    "personalizations": [{"to": [{"email": "ann@example.org"}], "custom_args": {"gw_id": "r-1"}}],
    "from": {"email": "noreply@example.com"},
    "subject": "S",
    "content": [{"type": "text/plain", "value": "Hi"}],
}
HEADERS = {"Authorization": f"Bearer {API_KEY}", "Accept": "application/json"}


async def send(
    session: aiohttp.ClientSession,
    simulator: SendGridSimulator,
    mail: object = MAIL,
    headers: Mapping[str, str] = HEADERS,
) -> tuple[int, Any, Mapping[str, str]]:
    """(status, body, headers)"""
    url = f"{simulator.url}/v3/mail/send"
    async with session.post(url, json=mail, headers=headers) as response:
        body = await response.read()
        return response.status, orjson.loads(body) if body else None, response.headers


def two() -> sdk.Mail:
    """A mail to two as the SDK makes it."""
    mail = sdk.Mail(from_email="noreply@example.com", subject="S", plain_text_content="Hi")
    for name in ("bob", "ann"):  # the SDK puts each in front of the others
        person = sdk.Personalization()
        person.add_to(sdk.To(f"{name}@example.org"))
        person.add_custom_arg(sdk.CustomArg("gw_id", f"r-{name}"))
        mail.add_personalization(person)
    return mail


async def test_sdk_sends_and_believes_the_events(
    sink_url: str, inbox: list[wire.HttpRequest]
) -> None:
    async with SendGridSimulator(knobs=Knobs(receipt_url=sink_url)) as simulator:
        client = SendGridAPIClient(API_KEY, host=simulator.url)

        answer = await asyncio.to_thread(client.send, two())
        await simulator.reporter.join()

        assert answer.status_code == 202
        call = answer.headers["X-Message-Id"]
        assert [one.to for one in simulator.log.arrivals] == ["ann@example.org", "bob@example.org"]
    theirs = EventWebhook(simulator.public_key)
    for request in inbox:
        signature = request.headers["x-twilio-email-event-webhook-signature"]
        timestamp = request.headers["x-twilio-email-event-webhook-timestamp"]
        assert theirs.verify_signature(request.body.decode(), signature, timestamp)
        assert request.body.endswith(b"]\r\n")
    processed, delivered = [orjson.loads(request.body) for request in inbox]
    assert [one["event"] for one in processed] == ["processed"] * 2
    assert [one["event"] for one in delivered] == ["delivered"] * 2
    assert [one["gw_id"] for one in delivered] == ["r-ann", "r-bob"]
    assert all(one["sg_message_id"].startswith(f"{call}.") for one in processed + delivered)
    assert len({one["sg_event_id"] for one in processed + delivered}) == 4


async def test_sdk_hears_of_a_wrong_key() -> None:
    async with SendGridSimulator() as simulator:
        client = SendGridAPIClient("SG.wrong", host=simulator.url)

        with pytest.raises(exceptions.UnauthorizedError):
            await asyncio.to_thread(client.send, two())

        assert simulator.log.total == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({**HEADERS, "Authorization": API_KEY}, 401),
        ({"Accept": "application/json"}, 401),
        ({**HEADERS, "Accept": "text/html"}, 406),
        ({**HEADERS, "Content-Type": "text/plain"}, 415),
    ],
)
async def test_headers_are_checked(
    session: aiohttp.ClientSession, headers: Mapping[str, str], status: int
) -> None:
    async with SendGridSimulator() as simulator:
        found, body, _ = await send(session, simulator, headers=headers)

    assert found == status
    assert body["errors"][0]["message"]


def person(name: str = "ann", **fields: Any) -> dict[str, Any]:
    return {"to": [{"email": f"{name}@example.org"}], **fields}


def crowd(count: int) -> list[dict[str, Any]]:
    return [person(f"p{number}") for number in range(count)]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"personalizations": None}, "personalizations"),
        ({"personalizations": []}, "personalizations"),
        ({"personalizations": [7]}, "personalizations.0"),
        ({"personalizations": [{}]}, "personalizations.0.to"),
        ({"personalizations": [{"to": []}]}, "personalizations.0.to"),
        (
            {"personalizations": [person(), {"to": [{"email": "nobody"}]}]},
            "personalizations.1.to.0.email",
        ),
        ({"personalizations": [person(bcc=[{}])]}, "personalizations.0.bcc.0.email"),
        ({"personalizations": [person(topic="x")]}, "personalizations.0.topic"),
        ({"attachments": ["x"]}, "attachments.0.filename"),
        ({"attachments": [{"filename": "a"}]}, "attachments.0.content"),
        ({"attachments": [{"filename": "a", "content": "?"}]}, "attachments.0.content"),
        (
            {"attachments": [{"filename": "a", "content": "eA==", "type": "a/b;c"}]},
            "attachments.0.type",
        ),
        (
            {"attachments": [{"filename": "a", "content": "eA==", "disposition": "x"}]},
            "attachments.0.disposition",
        ),
        ({"personalizations": [person(), person("ANN")]}, "personalizations"),
        ({"personalizations": crowd(1001)}, "personalizations"),
        ({"personalizations": [person(subject="")]}, "personalizations.0.subject"),
        ({"personalizations": [person(headers={"To": "x"})]}, "personalizations.0.headers.To"),
        ({"personalizations": [person(headers={"X-A": 7})]}, "personalizations.0.headers"),
        ({"personalizations": [person(custom_args={"a": 7})]}, "personalizations.0.custom_args"),
        (
            {"personalizations": [person(custom_args={"a": "x" * 10_000})]},
            "personalizations.0.custom_args",
        ),
        ({"from": {"email": "nobody"}}, "from.email"),
        ({"from": None}, "from.email"),
        ({"reply_to": {"email": "x"}}, "reply_to.email"),
        ({"reply_to": {"email": "a@b.org"}, "reply_to_list": []}, "reply_to"),
        ({"subject": ""}, "personalizations.0.subject"),
        ({"content": []}, "content"),
        ({"content": [{"type": "text/plain", "value": ""}]}, "content"),
        ({"content": [{"type": "", "value": "x"}]}, "content.0.type"),
        (
            {
                "content": [
                    {"type": "text/html", "value": "x"},
                    {"type": "text/plain", "value": "x"},
                ]
            },
            "content.0.type",
        ),
        ({"headers": {"subject": "x"}}, "headers.subject"),
        ({"categories": ["a"] * 2}, "categories"),
        ({"categories": [str(number) for number in range(11)]}, "categories"),
        ({"categories": ["x" * 256]}, "categories"),
        ({"categories": 7}, "categories"),
        ({"ip_pool_name": "x"}, "ip_pool_name"),
        ({"send_at": 9_999_999_999}, "send_at"),
        ({"topic": "x"}, "topic"),
    ],
)
async def test_what_the_service_refuses_is_refused_by_field(
    session: aiohttp.ClientSession, change: Mapping[str, Any], field: str
) -> None:
    async with SendGridSimulator() as simulator:
        status, body, _ = await send(session, simulator, {**MAIL, **change})

        assert status == 400
        assert {one["field"] for one in body["errors"]} == {field}
        assert simulator.log.counts == {Fate.INVALID: 1}


@pytest.mark.parametrize("mail", [[], 7, "x"])
async def test_body_that_is_no_mail_is_refused(
    session: aiohttp.ClientSession, mail: object
) -> None:
    async with SendGridSimulator() as simulator:
        status, body, _ = await send(session, simulator, mail)

    assert (status, body["errors"][0]["field"]) == (400, None)


async def test_a_thousand_personalizations_are_taken(session: aiohttp.ClientSession) -> None:
    async with SendGridSimulator() as simulator:
        status, _, _ = await send(session, simulator, {**MAIL, "personalizations": crowd(1000)})

        assert (status, simulator.log.taken) == (202, 1000)


async def test_only_the_verified_domain_may_send(session: aiohttp.ClientSession) -> None:
    mail = {**MAIL, "from": {"email": "a@example.net"}}
    async with SendGridSimulator() as simulator:
        status, _, _ = await send(session, simulator, mail)

    assert status == 403


async def test_sandbox_mode_validates_and_takes_nothing(session: aiohttp.ClientSession) -> None:
    dry = {"mail_settings": {"sandbox_mode": {"enable": True}}}
    async with SendGridSimulator() as simulator:
        good, _, _ = await send(session, simulator, {**MAIL, **dry})
        bad, _, _ = await send(session, simulator, {**MAIL, **dry, "content": []})

        assert (good, bad, simulator.log.taken) == (200, 400, 0)


async def test_one_bad_address_refuses_the_whole_call(session: aiohttp.ClientSession) -> None:
    mail = {**MAIL, "personalizations": [person(), person("invalid"), person("bob")]}
    async with SendGridSimulator() as simulator:
        status, body, _ = await send(session, simulator, mail)

        fates = [one.fate for one in simulator.log.arrivals]
    assert (status, body["errors"][0]["field"]) == (400, "personalizations.1.to.0.email")
    assert fates == [Fate.INVALID, Fate.RECIPIENT, Fate.INVALID]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Fate.TEMPORARY, 503),
        (Fate.THROTTLED, 429),
        (Fate.PERMANENT, 400),
        (Fate.RECIPIENT, 400),
        (Fate.CREDENTIAL, 401),
    ],
)
async def test_error_knob_has_its_status(
    session: aiohttp.ClientSession, error: Fate, status: int
) -> None:
    async with SendGridSimulator(knobs=Knobs(error_rate=1, error=error)) as simulator:
        found, _, headers = await send(session, simulator)

    assert found == status
    assert ("X-RateLimit-Reset" in headers) is (status == 429)


async def test_events_are_repeated_until_they_are_accepted(
    session: aiohttp.ClientSession,
    sink_url: str,
    inbox: list[wire.HttpRequest],
    answers: list[int],
) -> None:
    answers += [500, 404]
    knobs = Knobs(receipt_url=sink_url, receipt_retry_delay=0, receipt=wire.ReceiptEvent.SENT)
    async with SendGridSimulator(knobs=knobs) as simulator:
        await send(session, simulator)
        await simulator.reporter.join()

    assert len({request.body for request in inbox}) == 1
    assert len(inbox) == 3


async def test_custom_arguments_do_not_replace_the_service_s_own_fields(
    session: aiohttp.ClientSession, sink_url: str, inbox: list[wire.HttpRequest]
) -> None:
    people = [person(custom_args={"event": "x", "gw_id": "own"})]
    mail = {**MAIL, "personalizations": people, "custom_args": {"gw_id": "all", "tenant": "t"}}
    async with SendGridSimulator(knobs=Knobs(receipt_url=sink_url)) as simulator:
        await send(session, simulator, mail)
        await simulator.reporter.join()

    [row] = orjson.loads(inbox[0].body)
    assert (row["event"], row["gw_id"], row["tenant"]) == ("processed", "own", "t")


def test_posts_are_no_larger_than_the_service_makes_them() -> None:
    rows = [{"event": "processed", "gw_id": f"{number}" * 1000} for number in range(10, 1010)]

    bodies = list(sendgrid_events.bodies(rows))

    assert len(bodies) > 1
    assert all(len(body) <= 768 * 1024 + 100 for body in bodies)
    assert [row for body in bodies for row in orjson.loads(body)] == rows
    assert list(sendgrid_events.bodies([])) == []
