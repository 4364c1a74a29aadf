"""The demo's gateway: a process of its own, started and stopped as any other."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from gateway.cli.client import Client
from gateway.cli.ports import HOST, Ports
from gateway.model.errors import GatewayError, SettingsError, TransportError

#: Seconds until it must be ready, and until it must have ended.
_START, _STOP = 60.0, 20.0


@asynccontextmanager
async def started(config: Path, bound: Ports) -> AsyncIterator[None]:
    """Serve the configuration while the context lasts. Its log is `gateway.log` beside it.

    bound: what it listens on, and this process no more. Raises SettingsError when it does not come
    up.
    """
    log = config.with_name("gateway.log")
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "serve", "--until-eof", "--config", str(config)),
            *("--sockets", ",".join(map(str, bound.descriptors))),
            pass_fds=bound.descriptors,
            stdin=asyncio.subprocess.PIPE,
            stdout=file,
            stderr=file,
            start_new_session=True,  # Ctrl-C ends the demo, which then ends the gateway
        )
    internal = f"http://{HOST}:{bound.numbers[1]}"
    bound.close()
    try:
        await _ready(process, internal, log)
        yield
    except TransportError:
        if process.returncode is None:
            raise
        raise GatewayError("\n".join(["the gateway ended early:", *_end_of(log)])) from None
    finally:
        await _stop(process)


async def _ready(process: asyncio.subprocess.Process, internal: str, log: Path) -> None:
    try:
        async with asyncio.timeout(_START), Client(internal) as client:
            while not await client.is_ready():
                if process.returncode is not None:
                    break
                await asyncio.sleep(0.05)
            else:
                return
    except TimeoutError:
        pass
    raise SettingsError(["the gateway did not start", *_end_of(log)])


def _end_of(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8", errors="replace").splitlines()[-10:]


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_STOP):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
