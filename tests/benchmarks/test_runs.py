"""Each of the short benchmarks runs, so that none rots: what it finds is nobody's business here."""

from collections.abc import Awaitable, Callable

import pytest

from benchmarks import accept, latency, race, report
from benchmarks.load import Progress, unseen

Run = Callable[[float, Progress], Awaitable[report.Result]]

RUNS: dict[str, Run] = {
    "fallback": race.RACES["fallback"].run,  # does all that `http` does
    "smtp": race.RACES["smtp"].run,
    "accept": accept.run,
    "latency": latency.run,
}


@pytest.mark.parametrize("name", RUNS)
async def test_benchmark_runs(name: str) -> None:
    result = await RUNS[name](0.0, unseen)

    assert result.name == name
    assert result.figures
    assert result.charts
