"""What all simulators share: sockets on loopback, knobs, the log, and control over HTTP.

A simulator is an async context manager. It listens on 127.0.0.1 only, as it trusts everybody who
can connect. Each also listens on a control port, which stays open while the knob `refuse` keeps
the main one closed; simulators that speak HTTP answer the same paths on their main port:

    GET    /_sandbox/knobs            every knob
    PATCH  /_sandbox/knobs            turn those in the JSON body, all or none (422)
    GET    /_sandbox/log              counts, and arrivals from `?after=` on, at most `?limit=`
    DELETE /_sandbox/log              forget them
"""

import asyncio
import errno
import math
import socket
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import ClassVar, Self, TypedDict

from aiohttp import web

from gateway.sandbox import control
from gateway.sandbox.judge import Judge
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.log import Log
from gateway.sandbox.magic import Fate
from gateway.sandbox.reports import Reporter

HOST = "127.0.0.1"

#: Connections that may wait to be accepted; the kernel caps it at net.core.somaxconn.
_BACKLOG = 4096

#: uvloop closes a listening socket an iteration or two after it was told to.
_BIND_TRIES = 50
_BIND_WAIT = 0.01

#: Arrivals that a log keeps unless told otherwise: some 100 MB of short messages.
LOG_LIMIT = 100_000


class Options(TypedDict, total=False):
    """What every simulator can be built with."""

    knobs: Knobs
    #: 0: any free one
    port: int
    control_port: int
    #: arrivals that the log keeps
    log_limit: int
    #: the clock by which arrivals are dated and throttled
    now: Callable[[], float]


class Simulator(ABC):
    """One provider's server. Stopping twice, or before starting, is harmless."""

    #: as `run` and the command line name it
    kind: ClassVar[str]
    scheme: ClassVar[str] = "http"

    def __init__(
        self,
        *,
        knobs: Knobs | None = None,
        port: int = 0,
        control_port: int = 0,
        log_limit: int = LOG_LIMIT,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.knobs = Knobs() if knobs is None else knobs
        self.log = Log(log_limit)
        self.judge = Judge(self.knobs, now=now)
        self.reporter = Reporter()
        self.port = port
        self.control_port = control_port
        self._now = now
        self._stack: AsyncExitStack | None = None
        self._server: asyncio.Server | None = None
        self._opening: asyncio.Task[None] | None = None
        self._was_open = False
        #: for servers that speak TLS from the first byte
        self._tls: ssl.SSLContext | None = None

    @property
    def url(self) -> str:
        """Where clients connect, without a path. Known once it is entered."""
        return f"{self.scheme}://{HOST}:{self.port}"

    @property
    def control_url(self) -> str:
        return f"http://{HOST}:{self.control_port}"

    @abstractmethod
    async def _start(self, stack: AsyncExitStack) -> Callable[[], asyncio.BaseProtocol]:
        """What answers connections, called for each. What must be undone is put on the stack."""

    @abstractmethod
    def _drop_connections(self) -> None:
        """Close every connection of the main port at once."""

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._unhang = asyncio.Event()
            await stack.enter_async_context(self.reporter)
            runner = await control.start(stack, [control.routes(self.knobs, self.log)])
            self.control_port = await self._listen_control(stack, runner)
            self._accept = await self._start(stack)
            stack.push_async_callback(self._close)
            await self._open()
            self.knobs.watchers.append(self._on_turn)
            stack.callback(self.knobs.watchers.remove, self._on_turn)
            self._on_turn("refuse")
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._stack is not None:
            self._unhang.set()
            stack, self._stack = self._stack, None
            await stack.aclose()

    async def pause(self) -> None:
        """Wait as long as the knobs hold an answer back."""
        if (seconds := self.judge.latency()) > 0:
            await asyncio.sleep(seconds)

    async def hang(self) -> None:
        """Wait until the knob `hang` is turned off, or the simulator stops."""
        self._unhang.clear()
        await self._unhang.wait()

    def now(self) -> float:
        """The clock of `Arrival.at`."""
        return self._now()

    def _on_turn(self, name: str) -> None:
        if name == "hang" and not self.knobs.hang:
            self._unhang.set()
        elif name == "refuse" and self.knobs.refuse:
            self._refuse()
        elif name == "refuse" and self._server is None and self._opening is None:
            self._opening = asyncio.create_task(self._open())

    def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self._drop_connections()

    async def _open(self) -> None:
        bound = await self._bind()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._accept, sock=bound, backlog=_BACKLOG, ssl=self._tls
        )
        self._opening = None
        if self.knobs.refuse:
            self._refuse()

    async def _bind(self) -> socket.socket:
        """A socket on the port; waits a little for a server of ours that is still closing."""
        for _ in range(_BIND_TRIES):
            try:
                bound = socket.create_server((HOST, self.port), backlog=_BACKLOG)
            except OSError as error:
                if not self._was_open or error.errno != errno.EADDRINUSE:
                    raise
                await asyncio.sleep(_BIND_WAIT)
            else:
                self._was_open = True
                self.port = bound.getsockname()[1]
                return bound
        raise OSError(errno.EADDRINUSE, f"port {self.port} was taken while it was closed")

    async def ready(self) -> None:
        """Wait until a turn of the knob `refuse` has taken effect."""
        if self._opening is not None:
            await self._opening

    async def _close(self) -> None:
        await self.ready()
        self._refuse()

    async def _listen_control(self, stack: AsyncExitStack, runner: web.AppRunner) -> int:
        site = web.TCPSite(runner, HOST, self.control_port)
        await site.start()
        return int(runner.addresses[0][1])


class HttpSimulator(Simulator):
    """A simulator whose provider is reached by HTTP."""

    @abstractmethod
    def _routes(self) -> Sequence[web.RouteDef]:
        """What the provider answers."""

    async def _start(self, stack: AsyncExitStack) -> Callable[[], asyncio.BaseProtocol]:
        runner = await control.start(stack, [self._routes(), control.routes(self.knobs, self.log)])
        assert runner.server is not None  # it has been set up
        self._web = runner.server
        return runner.server

    def _drop_connections(self) -> None:
        for connection in self._web.connections:
            connection.force_close()

    async def conclude(
        self, request: web.Request, fate: Fate, answer: web.Response
    ) -> web.StreamResponse:
        """The answer when it is due, or a broken connection where the fate wants that."""
        await self.pause()
        if fate is Fate.HUNG:
            await self.hang()
        if fate in (Fate.HUNG, Fate.LOST) and request.transport is not None:
            request.transport.abort()
        return answer


def retry_header(knobs: Knobs) -> dict[str, str]:
    """Retry-After in whole seconds (RFC 9110 §10.2.3), when the knobs have throttling say so."""
    wait = knobs.retry_after
    return {} if wait is None else {"Retry-After": str(math.ceil(wait))}
