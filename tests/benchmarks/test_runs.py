"""The shortest benchmarks run, which use most of what all do: what they find is not judged here."""

from collections.abc import Awaitable, Callable

import pytest

from benchmarks import accept, races, report
from benchmarks.load import Progress, unseen

Run = Callable[[float, Progress], Awaitable[report.Result]]

RUNS: dict[str, Run] = {
    "smtp": races.RACES["smtp"].run,
    "accept": accept.run,
}


@pytest.mark.parametrize("name", RUNS)
async def test_benchmark_runs(name: str) -> None:
    result = await RUNS[name](0.0, unseen)

    assert result.name == name
    assert result.figures
    assert result.charts
