"""Gateways as processes of their own: started, killed, stopped and let go on."""

import asyncio
import json
import os
import random
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp

from tests.nursery import ENVIRON, Nursery

#: Seconds that a start or an end may take on a busy machine.
PATIENCE = 60.0


def free_port() -> int:
    """A port of loopback that nobody uses, outside of those that the system gives to clients."""
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("a hundred ports are taken")


def to_toml(tables: Mapping[str, Any]) -> str:
    """A configuration file: one inline table for each section (TOML 1.0)."""
    return "".join(f"{json.dumps(name)} = {_value(table)}\n" for name, table in tables.items())


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        inside = (f"{json.dumps(name)} = {_value(one)}" for name, one in value.items())
        return "{ " + ", ".join(inside) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value)


_PROGRAM = (sys.executable, "-m", "gateway")


async def _spawn(words: Sequence[str], log: Path) -> tuple[int, "asyncio.Future[int]"]:
    """A process that ends when we do: its process id, and its exit code to come."""
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.PIPE, stdout=out, stderr=out, env=os.environ | ENVIRON
        )
    return process.pid, asyncio.ensure_future(process.wait())


class Node:
    """One gateway, on the same ports each time it is started."""

    #: where it listens
    host = "127.0.0.1"

    def __init__(
        self,
        name: str,
        folder: Path,
        session: aiohttp.ClientSession,
        nursery: Nursery | None = None,
    ) -> None:
        """nursery: where it is born; None: each start imports everything."""
        self.name = name
        self.port, self.internal_port = free_port(), free_port()
        self.url = f"http://{self.host}:{self.port}"
        self.internal = f"http://{self.host}:{self.internal_port}"
        #: exit codes so far
        self.codes: list[int] = []
        #: open files and threads when it had just become ready
        self.files = 0
        self._folder = folder
        self._session = session
        self._nursery = nursery
        self._starts = 0
        self._end: asyncio.Future[int] | None = None
        self.pid = 0

    @property
    def is_running(self) -> bool:
        return self._end is not None and not self._end.done()

    async def launch(self, tables: Mapping[str, Any], *, under: Sequence[str] = ()) -> None:
        """Start it and return at once. under: words of a program to run it under, which leaves
        the gateway our child."""
        file = self._folder / f"{self.name}.toml"
        file.write_text(to_toml(self.with_ports(tables)))
        log = self.next_log()
        words = ["serve", "--config", str(file), "--log-level", "debug"]
        if self._nursery is not None and not under:
            child = self._nursery.bear(words, out=log)
            self.pid, self._end = child.pid, asyncio.wrap_future(child.end)
        else:
            self.pid, self._end = await _spawn([*under, *_PROGRAM, *words, "--until-eof"], log)

    def with_ports(self, tables: Mapping[str, Any]) -> dict[str, Any]:
        listen = {
            "listen": f"{self.host}:{self.port}",
            "internal": f"{self.host}:{self.internal_port}",
        }
        return {**tables, "api": {**tables.get("api", {}), **listen}}

    def next_log(self) -> Path:
        """Where what it says is to be kept."""
        self._starts += 1
        return self._folder / f"{self.name}.{self._starts}.log"

    async def ready(self) -> None:
        """Wait until it serves. AssertionError when it ends instead."""
        async with asyncio.timeout(PATIENCE):
            while await self.readiness() != 200:
                assert self.is_running, f"{self.name} ended at its start: {self.last_log[-2000:]}"
                await asyncio.sleep(0.05)
        self.files = self.open_files()

    async def readiness(self) -> int:
        """The status of /readyz; 0 when nobody answers."""
        try:
            async with asyncio.timeout(5.0), self._session.get(f"{self.internal}/readyz") as answer:
                return answer.status
        except (aiohttp.ClientError, OSError):
            return 0

    def signal(self, number: signal.Signals) -> None:
        if self.is_running:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def kill(self) -> None:
        """As a crash does it."""
        self.signal(signal.SIGKILL)
        await self.ended()

    async def stop(self) -> None:
        """Let it drain and end."""
        self.signal(signal.SIGTERM)
        await self.ended()

    async def ended(self) -> int:
        """Its exit code, once it has one. Asking again is harmless."""
        assert self._end is not None
        async with asyncio.timeout(PATIENCE):
            code = await asyncio.shield(self._end)
        if self.pid:
            self.pid = 0
            self.codes.append(code)
        return code

    async def close(self) -> None:
        if self.is_running:
            await self.kill()

    @property
    def logs(self) -> list[Path]:
        return sorted(self._folder.glob(f"{self.name}.*.log"))

    @property
    def last_log(self) -> str:
        return self.logs[-1].read_text(errors="replace") if self.logs else ""

    async def metrics(self) -> str:
        async with self._session.get(f"{self.internal}/metrics") as answer:
            return await answer.text()

    def open_files(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def is_stopped(self) -> bool:
        """Whether SIGSTOP holds it (proc(5))."""
        stat = Path(f"/proc/{self.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    def peak_bytes(self) -> int:
        """Highest resident set so far (proc(5))."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmHWM")
