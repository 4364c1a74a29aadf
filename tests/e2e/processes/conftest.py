"""Gateways as processes of their own, started by the command line, killed and told to stop."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.nursery import Nursery

#: Seconds that a start may take on a busy machine.
_START = 60.0


def to_toml(tables: Mapping[str, Any]) -> str:
    """A configuration file: one inline table for each section (TOML 1.0)."""
    return "".join(f"{_key(name)} = {_value(table)}\n" for name, table in tables.items())


def _key(name: str) -> str:
    return json.dumps(name)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        inside = (f"{_key(name)} = {_value(one)}" for name, one in value.items())
        return "{ " + ", ".join(inside) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value)


class Child:
    """One `gateway serve`."""

    def __init__(self, pid: int, end: asyncio.Future[int], stderr: Path) -> None:
        """end: its exit code to come."""
        self.pid = pid
        self._end = end
        self._stderr = stderr

    @property
    def is_running(self) -> bool:
        return not self._end.done()

    @property
    def stderr(self) -> str:
        return self._stderr.read_text()

    async def kill(self) -> None:
        """As a crash does it."""
        self.signal(signal.SIGKILL)
        await self.ended()

    def signal(self, number: signal.Signals) -> None:
        if self.is_running:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.signal(signal.SIGTERM)

    async def ended(self) -> int:
        """Its exit code."""
        async with asyncio.timeout(_START):
            return await asyncio.shield(self._end)


async def _spawn(words: Sequence[str], stderr: Path) -> tuple[int, asyncio.Future[int]]:
    """A process: its id, and its exit code to come."""
    with stderr.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=log,
            env={**os.environ, "PYTHONWARNINGS": "default"},
        )
    return process.pid, asyncio.ensure_future(process.wait())


class Served:
    """Gateways on the stand's file and ports, one after another."""

    def __init__(
        self, stand: Any, api: Any, folder: Path, free_port: int, nursery: Nursery
    ) -> None:
        self.stand = stand
        self._nursery = nursery
        self.folder = folder
        self.file = folder / "gateway.toml"
        self.children: list[Child] = []
        self.internal = f"http://127.0.0.1:{free_port}"
        stand.tables["api"]["internal"] = f"127.0.0.1:{free_port}"
        self.api = api(stand.session, f"http://127.0.0.1:{stand.port}", self.internal)

    def configure(self, changes: Mapping[str, Any] | None = None) -> None:
        """Write the file. Changes of whole entries, section by section."""
        for section, entries in (changes or {}).items():
            for name, entry in entries.items():
                held = self.stand.tables.setdefault(section, {})
                both = isinstance(entry, Mapping) and isinstance(held.get(name), Mapping)
                held[name] = {**held[name], **entry} if both else entry
        self.file.write_text(to_toml(self.stand.tables))

    async def launch(self, *options: str, before: Sequence[str] = ()) -> Child:
        """Start one and return at once. before: words of a program to run it under."""
        stderr = self.folder / f"stderr.{len(self.children)}"
        words = ["serve", "--config", str(self.file), *options]
        if before:
            pid, end = await _spawn([*before, sys.executable, "-m", "gateway", *words], stderr)
        else:
            born = self._nursery.bear(words, out=self.folder / "stdout", err=stderr)
            pid, end = born.pid, asyncio.wrap_future(born.end)
        child = Child(pid, end, stderr)
        self.children.append(child)
        return child

    async def start(self, *options: str) -> Child:
        """Start one and wait until it is ready."""
        child = await self.launch(*options)
        async with asyncio.timeout(_START):
            while await self.readiness() != 200:
                assert child.is_running, child.stderr
                await asyncio.sleep(0.05)
        return child

    async def readiness(self) -> int:
        """The status of /readyz; 0 when nobody answers."""
        try:
            async with self.stand.session.get(f"{self.internal}/readyz") as answer:
                return int(answer.status)
        except (aiohttp.ClientError, ConnectionError):
            return 0

    async def end(self) -> None:
        for child in self.children:
            await child.kill()


@pytest.fixture
async def served(
    stand: Any, api: Any, tmp_path: Path, free_port: int, nursery: Nursery
) -> AsyncIterator[Served]:
    made = Served(stand, api, tmp_path, free_port, nursery)
    yield made
    await made.end()
