"""The PostgreSQL store as a whole."""

from collections.abc import Callable
from contextlib import suppress

from gateway.model.errors import StoreUnavailable
from gateway.store.postgres.caps import PostgresCaps
from gateway.store.postgres.directory import PostgresDirectory
from gateway.store.postgres.engine import Engine
from gateway.store.postgres.fleet import PostgresFleet
from gateway.store.postgres.habits import PostgresHabits
from gateway.store.postgres.ledger import PostgresLedger
from gateway.store.postgres.permissions import PostgresPermissions
from gateway.store.postgres.queue import PostgresQueue
from gateway.store.postgres.recipients import PostgresRecipients
from gateway.store.postgres.session import Session


class PostgresStore(
    PostgresQueue,
    PostgresLedger,
    PostgresDirectory,
    PostgresPermissions,
    PostgresRecipients,
    PostgresHabits,
    PostgresCaps,
):
    """Implements store.base.Store in one database, beside other nodes.

    url: as the driver takes it; other parameters than libpq's are settings of the session.
    owner: names this node in claims; a new one each time, so that the claims of a process
    that died are told apart.
    migrate: bring an older schema up to date; an empty database is always set up.
    on_commit: gets (seconds, 1) after each transaction.
    """

    def __init__(
        self,
        url: str,
        *,
        owner: str,
        migrate: bool = True,
        on_commit: Callable[[float, int], None] = lambda seconds, works: None,
    ) -> None:
        engine = Engine(url, migrate=migrate, on_commit=on_commit)
        PostgresQueue.__init__(self, engine, owner)
        PostgresLedger.__init__(self, engine)
        PostgresDirectory.__init__(self, engine)
        PostgresPermissions.__init__(self, engine)
        PostgresHabits.__init__(self, engine)
        PostgresRecipients.__init__(self, engine)
        PostgresCaps.__init__(self, engine)
        self._fleet = PostgresFleet(engine, owner, self._claims)

    async def __aenter__(self) -> "PostgresStore":
        await self._engine.open()
        try:
            await self._fleet.beat()
        except BaseException:
            await self._engine.close()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        with suppress(StoreUnavailable):  # then others find that we are gone when we do not beat
            await self._fleet.leave()
        await self._engine.close()

    @property
    def fleet(self) -> PostgresFleet:
        """What is shared with other nodes."""
        return self._fleet

    async def check(self) -> None:
        async def work(session: Session) -> None:
            await session.value("writable")

        await self._engine.run(work)
