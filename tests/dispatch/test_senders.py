"""Senders: every end of a transport becomes a result, and tokens are fetched once for all."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest

from gateway.clock import LoopClock
from gateway.dispatch.senders import HttpSender, Sender, SmtpSender
from gateway.dispatch.tokens import TokenKeeper
from gateway.model import wire
from gateway.model.errors import AnswerLost, NotSent
from gateway.model.values import replace
from gateway.providers import base as providers
from gateway.transport.base import Admit

TOKEN_URL = "https://auth.example.com/token"
SEND_URL = "https://api.example.com/send"


def message(reference: str = "r1") -> wire.Message:
    return wire.Message(
        id="m",
        reference=reference,
        channel=wire.Channel.SMS,
        category="otp",
        to=wire.Address(phone="+8613800138000"),
        content=wire.Content(text="hello"),
        expires_at=datetime(2027, 1, 1, tzinfo=UTC),
    )


class Transport:
    """Answers as `answer` says; raises what it returns if that is an exception."""

    def __init__(self, clock: LoopClock) -> None:
        self.requests: list[wire.HttpRequest] = []
        self.latency = 0.0
        self.answer: Callable[[wire.HttpRequest], wire.HttpResponse | Exception] = lambda request: (
            wire.HttpResponse(status=200)
        )
        self._clock = clock

    @property
    def tokens(self) -> int:
        return sum(request.url == TOKEN_URL for request in self.requests)

    async def send(
        self, request: wire.HttpRequest, *, timeout: float, admit: Admit | None = None
    ) -> wire.HttpResponse:
        if admit is not None:
            await admit()
        self.requests.append(request)
        if self.latency:
            await self._clock.sleep(self.latency)
        answer = self.answer(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def __aenter__(self) -> "Transport":
        return self

    async def __aexit__(self, *exc: object) -> None: ...


class Credential:
    """Tokens of a thousand seconds, numbered."""

    def __init__(self) -> None:
        self.made = 0
        self.refusal: wire.Deferred | None = None

    def token_request(self) -> wire.HttpRequest:
        return wire.HttpRequest(method="POST", url=TOKEN_URL)

    def read_token(self, response: wire.HttpResponse) -> wire.Token | wire.Deferred:
        if self.refusal is not None:
            return self.refusal
        self.made += 1
        return wire.Token(value=f"t{self.made}", expires_in=1000.0)

    def authorise(self, request: wire.HttpRequest, token: str) -> wire.HttpRequest:
        return replace(request, headers={"authorization": token})


class Provider(providers.HttpProvider):
    """Two messages a request; each result says which request carried it."""

    name: ClassVar[str] = "fake"
    batch_limit: ClassVar[int] = 2
    account = "acme"
    channel = wire.Channel.SMS
    reports: frozenset[wire.ReceiptEvent] = frozenset()

    def __init__(self, credential: Credential | None = None) -> None:
        self.credential: providers.Credential | None = credential

    def build_requests(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[Sequence[wire.Message], wire.HttpRequest]]:
        if any(one.reference == "unfit" for one in messages):
            raise ValueError("no text")
        groups = [messages[start::2][:2] for start in (0, 1) if messages[start::2]]
        return [(group, wire.HttpRequest(method="POST", url=SEND_URL)) for group in groups]

    def read_response(
        self, messages: Sequence[wire.Message], response: wire.HttpResponse
    ) -> Sequence[wire.AttemptResult]:
        if response.status == 401:
            refused = wire.Deferred(code="access_token", cause=wire.Cause.CREDENTIAL)
            return [refused] * len(messages)
        return [wire.Accepted(provider_id=one.reference) for one in messages]

    def verify_receipt(self, request: wire.HttpRequest) -> bool:
        return True

    def read_receipts(self, request: wire.HttpRequest) -> Sequence[wire.DeliveryReceipt]:
        return []

    def answer_receipt(self, request: wire.HttpRequest) -> wire.HttpResponse:
        return wire.HttpResponse(status=200)


@pytest.fixture
def transport(clock: LoopClock) -> Transport:
    return Transport(clock)


async def send(sender: Sender, messages: Sequence[wire.Message], admit: Any = None) -> list[Any]:
    """The results of all calls, in the order of the messages."""
    results: dict[str, wire.AttemptResult] = {}
    for call in sender.plan(messages):
        made = await call.make(admit)
        results |= {one.reference: each for one, each in zip(call.messages, made, strict=True)}
    return [results[one.reference] for one in messages]


def http(transport: Transport, clock: LoopClock, credential: Credential | None = None) -> Any:
    return HttpSender(Provider(credential), transport, clock, timeout=5.0)


async def test_results_are_in_the_order_of_the_messages(
    transport: Transport, clock: LoopClock
) -> None:
    names = ["r1", "r2", "r3", "r4"]

    results = await send(http(transport, clock), [message(name) for name in names])

    assert [one.provider_id for one in results] == names
    assert len(transport.requests) == 2


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (NotSent("refused"), wire.Deferred(code="refused", cause=wire.Cause.CONNECT)),
        (AnswerLost("timeout"), wire.Unknown(code="timeout")),
    ],
)
async def test_trouble_of_the_transport_is_a_result(
    transport: Transport, clock: LoopClock, error: Exception, result: wire.AttemptResult
) -> None:
    transport.answer = lambda request: error

    assert await send(http(transport, clock), [message()]) == [result]


async def test_message_that_no_request_can_carry_is_an_error_and_nothing_is_sent(
    transport: Transport, clock: LoopClock
) -> None:
    with pytest.raises(ValueError, match="no text"):
        await send(http(transport, clock), [message("fit"), message("unfit")])

    assert transport.requests == []


async def test_concurrent_sends_share_one_token(transport: Transport, clock: LoopClock) -> None:
    sender = http(transport, clock, Credential())
    transport.latency = 0.5

    await asyncio.gather(*(send(sender, [message(f"r{number}")]) for number in range(20)))

    assert transport.tokens == 1
    sent = [one for one in transport.requests if one.url == SEND_URL]
    assert {one.headers["authorization"] for one in sent} == {"t1"}
    assert len(sent) == 20


async def test_token_is_renewed_before_it_ends(transport: Transport, clock: LoopClock) -> None:
    sender = http(transport, clock, Credential())
    await send(sender, [message()])

    await clock.sleep(770.0)
    await send(sender, [message()])
    before = transport.tokens
    await clock.sleep(10.0)
    await send(sender, [message()])
    await clock.sleep(0)

    assert (before, transport.tokens) == (1, 2)


async def test_refused_token_is_replaced_once(transport: Transport, clock: LoopClock) -> None:
    sender = http(transport, clock, Credential())
    transport.answer = lambda request: wire.HttpResponse(
        status=401 if request.headers.get("authorization") == "t1" else 200
    )

    (result,) = await send(sender, [message()])

    assert result == wire.Accepted(provider_id="r1")
    assert transport.tokens == 2


async def test_token_that_is_always_refused_is_not_fetched_for_ever(
    transport: Transport, clock: LoopClock
) -> None:
    sender = http(transport, clock, Credential())
    transport.answer = lambda request: wire.HttpResponse(
        status=200 if request.url == TOKEN_URL else 401
    )

    (result,) = await send(sender, [message()])

    assert result == wire.Deferred(code="access_token", cause=wire.Cause.CREDENTIAL)
    assert transport.tokens == 2


async def test_many_refusals_of_one_token_fetch_one_other(
    transport: Transport, clock: LoopClock
) -> None:
    sender = http(transport, clock, Credential())
    transport.latency = 0.5
    transport.answer = lambda request: wire.HttpResponse(
        status=401 if request.headers.get("authorization") == "t1" else 200
    )

    results = await asyncio.gather(*(send(sender, [message(f"r{number}")]) for number in range(10)))

    assert all(isinstance(one, wire.Accepted) for (one,) in results)
    assert transport.tokens == 2


@pytest.mark.parametrize("error", [NotSent("refused"), AnswerLost("timeout")])
async def test_without_a_token_nothing_was_sent(
    transport: Transport, clock: LoopClock, error: Exception
) -> None:
    sender = http(transport, clock, Credential())
    transport.answer = lambda request: error

    (result,) = await send(sender, [message()])

    assert isinstance(result, wire.Deferred)
    assert result.cause is wire.Cause.CREDENTIAL, "the message was not tried: no attempt counts"
    assert [one.url for one in transport.requests] == [TOKEN_URL]


async def test_refused_credential_is_told_to_all_and_tried_again_later(
    transport: Transport, clock: LoopClock
) -> None:
    credential = Credential()
    credential.refusal = wire.Deferred(code="invalid_client", cause=wire.Cause.CREDENTIAL)
    sender = http(transport, clock, credential)
    transport.latency = 0.5

    refused = await asyncio.gather(*(send(sender, [message()]) for _ in range(5)))
    credential.refusal = None
    (result,) = await send(sender, [message()])

    assert [one for (one,) in refused] == [
        wire.Deferred(code="invalid_client", cause=wire.Cause.CREDENTIAL)
    ] * 5
    assert result == wire.Accepted(provider_id="r1")
    assert transport.tokens == 2


async def test_caller_that_leaves_does_not_spoil_the_refresh(
    transport: Transport, clock: LoopClock
) -> None:
    keeper = TokenKeeper(Credential(), transport, clock, timeout=5.0)
    transport.latency = 1.0
    leaving = asyncio.create_task(keeper.get())
    staying = asyncio.create_task(keeper.get())
    await clock.sleep(0.5)

    leaving.cancel()

    assert await staying == "t1"
    assert transport.tokens == 1


async def test_admission_is_asked_for_messages_and_not_for_tokens(
    transport: Transport, clock: LoopClock
) -> None:
    asked = 0

    async def admit() -> None:
        nonlocal asked
        asked += 1

    await send(http(transport, clock, Credential()), [message()], admit)

    assert (asked, len(transport.requests)) == (1, 2)


class Relay:
    """An SMTP transport that ends as it is told."""

    def __init__(self, end: wire.SmtpReply | Exception) -> None:
        self._end = end

    async def send(
        self, envelope: wire.Envelope, *, timeout: float, admit: Admit | None = None
    ) -> wire.SmtpReply:
        if isinstance(self._end, Exception):
            raise self._end
        return self._end

    async def __aenter__(self) -> "Relay":
        return self

    async def __aexit__(self, *exc: object) -> None: ...


class MailProvider(providers.SmtpProvider):
    name: ClassVar[str] = "mail"
    batch_limit: ClassVar[int] = 1
    account = "relay"
    channel = wire.Channel.EMAIL
    reports: frozenset[wire.ReceiptEvent] = frozenset()
    settings: Any = None

    def build_envelopes(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[wire.Message, wire.Envelope]]:
        envelope = wire.Envelope(sender="a@example.com", recipients=["b@example.com"], content=b"")
        return [(one, envelope) for one in messages]

    def read_reply(self, message: wire.Message, reply: wire.SmtpReply) -> wire.AttemptResult:
        return wire.Accepted(provider_id=reply.text)

    def verify_receipt(self, request: wire.HttpRequest) -> bool:
        return False

    def read_receipts(self, request: wire.HttpRequest) -> Sequence[wire.DeliveryReceipt]:
        return ()

    def answer_receipt(self, request: wire.HttpRequest) -> wire.HttpResponse:
        return wire.HttpResponse(status=204)


@pytest.mark.parametrize(
    ("end", "result"),
    [
        (
            wire.SmtpReply(code=250, text="q1", stage="content"),
            wire.Accepted(provider_id="q1"),
        ),
        (NotSent("eof"), wire.Deferred(code="eof", cause=wire.Cause.CONNECT)),
        (AnswerLost("eof"), wire.Unknown(code="eof")),
    ],
)
async def test_mail_has_one_result_each(
    end: wire.SmtpReply | Exception, result: wire.AttemptResult
) -> None:
    sender = SmtpSender(MailProvider(), Relay(end), timeout=5.0)

    assert await send(sender, [message()]) == [result]


class Moving(Provider):
    """Its service may say that a message has to go elsewhere."""

    def redirected(
        self, request: wire.HttpRequest, response: wire.HttpResponse
    ) -> wire.HttpRequest | None:
        if response.status != 400:
            return None
        return replace(request, url=f"{request.url}/new")


@pytest.mark.parametrize("moves", [1, 2])
async def test_request_that_has_to_go_elsewhere_does_so_once(
    transport: Transport, clock: LoopClock, moves: int
) -> None:
    transport.answer = lambda request: wire.HttpResponse(
        status=400 if request.url.count("/new") < moves else 200
    )
    admitted = 0

    async def admit(part: int = 0) -> None:
        nonlocal admitted
        admitted += 1

    [call] = HttpSender(Moving(), transport, clock, timeout=5.0).plan([message()])
    await call.make(admit)

    assert [one.url for one in transport.requests] == [SEND_URL, f"{SEND_URL}/new"]
    assert admitted == 2, "each request has a token of its own"
