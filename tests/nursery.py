"""Starts gateways quickly: a process that has imported everything forks one after another.

What it forks is what `python -m gateway` would run, less the seconds of importing. It runs no loop
and no thread, so a fork of it is as good as new. What is to be tried as it is started by users, or
at length, does without it.

Over pipes, one JSON value a line. In: {"words": [argument, …], "environ": {name: value, …}, "out":
path, "err": path}. Out: ["born", pid], ["died", pid, code] with the code as `subprocess` gives it.
"""

import gc
import importlib
import json
import os
import queue
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

#: Variables with which warnings are seen, and no TLS context reads the machine's certificates,
#: which takes longer than all else that a gateway does at its start.
ENVIRON = {"PYTHONWARNINGS": "default", "SSL_CERT_FILE": os.devnull}

#: Seconds that a birth may take on a busy machine.
_PATIENCE = 120.0

_NEEDED = (
    "gateway.__main__",
    "gateway.cli.check",
    "gateway.cli.dead",
    "gateway.cli.key",
    "gateway.cli.recipients",
    "gateway.cli.send",
    "gateway.cli.serve",
    "gateway.providers.http",
    "gateway.providers.smtp",
    "gateway.store.postgres.store",
    "gateway.store.sqlite.store",
)


@dataclass(frozen=True, slots=True)
class Child:
    """One that was born. end: its exit code to come."""

    pid: int
    end: "Future[int]" = field(default_factory=Future)


class Nursery:
    """The parent's side. Enter it for use; what was born there dies at the end."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **ENVIRON},
            cwd=Path(__file__).parents[1],
        )
        self._births: queue.SimpleQueue[Child | None] = queue.SimpleQueue()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def __enter__(self) -> "Nursery":
        return self

    def __exit__(self, *exc: object) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._reading.join()

    def bear(
        self,
        words: Sequence[str],
        *,
        out: Path,
        err: Path | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> Child:
        """Start `gateway` with these arguments; what it writes is added to the files.

        err: None: the same as out.
        """
        order = {
            "words": list(words),
            "environ": {**environ, **ENVIRON},
            "out": str(out),
            "err": str(err or out),
        }
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps(order)}\n".encode())
        self._process.stdin.flush()
        child = self._births.get(timeout=_PATIENCE)
        assert child is not None, "the process that starts gateways has died"
        return child

    def _read(self) -> None:
        assert self._process.stdout is not None
        alive: dict[int, Child] = {}
        for line in self._process.stdout:
            kind, pid, *rest = json.loads(line)
            if kind == "born":
                alive[pid] = Child(pid)
                self._births.put(alive[pid])
            else:
                alive.pop(pid).end.set_result(rest[0])
        for child in alive.values():
            child.end.set_result(-signal.SIGKILL)
        self._births.put(None)


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


def _bear(words: Sequence[str], environ: Mapping[str, str], out: str, err: str) -> int:
    pid = os.fork()
    if pid == 0:
        os.environ.clear()
        os.environ.update(environ)
        _live(words, out, err)
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


def _live(words: Sequence[str], out: str, err: str) -> None:
    """Become a gateway; never returns."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _set_streams(out, err)
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


def _set_streams(out: str, err: str) -> None:
    """Its input is a pipe at its end."""
    nothing, nobody = os.pipe()
    os.close(nobody)
    os.dup2(nothing, 0)
    for number, path in ((1, out), (2, err)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, mode=0o600)
        os.dup2(opened, number)


if __name__ == "__main__":
    _main()
