"""Errands: evidence is shared, bounded and kept only when it has proved something."""

import asyncio

import pytest

from gateway.clock import LoopClock
from gateway.dispatch.errands import Errands
from gateway.model import wire
from gateway.model.errors import AnswerLost, ErrandFailed, NotSent, TransportError
from tests.dispatch.world import FakeWeb

DAY = 86_400.0


@pytest.fixture
def web(clock: LoopClock) -> FakeWeb:
    return FakeWeb(clock)


@pytest.fixture
def errands(web: FakeWeb, clock: LoopClock) -> Errands:
    return Errands(web, clock)


def get(name: str) -> wire.HttpRequest:
    return wire.HttpRequest(method="GET", url=f"https://service.example.com/{name}")


def offer(web: FakeWeb, *names: str) -> None:
    for name in names:
        web.answers[get(name).url] = wire.HttpResponse(status=200, body=name.encode())


async def prove(errands: Errands, name: str) -> None:
    errands.keep(get(name), await errands.fetch(get(name)))


async def test_what_has_proved_something_is_kept_for_a_day(
    errands: Errands, web: FakeWeb, clock: LoopClock
) -> None:
    offer(web, "a")

    await prove(errands, "a")
    await clock.sleep(DAY - 1)
    await prove(errands, "a")
    assert len(web.asked) == 1
    await clock.sleep(2)
    assert (await errands.fetch(get("a"))).body == b"a"
    assert len(web.asked) == 2


async def test_what_has_proved_nothing_is_not_kept(errands: Errands, web: FakeWeb) -> None:
    offer(web, "a")

    await errands.fetch(get("a"))
    await errands.fetch(get("a"))

    assert len(web.asked) == 2


async def test_number_of_kept_answers_is_bounded(errands: Errands, web: FakeWeb) -> None:
    names = [str(at) for at in range(66)]
    offer(web, *names)

    for name in names:
        await prove(errands, name)
        await prove(errands, "0")
    web.asked.clear()
    for name in ("0", "65", "1"):
        await errands.fetch(get(name))

    assert web.asked == [get("1").url]


async def test_those_who_ask_for_the_same_share_a_fetch(errands: Errands, web: FakeWeb) -> None:
    offer(web, "a")
    web.latency = 1.0

    answers = await asyncio.gather(*(errands.fetch(get("a")) for _ in range(50)))

    assert len(answers) == 50
    assert len(web.asked) == 1


async def test_who_gives_up_takes_nothing_from_the_others(errands: Errands, web: FakeWeb) -> None:
    offer(web, "a")
    web.latency = 1.0
    first = asyncio.create_task(errands.fetch(get("a")))
    second = asyncio.create_task(errands.fetch(get("a")))
    await asyncio.sleep(0.5)

    first.cancel()

    assert (await second).body == b"a"
    assert first.cancelled()
    assert len(web.asked) == 1


async def test_fetches_at_once_are_bounded(errands: Errands, web: FakeWeb) -> None:
    names = [str(at) for at in range(20)]
    offer(web, *names)
    web.latency = 1.0

    found = await asyncio.gather(
        *(errands.fetch(get(name)) for name in names), return_exceptions=True
    )

    assert [isinstance(one, ErrandFailed) for one in found] == [False] * 8 + [True] * 12
    assert len(web.asked) == 8
    assert (await errands.fetch(get("19"))).body == b"19"


@pytest.mark.parametrize(
    "answer",
    [
        NotSent("dns"),
        AnswerLost("timeout"),
        wire.HttpResponse(status=301, headers={"location": "https://example.com"}),
        wire.HttpResponse(status=204),
        wire.HttpResponse(status=403),
        wire.HttpResponse(status=500),
    ],
)
async def test_anything_but_a_200_is_no_evidence(
    errands: Errands, web: FakeWeb, answer: wire.HttpResponse | TransportError
) -> None:
    web.answers[get("a").url] = answer

    with pytest.raises(ErrandFailed):
        await errands.fetch(get("a"))

    offer(web, "a")
    assert (await errands.fetch(get("a"))).body == b"a"


@pytest.mark.parametrize(
    ("status", "succeeds"), [(200, True), (202, True), (302, False), (400, False)]
)
async def test_call_succeeds_or_is_to_be_repeated(
    errands: Errands, web: FakeWeb, status: int, succeeds: bool
) -> None:
    web.answers[get("a").url] = wire.HttpResponse(status=status)

    try:
        await errands.call("acme", get("a"))
    except ErrandFailed:
        assert not succeeds
    else:
        assert succeeds


async def test_addresses_are_not_logged(
    errands: Errands, web: FakeWeb, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    offer(web, "token-1")

    await errands.call("acme", get("token-1"))
    with pytest.raises(ErrandFailed):
        await errands.call("acme", get("token-2"))

    assert "acme" in caplog.text
    assert "token" not in caplog.text
