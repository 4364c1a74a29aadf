"""kill -9 under load, at random and in the middle of commits: nothing acknowledged is lost."""

import asyncio
import json
import random
import shutil
import subprocess
from collections import Counter
from typing import Any

import aiohttp
import pytest

TEXT = {"text": "Your order is on its way", "subject": "Your order"}
SMS = {"to": {"phone": "+14155550123"}, "content": TEXT, "chain": [{"channel": "sms"}]}
MAIL = {"to": {"email": "li@example.com"}, "content": TEXT, "chain": [{"channel": "email"}]}
BATCH = [SMS] * 15 + [MAIL] * 5
#: Retries of what a crash left unknown must not run out.
CONFIGURATION = {
    "retry": {"attempts": 50},
    "webhooks": {"in_flight": 32},
    "providers": {"relay": {"concurrency": 4}},
}
LAST_STATES = {"sent", "delivered"}


class Load:
    """Batches posted one after another, as long as the gateway lives."""

    def __init__(self, api: Any) -> None:
        self.api = api
        #: ids that were acknowledged
        self.acknowledged: set[str] = set()

    async def run(self, child: Any) -> None:
        while child.is_running:
            try:
                status, answer = await self.api.call("POST", "/v1/messages/batch", BATCH)
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(0.01)  # not there yet, or not any more
                continue
            assert status == 202, answer
            self.acknowledged |= {one["id"] for one in answer["results"]}


async def settle(served: Any, eventually: Any) -> None:
    """One more gateway, which finishes everything, then drains."""
    child = await served.start()
    await idle(served.stand, eventually)
    await served.stand.acme.reporter.join()
    await idle(served.stand, eventually)
    child.terminate()
    assert await child.ended() == 0, child.stderr
    assert all("Traceback" not in one.stderr for one in served.children)


async def idle(stand: Any, eventually: Any) -> None:
    """Until nothing is left but reports that a crash cut off and that wait for their next try."""
    started = "SELECT count(*) FROM queue WHERE lane <> 'webhook' OR owner IS NOT NULL OR epoch = 0"
    await eventually(lambda: stand.database.one(started) == 0)


def reports(stand: Any) -> set[str]:
    """Ids of messages that were reported on, or are going to be."""
    waiting = stand.database.rows("SELECT body FROM message JOIN queue ON id = message")
    texts = [json.loads(json.loads(body)["content"]["text"]) for (body,) in waiting]
    return {body["data"]["id"] for body in (*stand.receiver.bodies.values(), *texts)}


def check(stand: Any, acknowledged: set[str]) -> None:
    """The invariants of reliability, from the caller's, the providers' and the database's side."""
    database = stand.database
    assert database.one("PRAGMA integrity_check") == "ok"
    states = dict(
        database.rows(
            "SELECT id, state FROM status JOIN message ON id = message WHERE NOT internal"
        )
    )
    assert acknowledged <= set(states)
    assert set(states.values()) <= LAST_STATES
    copies = stand.acme.log.copies() + stand.relay.log.copies() + stand.backup.log.copies()
    assert {reference[:36] for reference in copies} == set(states)
    unknowns: Counter[str] = Counter(
        {
            f"{message}-{redrive:x}-{step:x}-{part:x}": count
            for message, redrive, step, part, count in database.rows(
                "SELECT message, redrive, step, part, count(*) FROM attempt"
                " WHERE outcome = 'unknown' GROUP BY 1, 2, 3, 4"
            )
        }
    )
    assert {one: n for one, n in copies.items() if n > 1 + unknowns[one]} == {}
    assert reports(stand) == set(states)


async def test_kills_at_random_lose_nothing_that_was_acknowledged(
    served: Any, eventually: Any
) -> None:
    stand = served.stand
    stand.acme.knobs.latency = 0.02
    stand.acme.knobs.jitter = 0.05
    stand.acme.knobs.receipt_delay = 0.05
    served.configure(CONFIGURATION)
    random_ = random.Random(20260301)
    load = Load(served.api)

    for _ in range(2):
        child = await served.start()
        running = asyncio.create_task(load.run(child))
        before = stand.acme.log.total
        enough = before + random_.randrange(1, 250)
        await eventually(lambda enough=enough: stand.acme.log.total >= enough)
        await child.kill()
        await running
    await settle(served, eventually)

    assert len(load.acknowledged) >= 20
    check(stand, load.acknowledged)


@pytest.fixture
def strace() -> list[str]:
    """A tracer that kills with the fsync of the given number."""
    probe = ["strace", "-f", "-o", "/dev/null", "-e", "inject=fdatasync:signal=SIGKILL:when=9"]
    if shutil.which("strace") is None or subprocess.run([*probe, "true"], check=False).returncode:
        pytest.skip("strace is not installed, or may not trace")
    return probe[:4]


async def test_kills_in_the_middle_of_commits_lose_nothing_that_was_acknowledged(
    served: Any, eventually: Any, strace: list[str]
) -> None:
    stand = served.stand
    served.configure(CONFIGURATION)
    load = Load(served.api)
    for number in (5, 17, 29):
        inject = f"inject=fdatasync:signal=SIGKILL:when={number}"
        child = await served.launch(before=[*strace, "-e", "trace=fdatasync", "-e", inject])
        async with asyncio.timeout(60):
            await load.run(child)
    await settle(served, eventually)

    assert load.acknowledged
    check(stand, load.acknowledged)
