"""A receiver of webhooks that is down for 80 hours, on virtual time: longer than any report is
tried for. What was tried in vain is asked for again once the receiver is back.
"""

import asyncio
import json
import random
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from gateway import settings
from gateway.clock import LoopClock
from gateway.dispatch.endpoints import configured_id
from gateway.dispatch.webhooks import SCHEDULE
from gateway.model import wire
from tests import virtual
from tests.dispatch.world import TABLES, World
from tests.faults import check, records
from tests.faults.database import Sqlite
from tests.faults.run import OwnCase, Runner
from tests.faults.trial import Form, Result
from tests.faults.verdict import Verdict
from tests.tables import merge

_HOUR = 3600.0
_DOWN = 80 * _HOUR

_HOOK = {"url": "https://good.example.com", "secret": "whsec_" + "A" * 32}

#: Seconds that everybody gets to do what is due.
_PAUSE = 0.2

#: Seconds after which an endpoint that failed may be tried again.
_PROBE = 30.0

#: Messages that are posted while the receiver is down.
_SHORT, _LONG = 8, 200


async def _run(runner: Runner, case: OwnCase) -> Result:
    return await asyncio.to_thread(_run_in_thread, runner, case)


def _run_in_thread(runner: Runner, case: OwnCase) -> Result:
    """On a loop of its own, whose time jumps."""
    with (
        tempfile.TemporaryDirectory(prefix="gateway-faults-") as folder,
        virtual.time_waits_for_writer(),
        asyncio.Runner(loop_factory=virtual.VirtualLoop) as loop,
    ):
        return loop.run(_play(runner, case, Path(folder)))


async def _play(runner: Runner, case: OwnCase, folder: Path) -> Result:
    return await _Silence(runner, case, folder).run()


class _Silence:
    def __init__(self, runner: Runner, case: OwnCase, folder: Path) -> None:
        self._case = case
        self._runner = runner
        self._chance = random.Random(f"{runner.seed}/{case.name}")
        clock = LoopClock(datetime(2026, 11, 21, tzinfo=UTC))
        tables = merge(TABLES, {"tenants": {"billing": {"webhook": _HOOK}}})
        self._world = World(settings.parse(tables, environ={}), folder, clock, "n1")
        self._database = Sqlite(folder / "gateway.db")
        self._clock = clock
        self._is_down = True
        #: what came, by webhook-id
        self._tries: dict[str, list[float]] = defaultdict(list)
        self._taken: dict[str, str] = {}
        self._schedule: list[str] = []

    async def run(self) -> Result:
        world = self._world
        world.receiver.answer = self._answer
        for sender in world.senders.values():
            sender.latency = 0.0
        async with world.store:
            await world.book.configure(world.settings.tenants)
            world.start()
            await self._post_while_down()
            self._note("the receiver is back")
            back, self._is_down = self._clock.monotonic(), False
            await self._pass(_DOWN)
            took = max(at for tries in self._tries.values() for at in tries) - back
            again = await world.endpoints.replay(
                world.caller(), configured_id("billing"), since_ms=0, only_failed=True
            )
            self._note(f"{again} reports that were given up are asked for again")
            await self._pass(_HOUR)
            await world.stop()
            verdict = await self._verdict()
            broken = [*verdict.broken, *(["no report was given up"] if not again else [])]
        return self._runner.result(
            self._case,
            verdict=verdict,
            recovery_seconds=took,
            schedule=self._schedule,
            broken=broken,
        )

    def _answer(self, message: wire.Message, time: int) -> wire.AttemptResult:
        self._tries[message.id].append(self._clock.monotonic())
        if self._is_down:
            return wire.Deferred(code="connect refused", cause=wire.Cause.CONNECT)
        self._taken[message.id] = str(message.content.text)
        return wire.Accepted()

    async def _post_while_down(self) -> None:
        count = _SHORT if self._runner.form is Form.SHORT else _LONG
        moments = sorted(self._chance.uniform(0, _DOWN) for _ in range(count))
        began = self._clock.monotonic()
        # One at the very start, which is given up before the receiver is back.
        for at in [0.0, *moments, _DOWN]:
            await self._pass(began + at - self._clock.monotonic())
            await self._world.post()
        self._note(f"{count + 2} messages were posted over 80 h")

    async def _pass(self, seconds: float) -> None:
        """Let time pass, in leaps from one try to the next."""
        end = self._clock.monotonic() + seconds
        while (left := end - self._clock.monotonic()) > 0.0:
            await self._world.sleep(min(_PAUSE, left))
            left = end - self._clock.monotonic()
            await self._world.jump(max(0.0, min(await self._idle(), left)))

    async def _idle(self) -> float:
        """Seconds in which nothing is to be done; what is due waits for a probe of its endpoint."""
        ((due_ms,),) = await self._world.sql("SELECT min(due_ms) FROM queue")
        if due_ms is None:
            return _DOWN
        due_in = (due_ms - self._clock.now_ms()) / 1000
        return due_in if due_in > 0.0 else _PROBE

    def _note(self, what: str) -> None:
        self._schedule.append(f"{self._clock.monotonic() / _HOUR:7.1f} h  {what}")

    async def _verdict(self) -> Verdict:
        verdict = Verdict()
        told = {json.loads(text)["data"]["id"] for text in self._taken.values()}
        async for one in records.read(self._database):
            verdict.broken += check.of_message(one)
            if one.is_report:
                verdict.broken += self._of_report(one.id)
                continue
            verdict.messages += 1
            verdict.lost += one.id not in told
        if verdict.lost:
            verdict.broken.append(f"{verdict.lost} messages were never reported")
        verdict.broken += await self._database.faults()
        return verdict

    def _of_report(self, id: str) -> Iterator[str]:
        tries = self._tries[id]
        if id not in self._taken:
            yield f"report {id} never came, after {len(tries)} tries"
        # Twice the whole schedule: by itself, and once more when it was asked for.
        if len(tries) > 2 * (len(SCHEDULE) + 1):
            yield f"report {id} was tried {len(tries)} times"


CASES = (OwnCase(name="receiver-down", what="the receiver of webhooks is down for 80 h", run=_run),)
