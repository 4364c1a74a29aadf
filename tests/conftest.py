"""What holds for every test."""

import asyncio

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Else a plugin that asks for the loop in a synchronous test makes one that nobody closes."""
    asyncio.set_event_loop(None)
