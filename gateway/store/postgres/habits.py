"""How people were reached, on PostgreSQL."""

from collections.abc import Sequence

from gateway.store.habits import Habit, habit_values
from gateway.store.postgres.engine import Engine
from gateway.store.postgres.session import Session


class PostgresHabits:
    """Implements store.habits.Habits."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def add_habits(self, habits: Sequence[Habit]) -> None:
        if values := habit_values(habits):
            await self._engine.transact(lambda session: session.run_over("add_habits", values))

    async def forget_habits(self, subject: str, *, until_ms: int) -> None:
        async def work(session: Session) -> None:
            await session.run("note_forgotten", subject=subject, until_ms=until_ms)
            await session.run("forget_habits", subject=subject)

        await self._engine.transact(work)

    async def habits(self, subjects: Sequence[str]) -> Sequence[Habit]:
        found = await self._engine.run(
            lambda session: session.rows("habits", subjects=list(subjects))
        )
        return [Habit(*row) for row in found]
