"""What /metrics says can be read by Prometheus' own parsers and keeps to its conventions."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from gateway.model.wire import ReceiptEvent

TEXT = {"text": "Your order is on its way", "subject": "Your order"}

#: All labels that there may be, and where their values come from.
LABELS: dict[str, set[str]] = {
    "category": {"otp", "service", "marketing", "news", "webhook"},
    "provider": {"acme", "backup", "beacon", "twilio", "relay", "webhook"},
    "lane": {"sms", "sms.uk", "push", "email", "webhook"},
    "channel": {"sms", "email", "push", "webhook"},
    "result": {"accepted", "rejected", "deferred", "unknown"},
    "reason": {
        *("invalid", "throttled", "key_conflict", "duplicate", "repeated", "unavailable"),
        *("signature", "unreadable", "stranger"),
    },
    "event": set(ReceiptEvent),
    "phase": {"ready", "waiting", "claimed"},
    "rule": {"windows", "quiet", "holidays", "preset", "recipient", "cap", "yields", "other"},
    "kind": {"opt_out", "opt_in", "help", "reply", "repeated"},
}
STATES = {
    *("sent", "delivered", "read", "failed", "expired", "suppressed", "cancelled", "unknown"),
    *("closed", "open", "half_open"),
}


async def used(stand: Any, eventually: Any) -> Any:
    """A gateway that has had some of everything."""
    gateway = await stand.start()
    await use(gateway, stand, eventually)
    return gateway


async def use(gateway: Any, stand: Any, eventually: Any) -> None:
    ids = [
        await gateway.send(to={"phone": "+14155550123"}, content=TEXT),
        await gateway.send(to={"phone": "+447400123456"}, content=TEXT),
        await gateway.send(to={"email": "li@example.com"}, content=TEXT),
        await gateway.send(to={"push": [{"app": "ios", "token": "one"}]}, content=TEXT),
    ]
    for id in ids:
        await gateway.until(id, "sent", "delivered")
    dead = await gateway.send(to={"phone": "+15005550002"}, content=TEXT)
    await gateway.until(dead, "failed")
    await gateway.call("POST", "/v1/messages", {"to": {}})
    await eventually(lambda: stand.database.one("SELECT count(*) FROM queue") == 0)


def check(families: list[Metric]) -> None:
    """Naming conventions: https://prometheus.io/docs/practices/naming/"""
    assert len({one.name for one in families}) == len(families) > 20
    for family in families:
        assert re.fullmatch(r"(gateway|process)_[a-z0-9]+(_[a-z0-9]+)*", family.name), family.name
        assert family.documentation, family.name
        assert family.type in ("counter", "gauge", "histogram"), family.name
        assert not re.search(r"_(ms|milliseconds|minutes|kb|mb|percent)(_|$)", family.name)
        assert not re.search(r"_(count|sum|bucket|total|info)$", family.name), family.name
        if family.type == "histogram":
            assert family.name.endswith(("_seconds", "_bytes")), family.name
        for sample in family.samples:
            check_labels(family, sample.labels)
            if family.type == "counter":
                assert sample.name.endswith("_total"), sample.name


def check_labels(family: Metric, labels: dict[str, str]) -> None:
    for name, value in labels.items():
        if name == "le" and family.type == "histogram":
            continue
        allowed = STATES if name == "state" else LABELS[name]
        assert value in allowed, (family.name, name, value)


def parse(read: Callable[[str], Iterable[Metric]], text: str) -> list[Metric]:
    """The families, by one of the parsers."""
    return list(read(text))


async def test_text_format_is_valid_and_conventional(stand: Any, eventually: Any) -> None:
    gateway = await used(stand, eventually)

    text = await gateway.metrics()

    families = parse(text_string_to_metric_families, text)
    check(families)
    for family in families:
        name = family.name + ("_total" if family.type == "counter" else "")
        assert text.count(f"# HELP {name} ") == text.count(f"# TYPE {name} ") == 1


async def test_openmetrics_format_is_valid_and_conventional(stand: Any, eventually: Any) -> None:
    gateway = await used(stand, eventually)
    accept = "application/openmetrics-text; version=1.0.0; charset=utf-8"

    text = await gateway.metrics(accept)

    check(parse(openmetrics.text_string_to_metric_families, text))
    assert text.endswith("# EOF\n")
    assert "_created" not in text


def counted(text: str) -> set[str]:
    """Every series of what is counted."""
    return {
        str((sample.name, sample.labels))
        for family in text_string_to_metric_families(text)
        if family.type != "gauge"
        for sample in family.samples
    }


async def test_what_is_counted_is_there_before_it_happens(stand: Any, eventually: Any) -> None:
    gateway = await stand.start()
    fresh = counted(await gateway.metrics())

    await use(gateway, stand, eventually)

    assert counted(await gateway.metrics()) == fresh


async def test_process_is_measured_too(stand: Any) -> None:
    gateway = await stand.start()

    assert await gateway.metric("process_open_fds") > 0
    assert await gateway.metric("process_resident_memory_bytes") > 0


async def test_labels_do_not_grow_with_the_messages(stand: Any, eventually: Any) -> None:
    gateway = await used(stand, eventually)
    before = len((await gateway.metrics()).splitlines())

    for number in range(10):
        id = await gateway.send(
            to={"phone": f"+1415555012{number}"}, content=TEXT, metadata={"n": number}
        )
        await gateway.until(id, "delivered")
    await eventually(lambda: stand.database.one("SELECT count(*) FROM queue") == 0)
    await gateway.call("GET", "/v1/messages/nonsense")
    await gateway.call("POST", "/v1/receipts/nonsense")

    assert len((await gateway.metrics()).splitlines()) == before


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
async def test_promtool_finds_nothing_wrong(stand: Any, eventually: Any) -> None:
    gateway = await used(stand, eventually)

    text = (await gateway.metrics()).encode()
    promtool = await asyncio.create_subprocess_exec(
        *("promtool", "check", "metrics"), stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    _, complaints = await promtool.communicate(text)

    assert (promtool.returncode, complaints) == (0, b"")
