"""How long a body may take that comes in pieces. On virtual time."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.api import bodies, problems
from gateway.api.limits import Limits
from tests.virtual import VirtualLoop

#: Five seconds, and one for every hundred bytes.
LIMITS = Limits(body_seconds=5.0, body_rate=100.0)


class Body:
    """Pieces that take their time."""

    def __init__(self, pieces: list[tuple[float, bytes]]) -> None:
        self._pieces = pieces

    async def readany(self) -> bytes:
        if not self._pieces:
            return b""
        seconds, piece = self._pieces.pop(0)
        await asyncio.sleep(seconds)
        return piece


def read(pieces: list[tuple[float, bytes]], *, storing: float = 0.0) -> tuple[int, float]:
    """(bytes, seconds that it took)."""
    request: Any = SimpleNamespace(
        app={bodies.LIMITS: LIMITS},
        content=Body(pieces),
        content_type="text/csv",
        charset=None,
        headers={},
    )

    async def work() -> tuple[int, float]:
        began, size = asyncio.get_running_loop().time(), 0
        async for piece in bodies.stream(request, {"text/csv"}):
            size += len(piece)
            await asyncio.sleep(storing)
        return size, asyncio.get_running_loop().time() - began

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work())


def test_body_that_is_fast_enough_takes_as_long_as_it_is() -> None:
    size, seconds = read([(1.0, b"x" * 101)] * 1_000)

    assert (size, round(seconds)) == (101_000, 1_000)


def test_body_that_is_too_slow_on_the_whole_is_given_up() -> None:
    with pytest.raises(problems.SlowBody, match="too slowly: send 100 bytes a second"):
        read([(1.0, b"x" * 50)] * 12)


def test_body_that_stands_still_is_given_up_though_it_was_fast() -> None:
    with pytest.raises(problems.SlowBody, match="not complete in time"):
        read([(0.0, b"x" * 10_000), (5.1, b"x")])


def test_time_that_storing_takes_is_not_the_callers() -> None:
    size, _ = read([(1.0, b"x" * 99)] * 20, storing=60.0)

    assert size == 20 * 99
