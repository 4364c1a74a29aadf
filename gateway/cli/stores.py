"""Short work on a store that a running gateway may have open at the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from gateway import settings
from gateway.cli import configuration
from gateway.clock import SystemClock
from gateway.store import base
from gateway.store.registry import open_store

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
    async with open_store(found, SystemClock(), exclusive=own, migrate=own) as store:
        return await work(found, store)
