"""Every benchmark runs, as small as it can be: what it finds is not judged here."""

import pytest

from benchmarks.__main__ import _ALL, _VARIED
from benchmarks.load import unseen
from benchmarks.variant import Variant


@pytest.mark.parametrize("name", _ALL)
async def test_benchmark_runs(name: str) -> None:
    result = await _ALL[name](0.0, unseen)

    assert result.name == name
    assert result.figures
    assert result.charts or "missing" in result.figures


async def test_benchmark_runs_in_several_processes_on_postgresql() -> None:
    variant = Variant(postgres=True, processes=2)

    result = variant.tell(await _VARIED["accept"](0.0, unseen, variant))

    assert result.name == "accept (PostgreSQL, 2 processes)"
    assert result.verdict == "no goal"
    assert result.charts
