"""Virtual time: what waits for hours is tested in no time, and the same way each time."""

import asyncio
import selectors
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any, TypeVar, TypeVarTuple
from unittest import mock

from gateway.store.sqlite.writer import Writer

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: No answer of a thread within so many seconds: the test hangs.
_HUNG = 30.0


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time jumps to the next timer when neither it nor a thread has anything to do."""

    def __init__(self) -> None:
        self.now = 1000.0
        #: calls that threads are busy with
        self.busy = 0
        super().__init__(_Jumper(self))

    def time(self) -> float:
        return self.now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        self.busy += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._is_done)
        return future

    def _is_done(self, future: object) -> None:
        self.busy -= 1

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Without the limit that Python 3.12 sets: virtual time would pass it at once."""
        await super().shutdown_default_executor()


class _Jumper(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is not None and (timeout <= 0.0 or self._loop.busy == 0):
            self._loop.now += max(0.0, timeout)
            return super().select(0)
        events = super().select(_HUNG)
        if not events:
            raise RuntimeError("nothing will ever happen")
        return events


def loop_factories(
    config: object, item: object
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """For a conftest that binds it to `pytest_asyncio_loop_factories`."""
    return {"virtual": VirtualLoop}


@contextmanager
def time_waits_for_writer() -> Iterator[None]:
    """Time stands still while the thread that writes to a SQLite store does."""
    run = Writer.run

    async def counted(self: Writer, call: Any) -> Any:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.busy += 1
        try:
            return await run(self, call)
        finally:
            loop.busy -= 1

    with mock.patch.object(Writer, "run", counted):
        yield
