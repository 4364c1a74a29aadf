"""Runs a gateway in this process until it is told to stop."""

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress

from gateway.app import Gateway, stop_on_signals
from gateway.cli import loop
from gateway.cli.ports import Ports
from gateway.model.roles import Role
from gateway.settings import Settings


async def serve(
    settings: Settings,
    started: Callable[[Gateway], None],
    *,
    until_eof: bool = False,
    role: Role = Role.ALL,
    shares_ports: bool = False,
    bound: Ports | None = None,
) -> None:
    """Until SIGTERM or SIGINT, then drain. started: called once it listens.

    shares_ports: other processes of this machine listen on the same ones. bound: to listen on,
    whatever the settings say.
    until_eof: stop when standard input ends as well: whoever holds its other end is gone.
    """
    stop = asyncio.Event()
    stop_on_signals(stop)
    sockets = bound.sockets if bound is not None else (None, None)
    async with Gateway(settings, role=role, shares_ports=shares_ports, sockets=sockets) as gateway:
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
    await loop.wait_for_eof()
    stop.set()
