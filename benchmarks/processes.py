"""Starts what is measured as separate processes, and reads what they used from /proc."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

#: Seconds that a process may take to be ready.
_START = 30.0

#: Where a process may run; None: wherever its parent may.
Cores = frozenset[int] | None

_TICKS = os.sysconf("SC_CLK_TCK")

#: Where Debian has servers' programs, which the PATH of few users names.
_SYSTEM_PATHS = ("/usr/local/sbin", "/usr/sbin")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used so far."""

    cpu_seconds: float
    #: highest resident set, in bytes
    peak_bytes: int
    resident_bytes: int


def usage(pid: int) -> Usage:
    """Of a running process with all that it started and that still runs.

    Memory that they share counts for each of them.
    """
    found = [_own_usage(pid), *map(usage, _children(pid))]
    return Usage(
        cpu_seconds=sum(one.cpu_seconds for one in found),
        peak_bytes=sum(one.peak_bytes for one in found),
        resident_bytes=sum(one.resident_bytes for one in found),
    )


def _own_usage(pid: int) -> Usage:
    """Of one process (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return Usage(
        cpu_seconds=(int(fields[11]) + int(fields[12])) / _TICKS,
        peak_bytes=int(status["VmHWM"].split()[0]) * 1024,
        resident_bytes=int(status["VmRSS"].split()[0]) * 1024,
    )


def cpu_seconds(*pids: int) -> float:
    """What running processes have used so far, with all that they started and that still runs."""
    return sum(usage(pid).cpu_seconds for pid in pids)


def _children(pid: int) -> list[int]:
    threads = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for one in threads for child in (one / "children").read_text().split()]


def find(program: str) -> str | None:
    """Its path, if it is installed."""
    return shutil.which(program, path=os.pathsep.join([*os.get_exec_path(), *_SYSTEM_PATHS]))


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def apart(count: int = 1) -> Iterator[Cores]:
    """Cores for what is measured; this process, and what it starts without cores, has the others.

    None where there are no others: all share all.
    """
    cores = os.sched_getaffinity(0)
    if len(cores) <= count:
        yield None
        return
    chosen = frozenset(sorted(cores)[:count])
    os.sched_setaffinity(0, cores - chosen)
    try:
        yield chosen
    finally:
        os.sched_setaffinity(0, cores)


def on(cores: Cores) -> str:
    """For titles."""
    if cores is None:
        return ""
    return " on one core" if len(cores) == 1 else f" on {len(cores)} cores"


def process(
    *words: str,
    environ: Mapping[str, str] | None = None,
    quiet: bool = True,
    cores: Cores = None,
) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    """A Python process with these arguments; otherwise as `program`."""
    return program(sys.executable, *words, environ=environ, quiet=quiet, cores=cores)


@asynccontextmanager
async def program(
    *words: str,
    environ: Mapping[str, str] | None = None,
    quiet: bool = True,
    cores: Cores = None,
    grace: float = 20.0,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process of a program with its arguments, ended by SIGTERM and then by force.

    cores: the only ones that it runs on; None: those of this process. grace: seconds between both.
    """
    child = await asyncio.create_subprocess_exec(
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL if quiet else None,
        env={**os.environ, **(environ or {})},
    )
    if cores is not None:
        os.sched_setaffinity(child.pid, cores)
    try:
        yield child
    finally:
        if child.returncode is None:
            child.send_signal(signal.SIGTERM)
            try:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(child.wait(), grace)
            finally:  # also when nobody wants to wait any longer
                if child.returncode is None:
                    child.kill()
                    await child.wait()


@asynccontextmanager
async def started(*words: str, cores: Cores = None, patience: float = _START) -> AsyncIterator[str]:
    """A process that prints a line, when it is ready or done: that line."""
    async with process(*words, quiet=False, cores=cores) as child:
        assert child.stdout is not None
        line = await asyncio.wait_for(child.stdout.readline(), patience)
        if not line:
            raise RuntimeError(f"{' '.join(words)} did not start")
        yield line.decode().strip()


