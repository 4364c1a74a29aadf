"""Ports on loopback for what starts without configuration: bound first, so that nobody else takes
them while everything else starts.
"""

import socket
from types import TracebackType
from typing import Self

from gateway.model.errors import SettingsError

HOST = "127.0.0.1"

#: The defaults of `[api]`: public and internal.
PREFERRED = (8080, 9090)


class Ports:
    """Two sockets that listen, public and internal. Whoever connects waits until they are served.

    Leaving the context lets go of those that nobody has taken over.
    """

    def __init__(self, public: socket.socket, internal: socket.socket) -> None:
        self.sockets = public, internal

    @property
    def numbers(self) -> tuple[int, int]:
        public, internal = (int(one.getsockname()[1]) for one in self.sockets)
        return public, internal

    @property
    def descriptors(self) -> tuple[int, int]:
        """For a process that inherits them."""
        public, internal = (one.fileno() for one in self.sockets)
        return public, internal

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """This process is done with them; again: harmless."""
        for one in self.sockets:
            one.close()


def bind() -> Ports:
    """The defaults where they are free, else any."""
    return Ports(_bound(PREFERRED[0]), _bound(PREFERRED[1]))


def inherited(descriptors: str) -> Ports:
    """What another process has bound: `7,8`. Raises SettingsError for what are no sockets."""
    try:
        public, internal = (socket.socket(fileno=int(one)) for one in descriptors.split(","))
    except (OSError, ValueError):
        raise SettingsError([f"--sockets: {descriptors} are not two sockets"]) from None
    return Ports(public, internal)


def _bound(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except OSError:
        return socket.create_server((HOST, 0))
