"""A gateway in this process, where its clock can be set."""

import asyncio
import logging
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from gateway import settings
from gateway.app import Gateway
from tests.faults.nodes import Node


class SetClock:
    """The machine's clock, with a wall clock that somebody may set."""

    #: seconds by which the wall clock is wrong
    ahead = 0.0

    def now_ms(self) -> int:
        return int((time.time() + self.ahead) * 1000)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class InsideNode(Node):
    """It cannot be killed, only stopped."""

    clock = SetClock()

    @property
    def is_running(self) -> bool:
        return self._end is not None and not self._end.done()

    async def launch(self, tables: Mapping[str, Any], *, under: Sequence[str] = ()) -> None:
        assert not under, "nothing can be wrapped around it"
        self.clock = SetClock()
        self._stopping = asyncio.Event()
        configured = settings.parse(self.with_ports(tables), environ={})
        self._gateway = await Gateway(configured, self.clock).__aenter__()
        self._handler = logging.FileHandler(self.next_log())
        logging.getLogger("gateway").addHandler(self._handler)
        logging.getLogger("gateway").setLevel(logging.DEBUG)
        self._end = asyncio.create_task(self._run())
        self.pid = os.getpid()

    async def _run(self) -> int:
        try:
            await self._gateway.run(self._stopping)
        finally:
            await self._gateway.__aexit__(None, None, None)
            logging.getLogger("gateway").removeHandler(self._handler)
            self._handler.close()
        return 0

    def open_files(self) -> int:
        """Which of this process's are the gateway's, nobody can tell."""
        return 0

    async def stop(self) -> None:
        self._stopping.set()
        await self.ended()

    async def close(self) -> None:
        if self.is_running:
            await self.stop()
