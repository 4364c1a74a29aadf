"""Messages that take the place of earlier ones: of those with the same `replaces`, only what was
accepted last is sent.

An earlier one is cancelled when the later is accepted, and asked about once more after it was
claimed: the two may have been accepted at once, or the process may have died in between.
"""

import logging
from collections.abc import Mapping, Sequence

from gateway.dispatch.change import Change
from gateway.dispatch.finisher import Entry, Finisher, News
from gateway.model.case import Case, NewMessage
from gateway.model.errors import StoreUnavailable
from gateway.model.message import MessageId
from gateway.model.state import State
from gateway.store import base

_log = logging.getLogger(__name__)

#: (tenant, word)
Key = tuple[str, str]


class Replacing:
    """Finds who is replaced, and ends it."""

    def __init__(self, store: base.Store, finisher: Finisher) -> None:
        self._store = store
        self._finisher = finisher

    async def standing(self, drafts: Sequence[NewMessage]) -> Mapping[Key, MessageId]:
        """Whom new messages would replace. Raises StoreUnavailable."""
        keys = {(one.tenant, one.replaces.key) for one in drafts if one.replaces is not None}
        return await self._store.latest(sorted(keys)) if keys else {}

    async def retire(self, standing: Mapping[Key, MessageId], stored: Sequence[NewMessage]) -> None:
        """Cancel what these have replaced, as far as it has not left. What goes wrong here is made
        good when the earlier message is claimed."""
        heirs = {
            former: one.id
            for one in stored
            if one.replaces is not None
            and (former := standing.get((one.tenant, one.replaces.key))) is not None
        }
        if not heirs:
            return
        try:
            cases = await self._store.cases(list(heirs))
            await self._finisher.apply_all(
                [Entry(case, _news(heirs[case.id])) for case in cases.values() if case.live]
            )
        except StoreUnavailable as error:
            _log.warning("replaced_not_cancelled messages=%d reason=%s", len(heirs), error)

    async def heirs(self, cases: Sequence[Case]) -> Mapping[MessageId, MessageId]:
        """Of these, those that a later message has replaced, with that. Raises StoreUnavailable."""
        keys = {(case.tenant, case.message.replaces) for case in cases if case.message.replaces}
        if not keys:
            return {}
        latest = await self._store.latest(sorted(keys))
        return {
            case.id: heir
            for case in cases
            if case.message.replaces
            and (heir := latest.get((case.tenant, case.message.replaces))) is not None
            and heir != case.id
        }


def replace_by(change: Change, heir: str) -> None:
    """What has not left never will; cancelled unless somebody has it, or may have."""
    change.stop_all()
    if change.is_idle and change.state is State.FAILED:
        change.end(State.CANCELLED, f"replaced by {heir}")
    else:
        change.add_event("replaced", f"by {heir}")


def _news(heir: MessageId) -> News:
    def news(change: Change) -> None:
        if change.ending is None and not change.is_idle:
            replace_by(change, heir)

    return news
