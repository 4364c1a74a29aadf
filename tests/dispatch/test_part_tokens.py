"""Texts that go in parts: what leaves the socket keeps within the limit at any time."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from gateway.dispatch.smpp_sender import SmppSender
from gateway.metrics import Metrics
from gateway.model import smpp
from gateway.model.submission import StepRequest, To
from gateway.providers import smpp as provider_module
from gateway.transport.base import Admit

RATE, BURST = 5.0, 4.0

#: Lengths of texts: of 1, 2 and 5 parts, in turn.
LENGTHS = (20, 300, 700) * 5


class Centre:
    """Takes everything after a while, and notes when it left."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        #: of all parts, and of those that begin a message
        self.times: list[float] = []
        self.starts: list[float] = []

    async def send(
        self, submit: smpp.Submit, *, timeout: float, admit: Admit | None = None
    ) -> smpp.Answer:
        if admit is not None:
            await admit()
        now = self._clock.monotonic()
        self.times.append(now)
        if not submit.esm_class or submit.short_message[5] == 1:
            self.starts.append(now)
        await self._clock.sleep(0.3)
        return smpp.Answer(status=smpp.OK, message_id=f"{len(self.times):X}")

    def begin(self, take: Any) -> None: ...


async def sent_over_smpp(world: Any) -> Centre:
    """What leaves of texts of different lengths that were posted at once."""
    centre = Centre(world.clock)
    settings = provider_module.Settings(host="localhost", system_id="esme1")
    provider = provider_module.Provider("a", settings, world.clock)
    world.senders["a"].plan = SmppSender(provider, centre, Metrics(), timeout=5.0).plan
    await world.post_all(
        [
            {
                "to": To(phone="+447700900123"),
                "chain": (StepRequest(channel="sms"),),
                "content": {"text": "x" * length},
            }
            for length in LENGTHS
        ]
    )
    world.start()
    await world.settle()
    return centre


def most_over(times: Sequence[float]) -> float:
    """How far the fullest window is over its share."""
    return max(
        (last - first + 1) - BURST - RATE * (times[last] - times[first])
        for first in range(len(times))
        for last in range(first, len(times))
    )


@pytest.mark.parametrize("unit", ["part", "request"])
async def test_parts_are_paid_for_when_they_leave(
    make_world: Callable[..., Awaitable[Any]], unit: str
) -> None:
    limits = {"rate": RATE, "burst": BURST, "rate_unit": unit, "concurrency": 8}
    world = await make_world(providers={"a": limits}, lanes={"sms": {"providers": ["a"]}})

    centre = await sent_over_smpp(world)

    assert len(centre.times) == 5 * (1 + 2 + 5)
    assert most_over(centre.times) <= 1e-6
    # and nothing is paid for twice
    assert centre.times[-1] - centre.times[0] <= (len(centre.times) - BURST) / RATE + 1.0


async def test_message_is_paid_for_once_where_that_is_the_unit(
    make_world: Callable[..., Awaitable[Any]],
) -> None:
    limits = {"rate": RATE, "burst": BURST, "rate_unit": "message", "concurrency": 8}
    world = await make_world(providers={"a": limits}, lanes={"sms": {"providers": ["a"]}})

    centre = await sent_over_smpp(world)

    assert len(centre.starts) == len(LENGTHS)
    assert most_over(centre.starts) <= 1e-6
    assert centre.starts[-1] - centre.starts[0] <= (len(LENGTHS) - BURST) / RATE + 2.0
