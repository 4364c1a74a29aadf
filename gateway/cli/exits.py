"""How commands end: exit codes, and errors as lines instead of tracebacks.

Codes are those of sysexits.h, so that systemd and scripts can tell what is worth trying again.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from gateway.cli import output
from gateway.model.errors import (
    GatewayError,
    SettingsError,
    StoreMismatch,
    StoreUnavailable,
    TransportError,
)

#: The command did its work and the answer is no: not delivered, no such key.
FAILED = 1
#: EX_TEMPFAIL: the store or a port is not available now.
UNAVAILABLE = 75
#: EX_CONFIG: the same again will not help.
CONFIG = 78


@contextmanager
def explained() -> Iterator[None]:
    """Turn what the user or the machine is to blame for into lines on stderr and an exit code.

    Everything else is a bug and keeps its traceback.
    """
    try:
        yield
    except (GatewayError, OSError) as error:
        for line in _lines(error):
            output.complain(line)
        raise typer.Exit(_code(error)) from None


def _lines(error: GatewayError | OSError) -> list[str]:
    if isinstance(error, SettingsError):
        return list(error.faults)
    if isinstance(error, TransportError):
        return [f"the gateway cannot be reached: {error.reason}"]
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return [f"{where}{error.strerror or error}{_hint(error)}"]
    return [str(error)]


def _hint(error: OSError) -> str:
    if isinstance(error, PermissionError) and error.filename:
        return "; name a place that this user may write to, or run as one who may"
    if error.errno == errno.EADDRINUSE:
        return "; stop what listens there, or set other ports in [api]"
    return ""


def _code(error: GatewayError | OSError) -> int:
    if isinstance(error, SettingsError | StoreMismatch):
        return CONFIG
    if isinstance(error, OSError):
        # errno of a failed bind: somebody else has the port, now. The rest is paths and rights.
        return UNAVAILABLE if error.errno == errno.EADDRINUSE else CONFIG
    if isinstance(error, StoreUnavailable | TransportError):
        return UNAVAILABLE
    return FAILED
