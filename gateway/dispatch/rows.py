"""Which queue rows a message has when it starts, and when a step of it does."""

from collections.abc import Sequence

from gateway.model.case import Case, QueueRow
from gateway.model.message import Message, MessageId, Mode, OnUnknown


def first_rows(
    message: Message, *, id: MessageId, flow: str, weight: float, start_ms: int, expires_ms: int
) -> list[QueueRow]:
    """The queue rows of a message that starts at `start_ms`."""
    rows = RowMaker(message, id=id, flow=flow, weight=weight, expires_ms=expires_ms)
    if message.mode is Mode.ALL:
        return [row for step in range(len(message.chain)) for row in rows.of(step, start_ms)]
    return rows.starting(0, start_ms)


def flow_of(case: Case) -> str:
    """Who shares the lane fairly: the tenant, or the endpoint of a webhook."""
    return case.message.chain[0].parts[0].endpoint if case.internal else case.tenant


class RowMaker:
    """Makes queue rows of one message's steps."""

    def __init__(
        self, message: Message, *, id: MessageId, flow: str, weight: float, expires_ms: int
    ) -> None:
        self._message = message
        self._id = id
        self._flow = flow
        self._weight = weight
        self._expires_ms = expires_ms

    def of(self, step: int, due_ms: int) -> Sequence[QueueRow]:
        """One row for each part of a step."""
        plan = self._message.chain[step]
        return [
            QueueRow(
                message=self._id,
                step=step,
                part=part,
                lane=plan.lane,
                priority=int(self._message.priority),
                flow=self._flow,
                weight=self._weight,
                due_ms=due_ms,
                expires_ms=self._expires_ms,
                units=plan.units,
                pin=address.endpoint,
                once=self._message.on_unknown is OnUnknown.STOP,
            )
            for part, address in enumerate(plan.parts)
        ]

    def starting(self, step: int, start_ms: int) -> list[QueueRow]:
        """Rows of a step that starts, and of those that follow by time limit alone."""
        chain = self._message.chain
        rows = [*self.of(step, start_ms)]
        while (within := chain[step].within) is not None and step + 1 < len(chain):
            start_ms += int(within * 1000)
            if start_ms >= self._expires_ms:
                break
            step += 1
            rows += self.of(step, start_ms)
        return rows
