"""Receipts go out when due, once each, and stop with their simulator."""

import asyncio

import pytest

from gateway.model import wire
from gateway.sandbox.reports import Report, Reporter


def report(url: str, *, retries: int = 0) -> Report:
    request = wire.HttpRequest(method="POST", url=url, body=b"{}")
    return Report(build=lambda: request, retries=retries, retry_delay=lambda: 0.0)


async def test_reports_go_out_in_the_order_in_which_they_fall_due(
    sink_url: str, inbox: list[wire.HttpRequest]
) -> None:
    async with asyncio.timeout(20), Reporter() as reporter:
        for delay in (0.3, 0.1, 0.2):
            reporter.schedule(delay, report(f"{sink_url}/{delay}"))
        await reporter.join()

    assert [one.url.rpartition("/")[2] for one in inbox] == ["0.1", "0.2", "0.3"]


async def test_thousands_can_be_pending_without_a_task_each() -> None:
    async with Reporter() as reporter:
        tasks = len(asyncio.all_tasks())
        for _ in range(10_000):
            reporter.schedule(3600, report("http://127.0.0.1:9/"))

        assert reporter.pending == 10_000
        assert len(asyncio.all_tasks()) == tasks


async def test_many_reports_due_at_once_all_arrive(
    sink_url: str, inbox: list[wire.HttpRequest]
) -> None:
    async with asyncio.timeout(20), Reporter() as reporter:
        for number in range(500):
            reporter.schedule(0, report(f"{sink_url}/{number}"))
        await reporter.join()

    assert sorted(int(one.url.rpartition("/")[2]) for one in inbox) == list(range(500))
    assert reporter.counts == {"2xx": 500}


async def test_reports_past_the_limit_are_dropped_and_counted() -> None:
    async with Reporter(limit=2) as reporter:
        for _ in range(5):
            reporter.schedule(3600, report("http://127.0.0.1:9/"))

        assert reporter.pending == 2
        assert reporter.counts == {"dropped": 3}


async def test_failed_report_is_tried_again_as_often_as_it_may(
    sink_url: str, inbox: list[wire.HttpRequest], answers: list[int]
) -> None:
    answers += [500, 503, 500, 500]

    async with asyncio.timeout(20), Reporter() as reporter:
        reporter.schedule(0, report(sink_url, retries=2))
        await reporter.join()

    assert len(inbox) == 3
    assert reporter.counts == {"5xx": 3}


async def test_report_that_was_accepted_is_not_tried_again(
    sink_url: str, inbox: list[wire.HttpRequest], answers: list[int]
) -> None:
    answers += [500, 200, 500]

    async with asyncio.timeout(20), Reporter() as reporter:
        reporter.schedule(0, report(sink_url, retries=5))
        await reporter.join()

    assert len(inbox) == 2


async def test_unreachable_receiver_is_told_apart(unused_tcp_port: int) -> None:
    async with asyncio.timeout(20), Reporter() as reporter:
        reporter.schedule(0, report(f"http://127.0.0.1:{unused_tcp_port}/"))
        await reporter.join()

    assert reporter.counts == {"connect": 1}


async def test_query_of_a_receipt_url_is_sent_as_it_was_given(
    sink_url: str, inbox: list[wire.HttpRequest]
) -> None:
    async with asyncio.timeout(20), Reporter() as reporter:
        reporter.schedule(0, report(f"{sink_url}/r?a=%7Eb&c=%2F"))
        await reporter.join()

    assert inbox[0].url == f"{sink_url}/r?a=%7Eb&c=%2F"


@pytest.mark.parametrize("entered", [True, False])
async def test_stopping_drops_what_waits_and_may_be_done_twice(entered: bool) -> None:
    reporter = Reporter()
    if entered:
        await reporter.__aenter__()
        reporter.schedule(3600, report("http://127.0.0.1:9/"))

    async with asyncio.timeout(20):
        await reporter.__aexit__(None, None, None)
        await reporter.__aexit__(None, None, None)
