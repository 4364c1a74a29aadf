"""Which engine serves a URL. Its driver is imported when it is asked for: nobody needs both."""

import os
from collections.abc import Callable
from pathlib import Path

from gateway.clock import Clock
from gateway.model.errors import SettingsError
from gateway.model.message import new_id
from gateway.settings import Settings
from gateway.store import base


def open_store(
    settings: Settings,
    clock: Clock,
    *,
    exclusive: bool = True,
    migrate: bool = True,
    on_commit: Callable[[float, int], None] = lambda seconds, works: None,
) -> base.Store:
    """The configured store, not yet entered. Raises SettingsError for a URL that nothing serves.

    exclusive: keep every other process out of an embedded store.
    """
    url, owner = settings.store.url, new_id(clock.now_ms(), os.urandom(10))
    scheme, _, rest = url.partition(":")
    match scheme:
        case "sqlite":
            from gateway.store.sqlite.store import SqliteStore

            path = Path(rest.removeprefix("//"))
            return SqliteStore(
                path, owner=owner, exclusive=exclusive, migrate=migrate, on_commit=on_commit
            )
        case "postgresql" | "postgres":
            from gateway.store.postgres.store import PostgresStore

            return PostgresStore(url, owner=owner, migrate=migrate, on_commit=on_commit)
        case _:
            raise SettingsError(
                [f"store.url: {scheme} is no store; use sqlite:/// or postgresql://"]
            )
