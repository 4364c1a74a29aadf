"""What a database's error means to us: the one place that knows the driver's exceptions."""

import asyncpg
from asyncpg import exceptions as pg

from gateway.model.errors import StoreMismatch, StoreUnavailable

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

#: The server is there and does not want us.
_REFUSALS = (
    pg.InvalidAuthorizationSpecificationError,
    pg.InvalidCatalogNameError,
    pg.InvalidSchemaNameError,
    pg.InsufficientPrivilegeError,
    pg.FeatureNotSupportedError,
    pg.ClientConfigurationError,
    pg.CantChangeRuntimeParamError,
    pg.InvalidParameterValueError,
    pg.UndefinedObjectError,
)


def translated(error: Exception) -> Exception:
    """The database's trouble in our words; faults in the program stay what they are."""
    if isinstance(error, (*_AWAY, *CLASHES)):
        return StoreUnavailable(reason_of(error))
    if isinstance(error, pg.InternalClientError) or (
        isinstance(error, asyncpg.InterfaceError) and "clos" in str(error)
    ):  # the first: used between the server's farewell and the end of the connection
        return StoreUnavailable("the connection was lost")
    return error


def at_entering(error: Exception, target: str) -> Exception:
    """As `translated`, where the first connection is made. target: server and database."""
    if isinstance(error, (*_REFUSALS, ValueError)):
        return StoreMismatch(f"{target}: cannot be used: {reason_of(error)}")
    found = translated(error)
    if isinstance(found, StoreUnavailable):
        return StoreUnavailable(f"{target}: cannot be reached: {found}")
    return found


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
