"""What a database's error means to us: the one place that knows the driver's exceptions."""

import asyncpg
from asyncpg import exceptions as pg

from gateway.model.errors import StoreError, StoreMismatch, StoreUnavailable

#: The server is away, going or full, or took too long: nothing was stored.
_AWAY = (
    OSError,
    TimeoutError,
    pg.PostgresConnectionError,
    pg.OperatorInterventionError,
    pg.InsufficientResourcesError,
    pg.PostgresSystemError,
    pg.LockNotAvailableError,
    pg.IdleInTransactionSessionTimeoutError,
    pg.ReadOnlySQLTransactionError,
    pg.InternalServerError,
)

#: Two transactions were in each other's way, and the server undid one: it can be done again.
CLASHES = (pg.DeadlockDetectedError, pg.SerializationError)

#: The server is there and does not let us in.
_REFUSED_ENTRY = (
    pg.InvalidAuthorizationSpecificationError,
    pg.InvalidCatalogNameError,
    pg.InsufficientPrivilegeError,
)

#: What is configured does not fit the server.
_REFUSALS = (
    *_REFUSED_ENTRY,
    pg.InvalidSchemaNameError,
    pg.FeatureNotSupportedError,
    pg.ClientConfigurationError,
    pg.CantChangeRuntimeParamError,
    pg.InvalidParameterValueError,
    pg.UndefinedObjectError,
)


def translated(error: Exception) -> StoreUnavailable | None:
    """The database's trouble in our words. None: a fault in the program, which stays what it is.

    A server that has become unwilling since we entered (a password that was changed, a database
    that is being restored) may become willing again.
    """
    if isinstance(error, (*_AWAY, *_REFUSED_ENTRY, *CLASHES)):
        return StoreUnavailable(reason_of(error))
    if isinstance(error, pg.InternalClientError) or (
        isinstance(error, asyncpg.InterfaceError) and "clos" in str(error)
    ):  # the first: used between the server's farewell and the end of the connection
        return StoreUnavailable("the connection was lost")
    return None


def at_entering(error: Exception, target: str) -> StoreError | None:
    """As `translated`, where the first connection is made. target: server and database."""
    if isinstance(error, (*_REFUSALS, ValueError)):
        return StoreMismatch(f"{target}: cannot be used: {reason_of(error)}")
    found = translated(error)
    return found and StoreUnavailable(f"{target}: cannot be reached: {found}")


def reason_of(error: Exception) -> str:
    """One line without secrets."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, asyncpg.PostgresError):
        return error.message or type(error).__name__
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
