"""How people were reached, on SQLite."""

from collections.abc import Sequence

import apsw

from gateway.store.habits import Habit, habit_values
from gateway.store.sqlite.engine import Engine, call, call_json, dump, run


class SqliteHabits:
    """Implements store.habits.Habits."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def add_habits(self, habits: Sequence[Habit]) -> None:
        values = habit_values(habits)
        await self._engine.write(lambda connection: run(connection, "add_habits", values))

    async def forget_habits(self, subject: str, *, until_ms: int) -> None:
        def work(connection: apsw.Connection) -> None:
            call(connection, "note_forgotten", subject=subject, until_ms=until_ms)
            call(connection, "forget_habits", subject=subject)

        await self._engine.write(work)

    async def habits(self, subjects: Sequence[str]) -> Sequence[Habit]:
        found = await self._engine.read(
            lambda connection: call_json(connection, "habits", rows=dump(list(subjects)))
        )
        return [Habit(*row) for row in found]
