"""The simulators as a process of their own, so that their work is not counted as the gateway's."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import orjson

from gateway.model.errors import SettingsError

#: Seconds until the simulators must be up: a fresh Python on a slow machine, and an RSA key.
_START = 60.0
#: Seconds for them to end by themselves.
_STOP = 5.0


@asynccontextmanager
async def started(folder: Path, ports: tuple[int, int]) -> AsyncIterator[Mapping[str, str]]:
    """Run them while the context lasts; control URLs by account, and `receiver`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.cli.stand", str(folder), *map(str, ports)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the gateway, which still needs them to drain
    )
    try:
        yield await _ready(process)
    finally:
        await _stop(process)


async def _ready(process: asyncio.subprocess.Process) -> Mapping[str, str]:
    assert process.stdout is not None  # asked for above
    try:
        async with asyncio.timeout(_START):
            line = await process.stdout.readline()
        urls: Mapping[str, str] = orjson.loads(line)
    except (TimeoutError, orjson.JSONDecodeError):
        raise SettingsError(["the simulators did not start"]) from None
    return urls


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(_STOP):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
