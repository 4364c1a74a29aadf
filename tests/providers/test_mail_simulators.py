"""Adapters of mail services against their simulators, which were not written from them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import test_utils, web

from gateway.clock import SystemClock
from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.providers import base
from gateway.sandbox import base as sandbox
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.magic import Fate
from gateway.sandbox.mailgun import API_KEY, SIGNING_KEY, MailgunSimulator
from gateway.sandbox.sendgrid import SendGridSimulator
from gateway.sandbox.sendgrid_events import Signer
from gateway.transport.http import AiohttpTransport

Make = Callable[..., base.HttpProvider]
Message = Callable[..., wire.Message]

KINDS = ("mailgun", "sendgrid")


class Bench:
    """An adapter, the simulator that it sends to, and where that reports to."""

    def __init__(self, provider: base.HttpProvider, simulator: sandbox.HttpSimulator) -> None:
        self.provider = provider
        self.simulator = simulator
        self.requests: asyncio.Queue[wire.HttpRequest] = asyncio.Queue()

    async def take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.read()
        url = str(request.url)
        await self.requests.put(
            wire.HttpRequest(method="POST", url=url, headers=headers, body=body)
        )
        return web.Response(status=200)

    async def send(self, messages: Sequence[wire.Message]) -> list[wire.AttemptResult]:
        """As the dispatcher does; results in the order of the messages."""
        results: dict[str, wire.AttemptResult] = {}
        async with AiohttpTransport() as transport:
            for group, request in self.provider.build_requests(messages):
                response = await transport.send(request, timeout=5)
                answers = self.provider.read_response(group, response)
                results.update(zip([one.reference for one in group], answers, strict=True))
        return [results[one.reference] for one in messages]

    async def receipts(self, count: int) -> list[wire.DeliveryReceipt]:
        """At least so many, all of them believed."""
        found: list[wire.DeliveryReceipt] = []
        while len(found) < count:
            request = await asyncio.wait_for(self.requests.get(), 5)
            assert self.provider.verify_receipt(request)
            found += self.provider.read_receipts(request)
        return found


@pytest.fixture(name="bench", params=KINDS)
async def fixture_bench(request: pytest.FixtureRequest, make: Make) -> AsyncIterator[Bench]:
    async with working(request.param, make) as bench:
        yield bench


@asynccontextmanager
async def working(kind: str, make: Make, **changes: Any) -> AsyncIterator[Bench]:
    simulator: MailgunSimulator | SendGridSimulator
    if kind == "mailgun":
        simulator = MailgunSimulator(knobs=Knobs(), max_batch=changes.pop("max_batch", 1000))
        settings = {"api_key": API_KEY, "signing_key": SIGNING_KEY}
    else:
        simulator = SendGridSimulator(knobs=Knobs())
        settings = {"api_key": simulator.api_key, "verification_key": simulator.public_key}
    async with simulator:
        settings = {**settings, "base_url": simulator.url, **changes}
        bench = Bench(make(kind, settings, clock=SystemClock()), simulator)
        app = web.Application(client_max_size=4 * 1024**2)
        app.router.add_post("/v1/receipts/main", bench.take)
        async with test_utils.TestServer(app) as server:
            simulator.knobs.receipt_url = str(server.make_url("/v1/receipts/main"))
            yield bench


@pytest.fixture(name="to")
def fixture_to(message: Message) -> Callable[..., list[wire.Message]]:
    """Messages with equal texts to these local parts."""

    def build(*names: str, **content: Any) -> list[wire.Message]:
        return [
            message(
                id=f"m-{number}",
                reference=f"0195500a-5c00-7000-8000-{number:012x}-0-0-0",
                to=wire.Address(email=f"{name}@example.org"),
                content=wire.Content(**{"text": "Hi", "subject": f"To {name}", **content}),
            )
            for number, name in enumerate(names)
        ]

    return build


To = Callable[..., list[wire.Message]]


async def test_one_call_takes_many_and_each_is_reported_on(bench: Bench, to: To) -> None:
    messages = to("ann", "bob", "cyd")

    results = await bench.send(messages)
    receipts = await bench.receipts(6)

    assert len(bench.provider.build_requests(messages)) == 1
    delivered = [one for one in receipts if one.event is wire.ReceiptEvent.DELIVERED]
    assert {one.event for one in receipts} == {wire.ReceiptEvent.SENT, wire.ReceiptEvent.DELIVERED}
    assert sorted(one.reference for one in delivered) == [one.reference for one in messages]
    ids = {one.reference: one.provider_id for one in delivered}
    assert results == [wire.Accepted(provider_id=ids[one.reference]) for one in messages]
    assert bench.simulator.log.copies() == dict.fromkeys(ids, 1)


async def test_each_gets_its_own_subject_and_headers(bench: Bench, to: To) -> None:
    messages = [
        replace(
            one,
            content=replace(one.content, extra={"list_unsubscribe": f"https://u.org/{one.id}"}),
        )
        for one in to("ann", "bob")
    ]

    await bench.send(messages)

    for one, arrival in zip(messages, bench.simulator.log.arrivals, strict=True):
        assert arrival.to == one.to.email
        assert arrival.content["subject"] == one.content.subject
        assert arrival.content["headers"] == {
            "List-Unsubscribe": f"<https://u.org/{one.id}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }


async def test_nobody_sees_the_others(make: Make, to: To) -> None:
    async with working("mailgun", make) as bench:
        await bench.send(to("ann", "bob"))

        seen = [one.content["visible_to"] for one in bench.simulator.log.arrivals]
        assert seen == [["ann@example.org"], ["bob@example.org"]]


async def test_thousand_go_in_one_call(bench: Bench, to: To) -> None:
    results = await bench.send(to(*[f"person{number}" for number in range(1000)]))

    receipts = await bench.receipts(2000)

    assert {type(one) for one in results} == {wire.Accepted}
    assert bench.simulator.log.taken == 1000
    assert len({one.reference for one in receipts}) == 1000


async def test_no_text_is_filled_in_by_chance(bench: Bench, to: To) -> None:
    await bench.send(to("ann", "bob", text="%recipient.v0% %recipient%"))

    texts = [
        one.content["text"] if "text" in one.content else one.content["content"][0]["value"]
        for one in bench.simulator.log.arrivals
    ]
    assert texts == ["%recipient.v0% %recipient%"] * 2


async def test_refused_address_hurts_nobody_for_good(bench: Bench, to: To) -> None:
    messages = to("ann", "invalid", "bob")

    together = await bench.send(messages)
    alone = [(await bench.send([one]))[0] for one in messages]

    for one in (together[0], together[2]):
        assert isinstance(one, wire.Deferred)
        assert one.cause is wire.Cause.RECIPIENT
    assert [type(one) for one in alone] == [wire.Accepted, wire.Rejected, wire.Accepted]
    assert isinstance(alone[1], wire.Rejected)
    assert alone[1].scope is wire.Scope.RECIPIENT


async def test_sendgrid_names_the_culprit_at_once(make: Make, to: To) -> None:
    async with working("sendgrid", make) as bench:
        results = await bench.send(to("ann", "invalid", "bob"))

    assert [type(one) for one in results] == [wire.Deferred, wire.Rejected, wire.Deferred]


@pytest.mark.parametrize(
    ("name", "event", "suppress"),
    [
        ("unknown", wire.ReceiptEvent.BOUNCED, True),
        ("full", wire.ReceiptEvent.BOUNCED, False),
        ("blocked", wire.ReceiptEvent.BOUNCED, False),
        ("expired", wire.ReceiptEvent.EXPIRED, False),
        ("dropped", wire.ReceiptEvent.FAILED, True),
        ("left", wire.ReceiptEvent.OPTED_OUT, True),
        ("spam", wire.ReceiptEvent.COMPLAINED, True),
        ("reads", wire.ReceiptEvent.READ, False),
    ],
)
async def test_what_becomes_of_a_message_is_understood(
    bench: Bench, to: To, name: str, event: wire.ReceiptEvent, suppress: bool
) -> None:
    await bench.send(to(name))
    await bench.simulator.reporter.join()

    count = bench.requests.qsize()
    receipts = await bench.receipts(count)

    [found] = [one for one in receipts if one.event is event]
    assert found.suppress is suppress
    assert found.at is not None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("credential", wire.Cause.CREDENTIAL),
        ("throttled", wire.Cause.THROTTLED),
        ("later", wire.Cause.TEMPORARY),
    ],
)
async def test_trouble_is_understood(bench: Bench, to: To, name: str, expected: wire.Cause) -> None:
    results = await bench.send(to("ann", name))

    assert [getattr(one, "cause", "") for one in results] == [expected, expected]
    assert bench.simulator.log.taken == 0


async def test_throttling_says_for_how_long(bench: Bench, to: To) -> None:
    bench.simulator.knobs.turn({"error_rate": 1, "error": "throttled", "retry_after": 60})

    [result] = await bench.send(to("ann"))

    assert isinstance(result, wire.Deferred)
    assert result.retry_after is not None
    assert 50 < result.retry_after <= 62


async def test_refused_content_is_not_sent_again(bench: Bench, to: To) -> None:
    [result] = await bench.send(to("big"))

    assert isinstance(result, wire.Rejected)
    assert result.scope is wire.Scope.MESSAGE


async def test_lost_answer_is_no_answer(bench: Bench, to: To) -> None:
    with pytest.raises(errors.AnswerLost):
        await bench.send(to("lost"))

    assert bench.simulator.log.counts == {Fate.LOST: 1}


@pytest.mark.parametrize("kind", KINDS)
async def test_wrong_key_is_our_fault(make: Make, to: To, kind: str) -> None:
    async with working(kind, make, api_key="wrong") as bench:
        [result] = await bench.send(to("ann"))

    assert isinstance(result, wire.Deferred)
    assert result.cause is wire.Cause.CREDENTIAL


async def test_unknown_domain_pauses_the_account(make: Make, to: To) -> None:
    async with working("mailgun", make, domain="other.example.com") as bench:
        [result] = await bench.send(to("ann"))

    assert isinstance(result, wire.Deferred)
    assert result.cause is wire.Cause.CREDENTIAL


async def test_account_that_may_not_send_large_batches_sends_small_ones(make: Make, to: To) -> None:
    async with working("mailgun", make, batch=2, max_batch=2) as small:
        sent = await small.send(to("ann", "bob", "cyd"))
    async with working("mailgun", make, max_batch=2) as large:
        refused = await large.send(to("ann", "bob", "cyd"))

    assert {type(one) for one in sent} == {wire.Accepted}
    assert {getattr(one, "code", "") for one in refused} == {"http_403"}


async def test_unverified_sender_pauses_the_account(make: Make, to: To) -> None:
    async with working("sendgrid", make, **{"from": "x@example.net"}) as bench:
        [result] = await bench.send(to("ann"))

    assert isinstance(result, wire.Deferred)
    assert (result.code, result.cause) == ("http_403", wire.Cause.CREDENTIAL)


async def test_sandbox_mode_sends_nothing(make: Make, to: To) -> None:
    async with working("sendgrid", make, sandbox=True) as bench:
        [result] = await bench.send(to("ann"))

        assert isinstance(result, wire.Accepted)
        assert bench.simulator.log.total == 0


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("mailgun", {"signing_key": "another"}),
        ("sendgrid", {"verification_key": Signer().public_key}),
    ],
)
async def test_report_signed_by_somebody_else_is_refused(
    make: Make, to: To, kind: str, changes: dict[str, str]
) -> None:
    async with working(kind, make, **changes) as bench:
        await bench.send(to("ann"))
        request = await asyncio.wait_for(bench.requests.get(), 5)

        assert not bench.provider.verify_receipt(request)


FILES = [
    {"name": "Rechnung „7“.pdf", "type": "application/pdf", "data": "JVBERi0xLjc="},
    {"name": "logo.png", "type": "image/png", "data": "iVBORw==", "inline": "logo@example.com"},
]


async def test_mails_with_equal_files_share_a_call(bench: Bench, to: To) -> None:
    results = await bench.send(to("one", "two", extra={"attachments": FILES}))

    assert [type(one) for one in results] == [wire.Accepted, wire.Accepted]
    assert {one.to for one in bench.simulator.log.arrivals} == {
        "one@example.org",
        "two@example.org",
    }
