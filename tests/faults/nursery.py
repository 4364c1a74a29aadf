"""Starts gateways quickly: a process that has imported everything forks one after another.

What it forks is what `python -m gateway` would run, less the seconds of importing. It runs no loop
and no thread, so a fork of it is as good as new. Long runs do without it.

Over pipes, one JSON value a line. In: {"words": [argument, …], "log": path}. Out: ["born", pid],
["died", pid, code] with the code as `subprocess` gives it.
"""

import asyncio
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_NEEDED = (
    "gateway.__main__",
    "gateway.cli.serve",
    "gateway.providers.http",
    "gateway.providers.smtp",
    "gateway.store.postgres.store",
    "gateway.store.sqlite.store",
)


class Nursery:
    """The parent's side. Enter it before use."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._births: asyncio.Queue[int] = asyncio.Queue()
        self._ends: dict[int, asyncio.Future[int]] = {}

    async def open(self, environ: Mapping[str, str]) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.faults.nursery"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=dict(environ),
            cwd=Path(__file__).parents[2],
        )
        self._reading = asyncio.create_task(self._read())

    async def close(self) -> None:
        """What was born there dies."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            await self._process.wait()
            await self._reading

    async def bear(self, words: Sequence[str], log: Path) -> tuple[int, "asyncio.Future[int]"]:
        """Start a gateway: its process id, and its exit code to come."""
        assert self._process is not None
        assert self._process.stdin is not None
        order = json.dumps({"words": list(words), "log": str(log)})
        self._process.stdin.write(f"{order}\n".encode())
        pid = await self._births.get()
        return pid, self._ends[pid]

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            kind, pid, *rest = json.loads(line)
            if kind == "born":
                self._ends[pid] = asyncio.get_running_loop().create_future()
                self._births.put_nowait(pid)
            else:
                self._ends.pop(pid).set_result(rest[0])


def _main() -> None:
    """The child's side: fork when told, tell when one has died, and outlive nobody."""
    for name in _NEEDED:
        importlib.import_module(name)
    gc.freeze()
    alive: set[int] = set()
    woken, waker = socket.socketpair()
    with woken, waker, selectors.DefaultSelector() as waiting:
        waker.setblocking(False)
        signal.set_wakeup_fd(waker.fileno())
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        waiting.register(0, selectors.EVENT_READ)
        waiting.register(woken, selectors.EVENT_READ)
        _serve(waiting, woken, alive)
    for pid in alive:
        os.kill(pid, signal.SIGKILL)


def _serve(waiting: selectors.BaseSelector, woken: socket.socket, alive: set[int]) -> None:
    """Until there is nobody to give orders."""
    rest = b""
    while True:
        for key, _ in waiting.select():
            if key.fileobj is woken:
                woken.recv(4096)
                _bury(alive)
                continue
            data = os.read(0, 65536)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                alive.add(_bear(**json.loads(line)))


def _bear(words: Sequence[str], log: str) -> int:
    pid = os.fork()
    if pid == 0:
        _live(words, log)
    _tell("born", pid)
    return pid


def _bury(alive: set[int]) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        alive.discard(pid)
        _tell("died", pid, os.waitstatus_to_exitcode(status))


def _tell(*words: object) -> None:
    os.write(1, json.dumps(words).encode() + b"\n")


def _live(words: Sequence[str], log: str) -> None:
    """Become a gateway; never returns."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        opened = os.open(os.devnull if number == 0 else log, flags | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, number)
        os.close(opened)
    os.closerange(3, 64)
    code: object = 1
    try:
        sys.argv = ["gateway", *words]
        importlib.import_module("gateway.__main__").main()
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1 if code else 0)


if __name__ == "__main__":
    _main()
