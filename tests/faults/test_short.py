"""Each fault in its short form. `make faults` runs the long ones."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from tests.faults import run
from tests.faults.bench import Bench
from tests.faults.cases import CASES
from tests.faults.namespaces import CannotPlay
from tests.faults.trial import Case, Form, Result
from tests.nursery import Nursery

#: Another one tries other messages and other moments.
SEED = int(os.environ.get("FAULTS_SEED", "1"))

SHORT = [case for case in CASES.values() if Form.SHORT in case.forms]


class Shared:
    """One bench for all cases that ask for nothing of their own, as long as nothing breaks."""

    def __init__(self, runner: run.Runner) -> None:
        self._runner = runner
        self._stack = AsyncExitStack()
        self._bench: Bench | None = None
        self._shared = ""

    async def run(self, case: run.AnyCase) -> Result:
        shared = case.shared(Form.SHORT) if isinstance(case, Case) else ""
        if not isinstance(case, Case) or not shared:
            return await self._runner.run(case)
        if self._bench is None or shared != self._shared:
            await self.close()
            opened = self._runner.opened(case)
            self._bench = await self._stack.enter_async_context(opened)
            self._shared = shared
        result = await self._runner.play(case, self._bench)
        if result.broken:
            await self.close()
        return result

    async def close(self) -> None:
        self._bench = None
        await self._stack.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(nursery: Nursery) -> AsyncIterator[Shared]:
    made = Shared(run.Runner(SEED, Form.SHORT, nursery))
    yield made
    await made.close()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", SHORT, ids=[case.name for case in SHORT])
async def test_invariants_hold_after(case: run.AnyCase, shared: Shared) -> None:
    try:
        result = await shared.run(case)
    except CannotPlay as error:
        pytest.skip(str(error))

    if result.broken:
        pytest.fail(result.explain(), pytrace=False)
