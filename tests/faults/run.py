"""Runs a case, on a bench of its own unless it brings everything itself."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

from tests.faults.bench import Bench
from tests.faults.database import Sqlite
from tests.faults.nodes import ENVIRON
from tests.faults.nursery import Nursery
from tests.faults.trial import Case, Form, OwnCase, Result, Trial

AnyCase: TypeAlias = Case | OwnCase


async def run(case: AnyCase, *, seed: int, form: Form) -> Result:
    """Whatever breaks is told in the result."""
    try:
        if isinstance(case, OwnCase):
            return await case.run(case, seed, form)
        async with opened(case, seed=seed, form=form) as bench:
            return await Trial(case, bench, seed=seed, form=form).run()
    except AssertionError as error:  # it could not even be played
        return Result(fault=case.name, seed=seed, form=form, broken=[str(error)])


@asynccontextmanager
async def opened(
    case: Case, *, seed: int, form: Form, store: Path | None = None
) -> AsyncIterator[Bench]:
    """A bench for a case, or for several that ask for nothing of their own.

    store: the folder of the database, if it is not to lie with the rest.
    """
    nursery = Nursery() if form is Form.SHORT else None
    with tempfile.TemporaryDirectory(prefix="gateway-faults-") as name:
        folder = Path(name)
        database = Sqlite((store or folder) / "gateway.db")
        bench = Bench(
            folder,
            database,
            seed=seed,
            nodes=case.nodes,
            changes=case.changes,
            reports=case.reports,
            node=case.node,
            nursery=nursery,
        )
        try:
            if nursery is not None:
                await nursery.open(ENVIRON)
            async with bench:
                yield bench
        finally:
            if nursery is not None:
                await nursery.close()
