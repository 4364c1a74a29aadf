"""`latency`: from when a message should have been posted to its arrival at the provider.

Arrivals keep their own time whatever the gateway does (an open loop): what is posted late counts
from when it was due, so that nothing hides behind a slow answer. Each level is a share of what the
gateway carried at full load just before.
"""

import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import orjson

from benchmarks import load
from benchmarks.processes import Cores, apart, started
from benchmarks.report import Chart, Result, rounds
from benchmarks.variant import USUAL, Variant

#: The first is that of the goal.
_LEVELS = (0.8, 0.5, 0.95)

_SHARES = (0.5, 0.75, 0.9, 0.95, 0.99, 0.999)


async def run(scale: float, progress: load.Progress, variant: Variant = USUAL) -> Result:
    seconds = max(0.2, 20 * scale)
    with apart(variant.processes) as cores, tempfile.TemporaryDirectory() as folder:
        capacity = await _capacity(variant, Path(folder), cores, scale)
        waits = {}
        levels = _LEVELS if scale >= 0.01 else _LEVELS[:1]
        for number, level in enumerate(levels):
            waits[level] = await _level(variant, Path(folder), cores, capacity * level, seconds)
            progress(number + 1, len(levels))
    figures: dict[str, float | int | str] = {"capacity, messages/s": capacity}
    for level, found in sorted(waits.items()):
        for share in (0.5, 0.99):
            figures[f"at {level:.0%}, p{share * 100:g} in ms"] = percentile(found, share) * 1000
    ratio = percentile(waits[0.8], 0.99) / percentile(waits[0.8], 0.5)
    return Result(
        name="latency",
        goal="at 80% of capacity p99 from accept to provider is under 10 times p50",
        reached=ratio < 10.0,
        figures={**figures, "p99 ÷ p50 at 80%": ratio},
        charts=[
            Chart(
                title="latency: ms from due to the provider, by percentile",
                lines={
                    f"{level:.0%} of capacity": [
                        (-math.log10(1 - share), percentile(found, share) * 1000)
                        for share in _SHARES
                    ]
                    for level, found in sorted(waits.items())
                },
                across="nines: 1 is p90, 2 is p99, 3 is p99.9",
                logarithmic=True,
            )
        ],
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least so large a share does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


async def _capacity(variant: Variant, folder: Path, cores: Cores, scale: float) -> float:
    """Messages a second, all posted as fast as they are taken."""
    rates, count = [], max(100, int(10_000 * scale))
    for number in range(min(3, rounds(scale))):
        place = folder / f"capacity{number}"
        place.mkdir()
        async with (
            started("-m", "benchmarks.sink") as url,
            variant.gateway(place, _config(url), cores=cores) as running,
            load.session() as client,
        ):
            begun = time.perf_counter()
            await load.post(client, running, count)
            ended = await load.until_sent(client, running, count)
            rates.append(count / (ended - begun))
    return statistics.median(rates)


async def _level(
    variant: Variant, folder: Path, cores: Cores, rate: float, seconds: float
) -> list[float]:
    """Seconds that each message took, of those that arrived after the first tenth."""
    place = Path(tempfile.mkdtemp(dir=folder))
    times = place / "times"
    async with (
        started("-m", "benchmarks.sink", "--times", str(times)) as url,
        variant.gateway(place, _config(url), cores=cores) as running,
        load.session() as client,
    ):
        due = await load.arrive(client, running, rate, seconds)
        await load.until_sent(client, running, len(due))
    arrived = dict(orjson.loads(times.read_bytes()))
    if missing := len(due) - len(arrived):
        raise RuntimeError(f"{missing} messages never arrived")
    return [arrived[number] - at for number, at in enumerate(due) if number >= len(due) // 10]


def _config(url: str) -> str:
    lane = '[lanes.sms]\nchannel = "sms"\nproviders = ["acme"]\n'
    return load.TENANT + load.provider(url) + lane
