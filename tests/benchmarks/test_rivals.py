"""Yardsticks of other people's programs: what is missing is said, what was started is ended."""

import asyncio
import io
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import load, page, raw, report
from benchmarks.processes import cpu_seconds
from benchmarks.races import RACES
from benchmarks.yardsticks import http_raw, kannel, rival
from gateway.sandbox.fast import FastHttpSimulator

URL = "http://127.0.0.1:9"


@pytest.fixture
async def simulator() -> AsyncIterator[FastHttpSimulator]:
    async with FastHttpSimulator() as running:
        yield running


def _no_end() -> AbstractAsyncContextManager[str]:
    raise AssertionError("something was started")


@pytest.mark.parametrize("name", ["celery", "kannel", "smtp_source"])
async def test_missing_program_or_package_is_named_and_nothing_is_started(name: str) -> None:
    race = replace(
        RACES[name],
        programs=["no-such-program"],
        packages=["no_such_package", "json"],
        ends=[_no_end],
    )

    result = await race.run(0.0, load.unseen)

    assert result.reached is None
    assert result.figures == {"missing": "the program no-such-program, the package no_such_package"}


def test_what_is_left_out_is_shown_with_what_is_missing() -> None:
    result = report.Result(name="x", goal="y", reached=None, figures={"missing": "the program z"})
    console = Console(width=80, record=True, file=io.StringIO())

    report.show(console, [result])

    for text in (console.export_text(), page.render([result], {})):
        assert "left out" in text
        assert "the program z" in text


def test_configuration_of_kannel_is_groups_of_named_values(tmp_path: Path) -> None:
    text = kannel.config(tmp_path, URL, boxes=1, messages=2)

    groups = [_group(lines) for lines in text.split("\n\n")]

    assert [group["group"] for group in groups] == [
        '"core"', '"smsc"', '"smsbox"', '"sendsms-user"',
    ]  # fmt: skip
    core, smsc, smsbox, _ = groups
    assert core["smsbox-port"] == "1"
    assert smsbox["sendsms-port"] == "2"
    assert smsc["send-url"].startswith(f'"{URL}/v1/send?')
    assert len({core["admin-port"], smsc["port"]}) == 2


def _group(lines: str) -> Mapping[str, str]:
    pairs = [line.split(" = ") for line in lines.strip().splitlines()]
    assert all(len(pair) == 2 for pair in pairs)
    return dict(pairs)


async def test_all_prepared_requests_arrive(simulator: FastHttpSimulator) -> None:
    requests = [raw.request("POST", f"{simulator.url}/v1/send", {}, b"x" * 9) for _ in range(50)]
    requests += [raw.request("GET", f"{simulator.url}/v1/send?to=x", {}) for _ in range(50)]

    await raw.send(simulator.url, iter(requests), 4)

    assert simulator.log.taken == 100


async def test_answer_that_is_no_success_is_an_error(simulator: FastHttpSimulator) -> None:
    request = raw.request("PUT", f"{simulator.url}/nowhere", {}, b"x")

    with pytest.raises(RuntimeError, match="404"):
        await raw.send(simulator.url, iter([request]), 2)


async def test_rate_is_measured_until_the_simulator_has_all(
    simulator: FastHttpSimulator,
) -> None:
    sent: list[tuple[int, int]] = []

    async def send(first: int, count: int) -> None:
        sent.append((first, count))
        requests = [raw.request("GET", f"{simulator.url}/x", {}) for _ in range(count)]
        await raw.send(simulator.url, iter(requests), 2)

    figures = await rival.measure(send, simulator.url, 10, os.getpid())

    assert sent == [(0, 100), (100, 10)]
    assert figures.keys() == {"rate", "cpu_us"}


async def test_cheap_client_sends_as_many_as_were_asked_for(
    simulator: FastHttpSimulator, capsys: pytest.CaptureFixture[str]
) -> None:
    await http_raw.main(simulator.url, 70)

    assert simulator.log.taken == 70
    assert json.loads(capsys.readouterr().out).keys() == {"rate", "cpu_us"}


_STARTS_ANOTHER = """
import asyncio, sys
from benchmarks.processes import program
from benchmarks.yardsticks import rival

async def main():
    async with program(sys.executable, "-c", "import time; time.sleep(600)") as child:
        print(child.pid, flush=True)
        await asyncio.Event().wait()

rival.run(main())
"""


async def test_yardstick_that_is_told_to_stop_ends_what_it_started() -> None:
    yardstick = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _STARTS_ANOTHER, stdout=asyncio.subprocess.PIPE
    )
    assert yardstick.stdout is not None
    child = int(await yardstick.stdout.readline())

    used = cpu_seconds(yardstick.pid)
    yardstick.send_signal(signal.SIGTERM)

    assert await yardstick.wait() == 0
    assert used > 0
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
