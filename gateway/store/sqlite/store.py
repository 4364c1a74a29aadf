"""The SQLite store as a whole."""

from collections.abc import Callable
from pathlib import Path

from gateway.store.sqlite.caps import SqliteCaps
from gateway.store.sqlite.directory import SqliteDirectory
from gateway.store.sqlite.engine import Engine
from gateway.store.sqlite.habits import SqliteHabits
from gateway.store.sqlite.ledger import SqliteLedger
from gateway.store.sqlite.permissions import SqlitePermissions
from gateway.store.sqlite.queue import SqliteQueue
from gateway.store.sqlite.recipients import SqliteRecipients


class SqliteStore(
    SqliteQueue,
    SqliteLedger,
    SqliteDirectory,
    SqlitePermissions,
    SqliteRecipients,
    SqliteHabits,
    SqliteCaps,
):
    """Implements store.base.Store in one file.

    owner: names this process in claims; a new one each time, so that the claims of a process
    that died are told apart.
    exclusive: hold the file against other gateways; the command line goes without for short writes.
    migrate: bring an older schema up to date; a new file is always set up.
    on_commit: gets (seconds, pieces of work) after each commit, in the writer's thread.
    """

    def __init__(
        self,
        path: Path,
        *,
        owner: str,
        exclusive: bool = True,
        migrate: bool = True,
        on_commit: Callable[[float, int], None] = lambda seconds, works: None,
    ) -> None:
        engine = Engine(path, migrate=migrate, exclusive=exclusive, on_commit=on_commit)
        SqliteQueue.__init__(self, engine, owner)
        SqliteLedger.__init__(self, engine)
        SqliteDirectory.__init__(self, engine)
        SqlitePermissions.__init__(self, engine)
        SqliteHabits.__init__(self, engine)
        SqliteRecipients.__init__(self, engine)
        SqliteCaps.__init__(self, engine)

    async def __aenter__(self) -> "SqliteStore":
        await self._engine.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._engine.close()

    @property
    def fleet(self) -> None:
        """This process is the only one."""
        return None

    async def check(self) -> None:
        await self._engine.check()
