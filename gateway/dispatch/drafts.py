"""A judged submission as it is to be stored: rows, keys, and its end if it has one already."""

import hashlib
from collections.abc import Callable, Sequence

import msgspec
import orjson

from gateway.dispatch.addressing import check_addresses
from gateway.dispatch.compose import Plan
from gateway.dispatch.rows import first_rows
from gateway.dispatch.screen import Judged
from gateway.dispatch.webhooks import Report
from gateway.model import entropy
from gateway.model.case import (
    DedupeKey,
    EventRecord,
    IdempotencyKey,
    NewMessage,
    QueueRow,
    ReplaceKey,
)
from gateway.model.message import DAY_MS, encode, new_id
from gateway.model.recipient import SINGLE
from gateway.model.state import State
from gateway.model.submission import Caller, Submission
from gateway.model.values import replace
from gateway.settings import Settings

#: Why a message is not sent that another tenant has sent.
_DUPLICATE = "sent already"

#: How long after its end a message that failed may be sent again, and still be replaced.
_REDRIVES_MS = 30 * DAY_MS


class Drafter:
    """Makes messages to store."""

    def __init__(
        self, settings: Settings, webhooks: Callable[[Report], Sequence[NewMessage]]
    ) -> None:
        self._settings = settings
        self._webhooks = webhooks

    def draft(
        self, caller: Caller, submission: Submission, judged: Judged, now_ms: int
    ) -> NewMessage:
        plan = judged.plan
        id_ = new_id(now_ms, entropy.draw(10))
        rows: Sequence[QueueRow] = ()
        dedupe = None  # what ends at once stands in nobody's way: it takes no dedupe key
        if not judged.suppressed:
            rows = first_rows(
                plan.message,
                id=id_,
                flow=caller.tenant,
                weight=self._weight(caller),
                start_ms=plan.start_ms,
                expires_ms=plan.expires_ms,
            )
            dedupe = _dedupe(submission, plan, now_ms)
        draft = NewMessage(
            id=id_,
            tenant=caller.tenant,
            category=plan.message.category,
            internal=False,
            created_ms=now_ms,
            expires_ms=plan.expires_ms,
            body=encode(plan.message),
            state=State.QUEUED,
            rows=rows,
            events=(*_choice(plan, now_ms), *judged.events(now_ms)),
            idempotency=self._idempotency(submission, now_ms),
            replaces=None if judged.suppressed else _replaces(plan),
            recipient=submission.to.recipient,
        )
        if judged.suppressed:
            return self._suppressed(draft, plan, judged.suppressed)
        if dedupe is None:
            return draft
        if plan.category.dedupe is not None and plan.category.dedupe.shared:
            dedupe = replace(dedupe, shadow=self._suppressed(draft, plan, _DUPLICATE))
        return replace(draft, dedupe=dedupe)

    def _suppressed(self, draft: NewMessage, plan: Plan, reason: str) -> NewMessage:
        """It has ended before it began, and its tenant is told."""
        now_ms = draft.created_ms
        event = EventRecord(at_ms=now_ms, event=State.SUPPRESSED, detail=reason)
        report = Report(
            id=draft.id,
            tenant=draft.tenant,
            category=draft.category,
            metadata=plan.message.metadata,
            state=State.SUPPRESSED,
            at_ms=now_ms,
            detail=reason,
        )
        return replace(
            draft,
            state=State.SUPPRESSED,
            ending=State.SUPPRESSED,
            rows=(),
            replaces=None,
            events=(*draft.events, event),
            webhooks=self._webhooks(report),
        )

    def _weight(self, caller: Caller) -> float:
        tenant = self._settings.tenants.get(caller.tenant)
        return tenant.weight if tenant is not None else 1.0

    def _idempotency(self, submission: Submission, now_ms: int) -> IdempotencyKey | None:
        if not submission.idempotency_key:
            return None
        return IdempotencyKey(
            key=submission.idempotency_key,
            fingerprint=submission.fingerprint.hex(),
            until_ms=now_ms + int(self._settings.store.idempotency * 1000),
        )


def _choice(plan: Plan, now_ms: int) -> Sequence[EventRecord]:
    """What the timeline says of the order of the steps."""
    if not plan.chosen:
        return ()
    return (EventRecord(at_ms=now_ms, event="chosen", detail=plan.chosen),)


def _replaces(plan: Plan) -> ReplaceKey | None:
    """What ends at once takes nobody's place: it has not been said."""
    key = plan.message.replaces
    return ReplaceKey(key=key, until_ms=plan.expires_ms + _REDRIVES_MS) if key else None


def _dedupe(submission: Submission, plan: Plan, now_ms: int) -> DedupeKey | None:
    """By the message's own key, by the category's key and the recipient, or by content and
    recipient."""
    asked, standing = submission.dedupe, plan.category.dedupe
    if asked is not None and asked.key:
        return DedupeKey(key=f"key:{asked.key}", until_ms=now_ms + int(asked.window * 1000))
    if asked is None and standing is None:
        return None
    window = asked.window if asked is not None else standing.window if standing else 0.0
    key = standing.key if asked is None and standing is not None else ""
    message = plan.message
    about: object = key or [message.template, message.data, message.content]
    whom = _whom(submission, plan)
    text = orjson.dumps([message.category, whom, about], option=orjson.OPT_SORT_KEYS)
    digest = hashlib.blake2b(text, digest_size=16).hexdigest()
    return DedupeKey(key=f"content:{digest}", until_ms=now_ms + int(window * 1000))


def _whom(submission: Submission, plan: Plan) -> object:
    """Who gets it, the same on every channel: by the tenant's own name of them, which other tenants
    have for somebody else; among all tenants by the first of the addresses."""
    standing = plan.category.dedupe
    if standing is not None and standing.shared:
        to = check_addresses(submission.to)
        return next(([name, value] for name in SINGLE if (value := getattr(to, name))), None) or [
            [one.app, one.token] for one in to.push
        ]
    if submission.to.recipient:
        return submission.to.recipient
    return [msgspec.to_builtins(step.parts) for step in plan.message.chain]
