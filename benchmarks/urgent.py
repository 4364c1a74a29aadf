"""`urgent`: how soon a critical message is sent that comes behind 100,000 bulk ones."""

import statistics
import tempfile
from datetime import datetime
from pathlib import Path

import orjson

from benchmarks import load
from benchmarks.processes import gateway, simulator
from benchmarks.report import Result, spread

_RATE = 100


async def run(scale: float, progress: load.Progress) -> Result:
    bulk, urgent = int(100_000 * scale), 20
    config = (
        '[categories.mass]\npriority = "bulk"\nchain = [{ channel = "sms" }]\n'
        '[lanes.sms]\nchannel = "sms"\nproviders = ["acme"]\n'
    )
    async with simulator() as url:
        config += load.TENANT + load.provider(url, extra=f"rate = {_RATE}\n")
        with tempfile.TemporaryDirectory() as folder:
            async with gateway(Path(folder), config) as running, load.session() as client:
                await load.post(client, running, bulk, progress, category="mass")
                waits: list[float] = []
                for number in range(urgent):
                    (id_,) = await load.post_batch(client, running, number, 1, "otp")
                    await load.until_sent(client, running, number + 1, category="otp")
                    async with client.get(f"{running.api}/v1/messages/{id_}") as answer:
                        waits.append(_wait(orjson.loads(await answer.read())))
    return Result(
        name="urgent",
        goal=f"a critical message behind 100,000 bulk ones on {_RATE}/s is sent within 1 s",
        reached=max(waits) < 1.0,
        figures={
            "bulk waiting": bulk,
            "seconds to send": spread(waits),
            "median seconds": statistics.median(waits),
        },
    )


def _wait(message: dict[str, list[dict[str, str]]]) -> float:
    """Seconds from acceptance to the provider's answer, by the message's own timeline."""
    times = {one["event"]: datetime.fromisoformat(one["at"]) for one in message["timeline"]}
    return (times["attempt.accepted"] - times["accepted"]).total_seconds()
