"""`gateway serve --processes N`: starts them, restarts those that die, passes signals on.

All of them listen on the same two ports (SO_REUSEPORT, socket(7)): the kernel spreads connections.
Their metrics meet in a folder of memory-mapped files, prometheus-client's multiprocess mode, so
that any of them shows those of all: one address to scrape, and counters that go on where a process
that died has left them, at about a microsecond more for each count. (Ports of their own would need
the scraper to know how many there are, and lose a dead process's counts.)

Each child has a pipe from us as its standard input and stops when that ends, so none outlives a
supervisor that is killed. They tell us that they are ready as they would tell systemd.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from prometheus_client import multiprocess

from gateway.cli import exits

_log = logging.getLogger(__name__)

#: Where processes of one machine keep their metrics, as prometheus-client reads it.
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"

#: Seconds until a child that had been ready is restarted; one that never was waits ever longer.
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 10.0

#: How much longer than their own deadline children may take to drain, in seconds.
_PATIENCE = 15.0


class Supervisor:
    """Keeps `count` processes of one command running.

    command: the arguments of each. drain: seconds that each takes at the most to stop by itself.
    on_ready: called once when all of them are.
    """

    def __init__(
        self,
        command: Sequence[str],
        count: int,
        *,
        drain: float,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._command = command
        self._count = count
        self._drain = drain
        self._on_ready = on_ready
        self._stop = asyncio.Event()
        self._ready: set[int] = set()
        self._has_begun = False
        self._children: dict[int, asyncio.subprocess.Process] = {}
        self._code = 0

    async def run(self) -> int:
        """Until SIGTERM or SIGINT, or until none can run; the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-")))
            environ = {**os.environ, METRICS_FOLDER: str(folder / "metrics")}
            (folder / "metrics").mkdir()
            keepers = []
            for place in range(self._count):
                own = environ | {"NOTIFY_SOCKET": self._listen(place, folder, stack)}
                keepers.append(asyncio.create_task(self._keep(place, own)))
            await self._stop.wait()
            await self._end()
            await asyncio.wait(keepers)
        return self._code

    def _listen(self, place: int, folder: Path, stack: AsyncExitStack) -> str:
        """Hear of a child that is ready; the address to tell."""
        path = folder / f"ready-{place}"
        receiver = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        receiver.bind(str(path))
        receiver.setblocking(False)
        loop = asyncio.get_running_loop()
        loop.add_reader(receiver, self._note_ready, receiver, place)
        stack.callback(loop.remove_reader, receiver)
        return str(path)

    def _note_ready(self, receiver: socket.socket, place: int) -> None:
        receiver.recv(4096)
        self._ready.add(place)
        if len(self._ready) == self._count and not self._has_begun:
            self._has_begun = True
            self._on_ready()

    async def _keep(self, place: int, environ: dict[str, str]) -> None:
        """One child after another, until it is time to stop."""
        wait = _FIRST_WAIT
        while not self._stop.is_set():
            code = await self._run_one(place, environ)
            was_ready = place in self._ready
            self._ready.discard(place)
            if self._stop.is_set():
                return
            if self._is_hopeless(code):
                self._code = code
                self._stop.set()
                return
            wait = _FIRST_WAIT if was_ready else min(wait * 2, _LONGEST_WAIT)
            _log.warning("process_ended place=%d code=%d restart_in=%.1fs", place, code, wait)
            await self._pause(wait)

    def _is_hopeless(self, code: int) -> bool:
        """A configuration that cannot be used, or one that never has been since we started."""
        return code == exits.CONFIG or (not self._has_begun and code == exits.UNAVAILABLE)

    async def _run_one(self, place: int, environ: dict[str, str]) -> int:
        child = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.PIPE, env=environ, start_new_session=True
        )
        self._children[place] = child
        if self._stop.is_set():  # while it was being started
            child.send_signal(signal.SIGTERM)
        code = await child.wait()
        del self._children[place]
        assert child.stdin is not None
        child.stdin.close()
        _forget_gauges(child.pid, environ[METRICS_FOLDER])
        return code

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            pass

    async def _end(self) -> None:
        """Let all drain at once, and kill those that do not come to an end."""
        children = dict(self._children)
        for child in children.values():
            child.send_signal(signal.SIGTERM)
        if not children:
            return
        ends = [asyncio.create_task(child.wait()) for child in children.values()]
        await asyncio.wait(ends, timeout=self._drain + _PATIENCE)
        for place, child in children.items():
            if child.returncode is None:
                _log.error("process_killed place=%d", place)
                child.kill()
        await asyncio.wait(ends)


def _forget_gauges(pid: int, folder: str) -> None:
    """A dead process has no state; what it counted stays counted."""
    multiprocess.mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]


def command(config: Path, *, role: str, log_level: str) -> list[str]:
    """The arguments of a child."""
    words = [sys.executable, "-m", "gateway", "serve", "--config", str(config), "--member"]
    return [*words, "--until-eof", "--role", role, "--log-level", log_level]
