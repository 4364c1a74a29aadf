"""What simulators of SMS services of mainland China share: magic numbers, time, pushed reports."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import orjson

from gateway.model import wire
from gateway.sandbox import reports
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.magic import ORDINARY, PHONES, Magic

_BEIJING = timezone(timedelta(hours=8))


def magic_of(phone: str) -> Magic:
    """Those of `magic.PHONES`, also as mobiles at home: +8615005550015 is as +15005550015."""
    return PHONES.get(phone) or PHONES.get(f"+{phone.removeprefix('+86')}", ORDINARY)


def local_time(seconds: float) -> str:
    """As reports write it."""
    return datetime.fromtimestamp(seconds, _BEIJING).strftime("%Y-%m-%d %H:%M:%S")


def report(knobs: Knobs, build: Callable[[], Any], *, retries: int) -> reports.Report:
    """A push of what `build` makes when it is due, to the knob `receipt_url`."""

    def request() -> wire.HttpRequest:
        headers: Mapping[str, str] = {"Content-Type": "application/json;charset=utf-8"}
        body = orjson.dumps(build())
        return wire.HttpRequest(method="POST", url=knobs.receipt_url, headers=headers, body=body)

    return reports.Report(
        build=request, retries=retries, retry_delay=lambda: knobs.receipt_retry_delay
    )
