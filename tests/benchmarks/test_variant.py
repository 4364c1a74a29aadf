"""A benchmark that runs in another way says so, is not judged, and counts all its processes."""

import asyncio
import os
import sys
from collections.abc import Collection

import pytest
import typer

from benchmarks import processes
from benchmarks.__main__ import _ALL, _VARIED, _choose
from benchmarks.races import RACES
from benchmarks.report import Chart, Result, least, rounds
from benchmarks.variant import USUAL, Variant

RESULT = Result(
    name="http",
    goal="at least 1.3",
    reached=False,
    figures={"ratio": 0.6},
    charts=[Chart(title="http: messages a second", bars={"gateway": [1.0]})],
)


@pytest.mark.parametrize(
    ("variant", "name"),
    [
        (Variant(postgres=True), "http (PostgreSQL)"),
        (Variant(postgres=True, processes=2), "http (PostgreSQL, 2 processes)"),
    ],
)
def test_variant_is_named_and_not_judged(variant: Variant, name: str) -> None:
    told = variant.tell(RESULT)

    assert told.name == name
    assert told.verdict == "no goal"
    assert told.figures == RESULT.figures
    assert [chart.title for chart in told.charts] == [f"http: messages a second{name[4:]}"]


def test_usual_way_is_told_as_it_is() -> None:
    assert USUAL.tell(RESULT) is RESULT


def test_all_run_in_the_usual_way_and_some_in_others() -> None:
    other = Variant(postgres=True)

    assert list(_choose((), USUAL)) == list(_ALL)
    assert list(_choose((), other)) == list(_VARIED)
    assert _choose({"receipts", "http"}, other) == ["http", "receipts"]
    assert RACES["http_postgres"].usual == other


@pytest.mark.parametrize(
    ("names", "variant", "words"),
    [
        ({"nothing"}, USUAL, "no such benchmark: nothing"),
        ({"nothing"}, Variant(postgres=True), "no such benchmark: nothing"),
        ({"nodes", "http"}, Variant(postgres=True), "always run in one way: nodes"),
    ],
)
def test_what_cannot_run_so_is_refused(
    names: Collection[str], variant: Variant, words: str
) -> None:
    with pytest.raises(typer.BadParameter, match=words):
        _choose(names, variant)


def test_only_a_look_is_smaller_than_what_figures_need() -> None:
    assert [least(scale, 200, 10) for scale in (0.0, 0.009, 0.02, 1.0)] == [10, 10, 200, 200]
    assert [rounds(scale) for scale in (0.0, 0.02, 1.0)] == [1, 2, 5]


def test_what_is_measured_has_its_cores_where_there_are_others() -> None:
    cores = os.sched_getaffinity(0)

    with processes.apart(len(cores)) as all_of_them:
        assert all_of_them is None
        assert os.sched_getaffinity(0) == cores
    with processes.apart() as chosen:
        if chosen is not None:
            assert len(chosen) == 1
            assert os.sched_getaffinity(0) == cores - chosen
    assert os.sched_getaffinity(0) == cores


_PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {child!r}], stdout=subprocess.PIPE)
child.stdout.readline()
print(flush=True)
sys.stdin.read()
child.kill()
child.wait()
"""
_CHILD = "held = b'x' * 30_000_000; sum(range(3_000_000)); print(flush=True); input()"


async def test_usage_is_that_of_all_processes() -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _PARENT.format(child=_CHILD),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert parent.stdout is not None
    await parent.stdout.readline()

    whole, own = processes.usage(parent.pid), processes._own_usage(parent.pid)
    await parent.communicate(b"")

    assert whole.cpu_seconds > own.cpu_seconds
    assert whole.resident_bytes > own.resident_bytes + 30_000_000
    assert whole.peak_bytes > own.peak_bytes + 30_000_000
