"""What holds for every test."""

import asyncio
import logging
import os
from collections.abc import Iterator

import hypothesis
import pytest

from tests.nursery import Nursery

#: No deadlines: how long an example takes says how busy the machine is.
hypothesis.settings.register_profile("gateway", deadline=None)

#: Programs that tests start keep what they compile: else each compiles the whole gateway anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_configure(config: pytest.Config) -> None:
    hypothesis.settings.load_profile("gateway")
    # else a plugin that asks for the loop in a synchronous test makes one that nobody closes
    asyncio.set_event_loop(None)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are processors: many tests wait for programs that they start."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where gateways are born that need not be started as users start them."""
    with Nursery() as made:
        yield made


@pytest.fixture(autouse=True)
def _logs_stay_as_they_are() -> Iterator[None]:
    """A command that runs in the test's process sets up logging: else all later tests write it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
