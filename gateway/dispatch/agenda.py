"""The parts of a message that wait or are being sent, and what a change does to their rows."""

from collections.abc import Callable, Sequence

from gateway.model.case import LiveRow, QueueRow

#: (step, part)
Key = tuple[int, int]


class Agenda:
    """Begins as the store has it. put, dropped: the rows that it is to write, and to forget."""

    def __init__(self, rows: Sequence[LiveRow]) -> None:
        self.live = {(row.step, row.part): row for row in rows}
        self.put: dict[Key, QueueRow] = {}
        self.dropped: list[Key] = []

    def remove(self, key: Key) -> None:
        """A part is done with, one way or another."""
        self.put.pop(key, None)
        if self.live.pop(key, None) is not None:
            self.dropped.append(key)

    def add(self, row: QueueRow) -> None:
        """A part waits, for its first or another try."""
        self.put[row.step, row.part] = row
        self.live[row.step, row.part] = LiveRow(row.step, row.part, False, row.due_ms, row.epoch)

    def stop(self, is_meant: Callable[[int], bool] = lambda step: True) -> None:
        """What has not been claimed, of these steps, is not to be sent."""
        for key in [key for key, row in self.live.items() if is_meant(key[0]) and not row.claimed]:
            self.remove(key)

    def of(self, step: int) -> Sequence[LiveRow]:
        return [row for key, row in self.live.items() if key[0] == step]
