"""`receipts`: delivery receipts come in one by one, each signed, and go out as signed webhooks.

A receipt counts when it has been applied to its message and its webhook has been delivered, both on
disk. The yardstick verifies and passes on, and stores nothing. Both take turns on the same core.
"""

import asyncio
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import orjson
from standardwebhooks import Webhook

from benchmarks import load
from benchmarks.processes import Cores, Running, apart, on, simulator, started, usage
from benchmarks.report import Chart, Result, least, rounds, spread
from benchmarks.variant import USUAL, Variant
from gateway.model import wire
from gateway.model.message import MessageId, reference
from gateway.transport.lean import LeanHttpTransport

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

#: Requests of the provider under way.
_AT_ONCE = 64

_PATH = "/v1/receipts/acme"

_RECEIPT = (
    f'receipt = {{ secret = "{SECRET}", reference = "ref", status = "status", '
    'map = { delivered = "delivered" } }\n'
)


def signed(id_: str, body: bytes) -> Mapping[str, str]:
    """Headers of a Standard Webhooks request, signed now."""
    now = datetime.now(tz=UTC)
    return {
        "content-type": "application/json",
        "webhook-id": id_,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign(id_, now, body.decode()),
    }


async def run(scale: float, progress: load.Progress, variant: Variant = USUAL) -> Result:
    count = max(least(scale, 100, 20), int(10_000 * scale))
    ours: list[float] = []
    bare: list[float] = []
    cpu: list[float] = []
    with apart(variant.processes) as cores:
        async with simulator() as provider, started("-m", "benchmarks.sink") as receiver:
            for number in range(rounds(scale)):
                bare.append(await _bare(receiver, count, cores))
                rate, cpu_us = await _ours(variant, provider, receiver, count, cores)
                ours.append(rate)
                cpu.append(cpu_us)
                progress(number + 1, rounds(scale))
    ratios = [mine / theirs for mine, theirs in zip(ours, bare, strict=True)]
    return Result(
        name="receipts",
        goal="beside a handler that passes receipts on and stores nothing",
        reached=None,
        figures={
            "ratio": spread(ratios),
            "gateway receipts/s": spread(ours),
            "bare handler receipts/s": spread(bare),
            "gateway CPU µs/receipt": spread(cpu),
        },
        charts=[
            Chart(
                title=f"receipts: from a provider to a webhook, a second{on(cores)}",
                bars={"gateway": ours, "bare handler": bare},
            )
        ],
    )


async def _bare(receiver: str, count: int, cores: Cores) -> float:
    words = ("-m", "benchmarks.yardsticks.receipt_forwarder", f"{receiver}/hook")
    async with started(*words, cores=cores) as url, LeanHttpTransport() as client:
        requests = _requests(url, [f"{number:032d}" for number in range(count)])
        begun = time.perf_counter()
        await _send(client, requests)
        return count / (time.perf_counter() - begun)


async def _ours(
    variant: Variant, provider: str, receiver: str, count: int, cores: Cores
) -> tuple[float, float]:
    """(receipts a second, µs of CPU each)."""
    with tempfile.TemporaryDirectory() as folder:
        config = _config(provider, f"{receiver}/hook")
        async with (
            variant.gateway(Path(folder), config, cores=cores) as running,
            load.session() as session,
            LeanHttpTransport() as client,
        ):
            ids = await _sent(session, running, count)
            names = [reference(MessageId(one), redrive=0, step=0, part=0) for one in ids]
            requests = _requests(running.api, names)
            before, begun = usage(running.pid), time.perf_counter()
            await _send(client, requests)
            ended = await load.until_sent(session, running, count, category="webhook")
            after = usage(running.pid)
    return count / (ended - begun), (after.cpu_seconds - before.cpu_seconds) / count * 1e6


async def _sent(session: aiohttp.ClientSession, running: Running, count: int) -> Sequence[str]:
    """Ids of messages that their provider has taken."""
    ids: list[str] = []
    for first in range(0, count, load.BATCH):
        size = min(load.BATCH, count - first)
        ids += await load.post_batch(session, running, first, size, "service")
    await load.until_sent(session, running, count)
    return ids


def _requests(url: str, names: Sequence[str]) -> Sequence[wire.HttpRequest]:
    bodies = [orjson.dumps({"ref": name, "status": "delivered"}) for name in names]
    return [
        wire.HttpRequest(method="POST", url=url + _PATH, headers=signed(name, body), body=body)
        for name, body in zip(names, bodies, strict=True)
    ]


async def _send(client: LeanHttpTransport, requests: Sequence[wire.HttpRequest]) -> None:
    left = iter(requests)

    async def work() -> None:
        for request in left:
            answer = await client.send(request, timeout=60.0)
            if answer.status != 204:
                raise RuntimeError(f"answered {answer.status}: {answer.body[:500]!r}")

    await asyncio.gather(*(work() for _ in range(_AT_ONCE)))


def _config(provider: str, hook: str) -> str:
    return (
        '[webhooks]\nallow_private = ["127.0.0.0/8"]\n'
        + load.TENANT
        + f'webhook = {{ url = "{hook}", secret = "{SECRET}", events = ["message.delivered"] }}\n'
        + load.provider(provider, extra=_RECEIPT)
        + '[lanes.sms]\nchannel = "sms"\nproviders = ["acme"]\n'
    )
