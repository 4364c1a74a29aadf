"""Each fault in its short form. `make faults` runs the long ones."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from tests.faults import run
from tests.faults.bench import Bench
from tests.faults.cases import CASES
from tests.faults.trial import Case, Form, Result, Trial

#: Another one tries other messages and other moments.
SEED = int(os.environ.get("FAULTS_SEED", "1"))

SHORT = [case for case in CASES.values() if Form.SHORT in case.forms]


class Shared:
    """One bench for all cases that ask for nothing of their own, as long as nothing breaks."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._bench: Bench | None = None
        self._shared = ""

    async def run(self, case: run.AnyCase) -> Result:
        if not isinstance(case, Case) or not case.shared:
            return await run.run(case, seed=SEED, form=Form.SHORT)
        if self._bench is None or case.shared != self._shared:
            await self.close()
            opened = run.opened(case, seed=SEED, form=Form.SHORT)
            self._bench = await self._stack.enter_async_context(opened)
            self._shared = case.shared
        result = await Trial(case, self._bench, seed=SEED, form=Form.SHORT).run()
        if result.broken:
            await self.close()
        return result

    async def close(self) -> None:
        self._bench = None
        await self._stack.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Shared]:
    made = Shared()
    yield made
    await made.close()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", SHORT, ids=[case.name for case in SHORT])
async def test_invariants_hold_after(case: run.AnyCase, shared: Shared) -> None:
    result = await shared.run(case)

    if result.broken:
        pytest.fail(result.explain(), pytrace=False)
