"""Short work on a store that a running gateway may have open at the same time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from gateway import app, settings
from gateway.cli import configuration
from gateway.clock import SystemClock
from gateway.dispatch import webhooks
from gateway.dispatch.endpoints import EndpointBook
from gateway.dispatch.finisher import Finisher
from gateway.dispatch.lanes import Bells
from gateway.metrics import Metrics
from gateway.store import base

T = TypeVar("T")


def run(
    config: Path,
    work: Callable[[settings.Settings, base.Store], Awaitable[T]],
    *,
    own: bool = False,
) -> T:
    """Do the work on the configured store.

    own: keep everybody else out and bring the schema up to date. Raises SettingsError,
    StoreMismatch, StoreUnavailable.
    """
    found = configuration.read(config).settings
    return asyncio.run(_run(found, work, own=own))


async def _run(
    found: settings.Settings,
    work: Callable[[settings.Settings, base.Store], Awaitable[T]],
    *,
    own: bool,
) -> T:
    async with app.open_store(found, SystemClock(), exclusive=own, migrate=own) as store:
        return await work(found, store)


@asynccontextmanager
async def finisher(found: settings.Settings, store: base.Store) -> AsyncIterator[Finisher]:
    """What changes messages outside of a gateway, reports to tenants included."""
    clock, metrics = SystemClock(), Metrics()
    book = EndpointBook(store, clock, metrics, disable_after=found.webhooks.disable_after)
    await book.refresh()
    yield Finisher(
        store,
        clock,
        metrics,
        Bells(),
        webhooks=webhooks.Reporter(book.of),
        weights={name: tenant.weight for name, tenant in found.tenants.items()},
    )
