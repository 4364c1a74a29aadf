"""What holds for every test."""

import asyncio

import hypothesis
import pytest

#: No deadlines: how long an example takes says how busy the machine is.
hypothesis.settings.register_profile("gateway", deadline=None)


def pytest_configure(config: pytest.Config) -> None:
    hypothesis.settings.load_profile("gateway")
    # else a plugin that asks for the loop in a synchronous test makes one that nobody closes
    asyncio.set_event_loop(None)
