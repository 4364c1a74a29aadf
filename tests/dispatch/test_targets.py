"""Hosts that recipients name: each is judged by itself, and the account by none of them."""

import asyncio
from typing import Any, ClassVar

import pytest

from gateway.clock import LoopClock, to_datetime
from gateway.dispatch.policy import GiveUp, Retry, RetryRules, Situation, next_move
from gateway.dispatch.targets import GuardedSender, Targets
from gateway.limits.breaker import BreakerRules
from gateway.model import wire
from gateway.model.errors import AnswerLost, NotSent, TransportError
from gateway.model.message import OnUnknown
from gateway.model.state import State
from gateway.providers import base, chat

DEAD, WELL = "https://dead.example/x", "https://push.example/x"


class Service(chat.Silent):
    """Posts to whatever address a message names."""

    name: ClassVar[str] = "service"
    channel = wire.Channel.PUSH
    guarded: ClassVar[bool] = True
    account = "browsers"

    def request(self, message: wire.Message) -> wire.HttpRequest:
        return wire.HttpRequest(method="POST", url=message.to.url)

    def result(self, response: wire.HttpResponse) -> wire.AttemptResult:
        return base.result_of_status(response, now_ms=0)

    def knows(self, url: str) -> bool:
        return url == WELL


class Web:
    """Answers by URL, after a time."""

    def __init__(self, clock: LoopClock) -> None:
        self.answers: dict[str, wire.HttpResponse | TransportError] = {}
        self.asked: list[str] = []
        self.in_flight: dict[str, int] = {}
        self.most: dict[str, int] = {}
        self.latency = 1.0
        self._clock = clock

    async def send(self, request: wire.HttpRequest, **options: Any) -> wire.HttpResponse:
        url = request.url
        self.asked.append(url)
        self.in_flight[url] = self.in_flight.get(url, 0) + 1
        self.most[url] = max(self.most.get(url, 0), self.in_flight[url])
        try:
            await self._clock.sleep(self.latency)
        finally:
            self.in_flight[url] -= 1
        answer = self.answers.get(url, wire.HttpResponse(status=201))
        if isinstance(answer, TransportError):
            raise answer
        return answer

    async def __aenter__(self) -> "Web":
        return self

    async def __aexit__(self, *exc: object) -> None: ...


@pytest.fixture(name="web")
def fixture_web(clock: LoopClock) -> Web:
    return Web(clock)


@pytest.fixture(name="sender")
def fixture_sender(web: Web, clock: LoopClock) -> GuardedSender:
    service = Service()
    targets = Targets(BreakerRules(), slots=2, knows=service.knows)
    return GuardedSender(service, web, clock, timeout=10.0, targets=targets)


async def send(sender: GuardedSender, url: str) -> wire.AttemptResult:
    message = wire.Message(
        id="m",
        reference="m-0",
        channel=wire.Channel.PUSH,
        category="service",
        to=wire.Address(url=url),
        content=wire.Content(text="x"),
        expires_at=to_datetime(0),
    )
    [call] = sender.plan([message])
    [result] = await call.make(None)
    return result


@pytest.mark.parametrize(
    ("answer", "is_of_recipient"),
    [
        (NotSent("refused"), True),
        (wire.HttpResponse(status=503), True),
        (AnswerLost("timeout"), True),
        (wire.HttpResponse(status=429), False),
    ],
)
async def test_what_a_host_does_is_not_blamed_on_the_account(
    sender: GuardedSender, web: Web, answer: Any, is_of_recipient: bool
) -> None:
    web.answers[DEAD] = answer

    result = await send(sender, DEAD)

    blamed = getattr(result, "of_recipient", False) or (
        isinstance(result, wire.Deferred) and result.cause is wire.Cause.RECIPIENT
    )
    assert blamed is is_of_recipient


async def test_dead_host_is_asked_no_more_and_others_go_on(sender: GuardedSender, web: Web) -> None:
    web.answers[DEAD] = NotSent("refused")
    for _ in range(8):
        await send(sender, DEAD)

    result = await send(sender, DEAD)

    assert web.asked.count(DEAD) == 5
    assert isinstance(result, wire.Deferred)
    assert (result.code, result.cause) == ("target_down", wire.Cause.RECIPIENT)
    assert not result.held
    assert await send(sender, WELL) == wire.Accepted()


async def test_known_service_that_is_down_costs_nobody_an_attempt(
    sender: GuardedSender, web: Web
) -> None:
    web.answers[WELL] = NotSent("refused")
    for _ in range(5):
        await send(sender, WELL)

    result = await send(sender, WELL)

    assert isinstance(result, wire.Deferred)
    assert (result.code, result.held) == ("target_down", True)
    assert result.retry_after is not None
    assert 0.0 < result.retry_after <= 5.0


async def test_host_that_has_recovered_is_sent_to_again(
    sender: GuardedSender, web: Web, clock: LoopClock
) -> None:
    web.answers[DEAD] = NotSent("refused")
    for _ in range(5):
        await send(sender, DEAD)
    del web.answers[DEAD]
    await clock.sleep(6.0)

    assert [await send(sender, DEAD) for _ in range(2)] == [wire.Accepted()] * 2


async def test_slow_host_has_few_slots_and_a_known_service_all(
    sender: GuardedSender, web: Web
) -> None:
    results = await asyncio.gather(
        *(send(sender, DEAD) for _ in range(50)), *(send(sender, WELL) for _ in range(50))
    )

    assert (web.most[DEAD], web.most[WELL]) == (2, 50)
    held = [one for one in results if isinstance(one, wire.Deferred)]
    assert len(held) == 48
    assert all(one.held and one.code == "target_busy" for one in held)
    waits = [one.retry_after or 0.0 for one in held]
    assert len(set(waits)) == 48, "each comes back at a moment of its own"


async def test_what_was_given_up_says_nothing_of_a_host(sender: GuardedSender, web: Web) -> None:
    for _ in range(20):
        task = asyncio.create_task(send(sender, DEAD))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert await send(sender, DEAD) == wire.Accepted()
    assert web.in_flight[DEAD] == 0


def test_hosts_that_are_remembered_are_bounded() -> None:
    targets = Targets(BreakerRules(), slots=2, knows=lambda url: False)
    at_work = targets.of("https://first.example")
    at_work.start(0.0)

    for number in range(20_000):
        targets.of(f"https://h{number}.example")

    assert len(targets._targets) <= 10_000
    assert targets.of("https://FIRST.example/path") is at_work


@pytest.mark.parametrize(("expires_ms", "move"), [(60_000, Retry), (4_000, GiveUp)])
def test_waiting_for_a_busy_host_costs_no_attempt(expires_ms: int, move: type) -> None:
    held = wire.Deferred(code="x", cause=wire.Cause.RECIPIENT, retry_after=5.0, held=True)
    situation = Situation(
        until=State.SENT,
        on_unknown=OnUnknown.RESEND,
        attempts=99,
        provider="a",
        providers=["a"],
        tried=frozenset(),
        now_ms=0,
        expires_ms=expires_ms,
    )

    found = next_move(held, situation, RetryRules(), lambda: 0.5)

    assert isinstance(found, move)
    if isinstance(found, Retry):
        assert (found.due_ms, found.counts) == (5_000, False)
