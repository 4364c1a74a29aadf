"""Ports on loopback for what starts without configuration."""

import socket

HOST = "127.0.0.1"

#: The defaults of `[api]`: public and internal.
PREFERRED = (8080, 9090)


def choose() -> tuple[int, int]:
    """(public, internal): the defaults where they are free, else any.

    Known weakness: they are free when this returns, and somebody else may be quicker.
    """
    with _bound(PREFERRED[0]) as public, _bound(PREFERRED[1]) as internal:
        return public.getsockname()[1], internal.getsockname()[1]


def _bound(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except OSError:
        return socket.create_server((HOST, 0))