async def until_listening(port: int) -> None:
    """Wait until somebody takes connections to a port of loopback."""
    for _ in range(int(_START / 0.05)):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise RuntimeError(f"nobody listens on port {port}")


def simulator() -> AbstractAsyncContextManager[str]:
    """A cheap provider; its URL."""
    return started("-m", "benchmarks.simulator")


#: A gateway's own file in its folder.
STORE = "gateway.db"


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that runs."""

    pid: int
    api: str
    internal: str

    async def metric(self, session: aiohttp.ClientSession, name: str) -> float:
        """The sum of a metric's samples, such as `gateway_messages_entered_total`."""
        return await self.metric_where(session, name, ())

    async def metric_where(
        self, session: aiohttp.ClientSession, name: str, labels: Sequence[str]
    ) -> float:
        """The same over the samples that have all these labels, such as `state="sent"`."""
        samples = await self._samples(session, name)
        return sum(value for key, value in samples if all(one in key for one in labels))

    async def by_label(
        self, session: aiohttp.ClientSession, name: str, label: str
    ) -> Mapping[str, float]:
        """The same for each value of a label; without those that have no sample yet."""
        found = defaultdict[str, float](float)
        for key, value in await self._samples(session, name):
            found[key.partition(f'{label}="')[2].partition('"')[0]] += value
        return found

    async def _samples(
        self, session: aiohttp.ClientSession, name: str
    ) -> Sequence[tuple[str, float]]:
        """Name with labels, and value."""
        async with session.get(f"{self.internal}/metrics") as answer:
            text = await answer.text()
        pairs = (line.rpartition(" ") for line in text.splitlines())
        return [
            (key, float(value))
            for key, _, value in pairs
            if key == name or key.startswith(name + "{")
        ]


@asynccontextmanager
async def gateway(
    folder: Path, config: str, *, store: str = "", processes: int = 1, cores: Cores = None
) -> AsyncIterator[Running]:
    """A gateway on free ports. config: TOML without [api] and [store].

    store: URL of a database; without one a file in `folder`. cores: as for `process`.
    """
    port, internal = free_port(), free_port()
    file = folder / "gateway.toml"
    file.write_text(
        f'[store]\nurl = "{store or f"sqlite://{folder}/{STORE}"}"\n'
        f'[api]\nlisten = "127.0.0.1:{port}"\ninternal = "127.0.0.1:{internal}"\n{config}'
    )
    words = ["-m", "gateway", "serve", "--config", str(file), "--processes", str(processes)]
    words += ["--log-level", "WARNING"]
    async with process(*words, quiet=False, cores=cores) as child:
        running = Running(child.pid, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{internal}")
        await _until_ready(child, running)
        await _until_shared(port, processes)
        yield running


async def _until_ready(child: asyncio.subprocess.Process, running: Running) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(int(_START / 0.1)):
            if child.returncode is not None:
                raise RuntimeError("the gateway ended at its start: try its configuration by hand")
            try:
                async with session.get(f"{running.internal}/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)
    raise RuntimeError("the gateway did not get ready")


async def _until_shared(port: int, processes: int) -> None:
    """Wait until so many listen on a port of loopback together (proc(5), tcp): the others of a
    gateway are ready a little later than its first."""
    listening = f"0100007F:{port:04X} 00000000:0000 0A"
    for _ in range(int(_START / 0.1)):
        if _sockets().count(listening) >= processes:
            return
        await asyncio.sleep(0.1)
    raise RuntimeError(f"fewer than {processes} processes listen")


def connections_to(port: int) -> int:
    """How many connections lead to a port of loopback (proc(5), tcp)."""
    return _sockets().count(f" 0100007F:{port:04X} 01 ")


def _sockets() -> str:
    return Path("/proc/net/tcp").read_text()
