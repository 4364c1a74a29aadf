"""Runs a gateway in this process until it is told to stop."""

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import uvloop

from gateway.app import Gateway, Role, stop_on_signals
from gateway.settings import Settings

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to its end on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


async def serve(
    settings: Settings,
    started: Callable[[Gateway], None],
    *,
    until_eof: bool = False,
    role: Role = Role.ALL,
    shares_ports: bool = False,
) -> None:
    """Until SIGTERM or SIGINT, then drain. started: called once it listens.

    shares_ports: other processes of this machine listen on the same ones.
    until_eof: stop when standard input ends as well: whoever holds its other end is gone.
    """
    stop = asyncio.Event()
    stop_on_signals(stop)
    async with Gateway(settings, role=role, shares_ports=shares_ports) as gateway:
        started(gateway)
        tell_systemd("READY=1")
        watch = asyncio.create_task(_stop_at_eof(stop)) if until_eof else None
        try:
            await gateway.run(stop)
        finally:
            if watch is not None:
                watch.cancel()


def tell_systemd(news: str) -> None:
    """sd_notify(3), where systemd waits to hear of it; elsewhere nothing."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address.startswith("@"):
        address = "\0" + address[1:]  # the abstract namespace, unix(7)
    if address:
        # Who inherited the variable and has no such socket need not stop for it.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(news.encode(), address)


async def _stop_at_eof(stop: asyncio.Event) -> None:
    await wait_for_eof()
    stop.set()


async def wait_for_eof() -> None:
    """Until standard input, a pipe, is closed at its other end."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    try:
        while await reader.read(1024):
            pass
    finally:
        transport.close()
