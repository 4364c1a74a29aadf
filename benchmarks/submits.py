"""`smpp`: messages a second by one bind to a message centre, with a window of 64."""

from collections.abc import Mapping
from typing import Any

from benchmarks import load
from benchmarks.one_connection import Line, keys_of


def _port(account: Mapping[str, Any]) -> int:
    return int(account["port"])


def _config(account: Mapping[str, Any]) -> str:
    return (
        f'[providers.centre]\nkind = "smpp"\nconcurrency = {load.WINDOW}\n{keys_of(account)}'
        '[lanes.sms]\nchannel = "sms"\nproviders = ["centre"]\n'
    )


run = Line(
    name="smpp",
    one="submit",
    many="submits",
    goal=1_000.0,
    sink="benchmarks.smpp_sink",
    yardstick="benchmarks.yardsticks.smpp_bind",
    port=_port,
    config=_config,
    make=load.message,
).run
