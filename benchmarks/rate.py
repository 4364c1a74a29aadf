"""`rate`: whether a provider account keeps its rate and burst, as a server on loopback sees it.

For every window w: arrivals ≤ burst + rate·(w + 20 ms) + 1; on average at least 0.97 of the rate is
used.
"""

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks import load
from benchmarks.arrivals import clock, worst_excess
from benchmarks.processes import gateway
from benchmarks.report import Chart, Result, least

_RATE, _BURST = 50, 10


async def run(scale: float, progress: load.Progress) -> Result:
    count = max(least(scale, 200, 50), int(1_500 * scale))
    arrivals: list[float] = []
    async with clock(arrivals) as url:
        config = load.TENANT + load.provider(url, extra=f"rate = {_RATE}\nburst = {_BURST}\n")
        config += '[lanes.sms]\nchannel = "sms"\nproviders = ["acme"]\n'
        with tempfile.TemporaryDirectory() as folder:
            async with gateway(Path(folder), config) as running, load.session() as client:
                await load.post(client, running, count)
                await load.until_sent(client, running, count, progress)
    used = (len(arrivals) - _BURST) / (arrivals[-1] - arrivals[0]) / _RATE
    excess = worst_excess(arrivals, _RATE, _BURST)
    return Result(
        name="rate",
        goal="arrivals ≤ burst + rate·(w + 20 ms) + 1 in any window w; at least 0.97 of the rate",
        reached=excess <= 0 and used >= 0.97 and len(arrivals) == count,
        figures={
            "arrivals": len(arrivals),
            "share of the rate used": used,
            "worst window, arrivals over the bound": excess,
        },
        charts=[
            Chart(
                title="rate: arrivals in each whole second",
                bars={"limit": [_RATE], "arrivals": _each_second(arrivals)},
            )
        ],
    )


def _each_second(arrivals: Sequence[float]) -> Sequence[float]:
    """How many came in each second from the first one on, but for the last, which is not whole."""
    counts = Counter(int(at - arrivals[0]) for at in arrivals)
    return [float(counts[second]) for second in range(max(counts) or 1)]
