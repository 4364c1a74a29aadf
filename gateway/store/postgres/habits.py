"""How people were reached, on PostgreSQL."""

from collections.abc import Sequence

from gateway.store.habits import Habit, habit_values
from gateway.store.postgres.engine import Engine


class PostgresHabits:
    """Implements store.habits.Habits."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def add_habits(self, habits: Sequence[Habit]) -> None:
        if values := habit_values(habits):
            await self._engine.transact(lambda session: session.run_over("add_habits", values))

    async def forget_habits(self, subject: str) -> None:
        await self._engine.run(lambda session: session.run("forget_habits", subject=subject))

    async def habits(self, subjects: Sequence[str]) -> Sequence[Habit]:
        found = await self._engine.run(
            lambda session: session.rows("habits", subjects=list(subjects))
        )
        return [Habit(*row) for row in found]
