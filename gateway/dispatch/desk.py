"""What a tenant may ask of its messages after they were accepted."""

from gateway.clock import Clock
from gateway.dispatch.change import Change
from gateway.dispatch.finisher import Finisher
from gateway.model import view
from gateway.model.case import Case
from gateway.model.errors import NotFound, StateConflict
from gateway.model.message import MessageId
from gateway.model.state import DEAD, State
from gateway.model.submission import Caller
from gateway.store import base


class Desk:
    """Implements the edge's `Desk`. Another tenant's message is NotFound."""

    def __init__(self, store: base.Store, finisher: Finisher, clock: Clock) -> None:
        self._store = store
        self._finisher = finisher
        self._clock = clock

    async def read(self, caller: Caller, message: str) -> view.MessageView:
        found = await self._store.read(caller.tenant, MessageId(message))
        if found is None:
            raise NotFound("no such message")
        return found

    async def list(self, caller: Caller, filter: view.MessageFilter) -> view.MessagePage:
        return await self._store.list(caller.tenant, filter)

    async def cancel(self, caller: Caller, message: str) -> view.MessageView:
        """Raises NotFound, and StateConflict once anything of it has been claimed."""
        case = await self._case(caller, message)
        done: list[bool] = []

        def news(change: Change) -> None:
            done[:] = [_is_untouched(change.case)]
            if done[0]:
                change.stop_all()
                change.end(State.CANCELLED, "by its tenant")

        if not _is_untouched(case):
            raise StateConflict("the message is past cancelling: it is being sent or has ended")
        await self._finisher.apply(case, news)
        if not done[0]:
            raise StateConflict("the message is past cancelling: it is being sent or has ended")
        return await self.read(caller, message)

    async def redrive(self, caller: Caller, message: str) -> view.MessageView:
        """Send a dead letter again. Raises NotFound, and StateConflict unless it is one."""
        case = await self._case(caller, message)
        if case.live or case.state not in DEAD:
            raise StateConflict("only a message that is failed, expired or unknown can be redriven")
        if case.message.erased:
            raise StateConflict("the message was erased with its recipient")
        await redrive(self._finisher, case)
        return await self.read(caller, message)

    async def _case(self, caller: Caller, message: str) -> Case:
        case = (await self._store.cases([MessageId(message)])).get(MessageId(message))
        if case is None or case.internal or case.tenant != caller.tenant:
            raise NotFound("no such message")
        return case


async def redrive(finisher: Finisher, case: Case) -> None:
    """Send a dead letter again from its first step, with as long a life as it had at first."""

    def news(change: Change) -> None:
        if not change.case.live and change.case.state in DEAD and not change.case.message.erased:
            change.restart()

    await finisher.apply(case, news)


def _is_untouched(case: Case) -> bool:
    """Whether nothing of it has been claimed, now or before."""
    if case.ending is not None or case.attempts or not case.live:
        return False
    return not any(row.claimed for row in case.live)
