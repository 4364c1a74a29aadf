"""`gateway migrate`: bring the store's schema up to date."""

from gateway import settings
from gateway.cli import exits, options, output, stores
from gateway.store import base


def migrate(config: options.Config) -> None:
    """Set up the store, or bring its schema up to date. No gateway may be using it.

    Doing it again is harmless. `gateway serve` does the same when it starts
    on SQLite.

    \b
    gateway migrate --config gateway.toml
    """

    async def work(found: settings.Settings, store: base.Store) -> None:
        await store.check()

    with exits.explained():
        stores.run(config, work, own=True)
    output.say("The store is up to date.")
