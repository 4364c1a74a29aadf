"""`push`: pushes a second by Apple's service, over one HTTP/2 connection with TLS."""

from collections.abc import Mapping
from typing import Any

from benchmarks import load
from benchmarks.one_connection import Line, keys_of


def _port(account: Mapping[str, Any]) -> int:
    return int(account["base_url"].rpartition(":")[2])


def _config(account: Mapping[str, Any]) -> str:
    return (
        f'[providers.apple]\nkind = "apns"\nconcurrency = {load.PUSHES}\n{keys_of(account)}'
        '[lanes.push]\nchannel = "push"\nproviders = ["apple"]\n'
    )


def _push(number: int, category: str = "service") -> Mapping[str, object]:
    return {
        "to": {"push": [{"app": "bench", "token": load.device(number)}]},
        "content": {"title": load.SUBJECT, "text": load.TEXT},
        "category": category,
        "chain": [{"channel": "push"}],
    }


run = Line(
    name="push",
    one="push",
    many="pushes",
    goal=1_000.0,
    sink="benchmarks.push_sink",
    yardstick="benchmarks.yardsticks.apns_connection",
    port=_port,
    config=_config,
    make=_push,
).run
