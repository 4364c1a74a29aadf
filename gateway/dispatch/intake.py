"""Takes messages in: plans them, asks the gate, and stores them. 202 only after the commit."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import msgspec
import orjson

from gateway.clock import Clock
from gateway.content import sms
from gateway.dispatch import gate, naming
from gateway.dispatch.bans import Bans
from gateway.dispatch.caps import Caps
from gateway.dispatch.channel_choice import Reach
from gateway.dispatch.compose import Composer, Plan
from gateway.dispatch.habits import Habits
from gateway.dispatch.lanes import Bells
from gateway.dispatch.proofs import Proofreader
from gateway.dispatch.render import CannotRender, Renderer
from gateway.dispatch.replacing import Replacing
from gateway.dispatch.rows import first_rows
from gateway.dispatch.screen import Judged, Screen
from gateway.dispatch.webhooks import Report
from gateway.dispatch.wordings import is_china
from gateway.metrics import Metrics
from gateway.model import entropy, wire
from gateway.model.case import (
    DedupeKey,
    EventRecord,
    IdempotencyKey,
    NewMessage,
    QueueRow,
    ReplaceKey,
)
from gateway.model.errors import (
    Fault,
    InvalidMessage,
    KeyConflict,
    RequestError,
    StoreUnavailable,
    TooManyRequests,
)
from gateway.model.message import DAY_MS, Step, encode, new_id
from gateway.model.state import State
from gateway.model.submission import (
    Caller,
    Preview,
    PreviewStep,
    Reading,
    Submission,
    Ticket,
    Verdict,
)
from gateway.model.values import replace
from gateway.rules.timing import Timetable
from gateway.settings import Settings
from gateway.store import base

#: Submissions planned before others get their turn.
_AT_ONCE = 100
#: The same where their contents are read, which takes 0.2 ms for an SMS and 5 ms for a mail.
_AT_ONCE_READ = 5

#: Why a message is not sent that another tenant has sent.
_DUPLICATE = "sent already"

#: How long after its end a message that failed may be sent again, and still be replaced.
_REDRIVES_MS = 30 * DAY_MS


class Intake:
    """What callers may send. Implements the edge's `Intake`."""

    def __init__(
        self,
        settings: Settings,
        composer: Composer,
        renderer: Renderer,
        store: base.Store,
        bans: Bans,
        bells: Bells,
        clock: Clock,
        metrics: Metrics,
        *,
        webhooks: Callable[[Report], Sequence[NewMessage]],
        replacing: Replacing,
        habits: Habits,
        timetable: Timetable,
        proofs: Proofreader,
        caps: Caps,
    ) -> None:
        self._settings = settings
        self._composer = composer
        self._renderer = renderer
        self._store = store
        self._screen = Screen(bans, timetable)
        self._bells = bells
        self._clock = clock
        self._metrics = metrics
        self._webhooks = webhooks
        self._replacing = replacing
        self._habits = habits
        self._proofs = proofs
        self._caps = caps

    async def accept(self, caller: Caller, readings: Sequence[Reading]) -> Sequence[Verdict]:
        """One verdict each, in order. Raises StoreUnavailable."""
        readings = await naming.resolve(self._store, caller.tenant, readings)
        reach = await self._reach(caller.tenant, readings)
        now_ms = self._clock.now_ms()
        plans: list[Plan | RequestError] = []
        at_once = _AT_ONCE_READ if self._proofs.is_on else _AT_ONCE
        for start in range(0, len(readings), at_once):
            if start:  # a large batch must not hold up everybody else
                await asyncio.sleep(0)
            plans += [self._plan(one, now_ms, reach) for one in readings[start : start + at_once]]
        judged = await self._screen.judge(caller, plans)
        drafts = [
            self._draft(caller, reading, one, now_ms)
            for reading, one in zip(readings, judged, strict=True)
        ]
        stored = iter(await self._store_all(drafts))
        verdicts = [
            self._refused(one)
            if isinstance(one, RequestError)
            else self._verdict(one, next(stored))
            for one in drafts
        ]
        self._count_accepted(drafts, verdicts)
        self._count_deferred(judged, verdicts)
        return self._proofs.tell(verdicts, plans)

    def _count_deferred(
        self, judged: Sequence[Judged | RequestError], verdicts: Sequence[Verdict]
    ) -> None:
        for one, verdict in zip(judged, verdicts, strict=True):
            if isinstance(one, RequestError) or one.hold is None:
                continue
            if isinstance(verdict, Ticket) and not (verdict.duplicate or verdict.repeated):
                self._metrics.deferred.labels(one.plan.message.category, one.hold.kind).inc()

    def _count_accepted(
        self, drafts: Sequence[NewMessage | RequestError], verdicts: Sequence[Verdict]
    ) -> None:
        each = zip(drafts, verdicts, strict=True)
        new = [one for draft, verdict in each if (one := _stored(draft, verdict)) is not None]
        for category, count in Counter(draft.category for draft in new).items():
            self._metrics.accepted.labels(category).inc(count)
        for draft in new:
            if draft.ending is not None:
                self._metrics.count_ends(draft.category, draft.ending)
                for webhook in draft.webhooks:
                    for row in webhook.rows:
                        self._bells.ring(row.lane, row.pin)

    async def preview(self, caller: Caller, submission: Submission) -> Preview:
        """What `accept` would do. Raises the RequestError that it would return."""
        (reading,) = await naming.resolve(self._store, caller.tenant, [submission])
        if isinstance(reading, RequestError):
            raise reading
        reach = await self._reach(caller.tenant, [reading])
        now_ms = self._clock.now_ms()
        plan = self._composer.plan(reading, now_ms, reach.get(reading.to.recipient))
        (judged,) = await self._screen.judge(caller, [plan])
        if isinstance(judged, RequestError):
            raise judged
        message = judged.plan.message
        reason = judged.suppressed or (judged.hold.rule if judged.hold is not None else "")
        findings = self._proofs.findings(message)
        refusal = self._proofs.would_refuse(message.category, findings)
        capped, lines = await self._caps.preview(caller.tenant, judged.plan)
        decision, until_ms = _outcome(judged, capped, now_ms)
        steps = [self._preview_step(judged.plan, step) for step in message.chain]
        steps += [PreviewStep(channel=one.channel, skipped=one.reason) for one in message.skipped]
        return Preview(
            decision="refuse" if refusal else decision,
            reasons=refusal or [*filter(None, [reason]), *lines],
            until_ms=None if refusal else until_ms,
            category=message.category,
            priority=message.priority.name.lower(),
            expires_in=message.life_ms / 1000,
            chain=steps,
            findings=findings,
        )

    async def _reach(
        self, tenant: str, readings: Sequence[Reading]
    ) -> Mapping[str, Mapping[str, Reach]]:
        """By recipient and channel what has reached them, for those whose channels are chosen."""
        wanted = {
            one.to.recipient
            for one in readings
            if isinstance(one, Submission) and one.to.recipient and self._composer.wants_best(one)
        }
        return await self._habits.of(tenant, wanted) if wanted else {}

    def _plan(
        self, reading: Reading, now_ms: int, reach: Mapping[str, Mapping[str, Reach]]
    ) -> Plan | RequestError:
        if isinstance(reading, RequestError):
            return reading
        try:
            plan = self._composer.plan(reading, now_ms, reach.get(reading.to.recipient))
            return self._proofs.review(plan)
        except RequestError as error:
            return error

    # What is stored

    def _draft(
        self, caller: Caller, reading: Reading, judged: Judged | RequestError, now_ms: int
    ) -> NewMessage | RequestError:
        if isinstance(reading, RequestError):
            return reading
        if isinstance(judged, RequestError):
            return judged
        return self._new_message(caller, reading, judged, now_ms)

    def _new_message(
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

    async def _store_all(
        self, drafts: Sequence[NewMessage | RequestError]
    ) -> Sequence[base.Acceptance]:
        good = [one for one in drafts if isinstance(one, NewMessage)]
        if not good:
            return ()
        try:
            standing = await self._replacing.standing(good)
            stored = await self._store.accept(good)
        except StoreUnavailable:
            self._metrics.refused.labels("unavailable").inc(len(good))
            raise
        for lane in {row.lane for one in good for row in one.rows}:
            self._bells.ring(lane)
        if standing:
            new = [
                one
                for one, verdict in zip(good, stored, strict=True)
                # what was suppressed as a duplicate takes nobody's place
                if isinstance(verdict, base.Stored) and verdict.state is one.state
            ]
            await self._replacing.retire(standing, new)
        return stored

    def _verdict(self, draft: NewMessage, acceptance: base.Acceptance) -> Verdict:
        match acceptance:
            case base.Stored(state=state) if state is not draft.state:
                self._metrics.refused.labels("duplicate").inc()
                return Ticket(id=draft.id, state=state, duplicate=True)
            case base.Stored():
                return Ticket(id=draft.id, state=_first_state(draft))
            case base.Existing(id=id_, state=state, by_key=by_key):
                self._metrics.refused.labels("repeated" if by_key else "duplicate").inc()
                return Ticket(id=id_, state=state, duplicate=not by_key, repeated=by_key)
            case base.KeyTaken():
                self._metrics.refused.labels("key_conflict").inc()
                return KeyConflict("this idempotency key was used for another body")

    def _refused(self, error: RequestError) -> RequestError:
        reason = "throttled" if isinstance(error, TooManyRequests) else "invalid"
        self._metrics.refused.labels(reason).inc()
        return error

    # Preview

    def _preview_step(self, plan: Plan, step: Step) -> PreviewStep:
        try:
            content = self._renderer.content(plan.message, step)
        except CannotRender as fault:
            raise InvalidMessage(
                "the content cannot be rendered", [Fault("data", str(fault))]
            ) from None
        texts = {
            name: value
            for name in ("text", "subject", "title", "html")
            if (value := getattr(content, name))
        }
        return PreviewStep(
            channel=step.channel,
            lane=step.lane,
            providers=self._settings.lanes[step.lane].providers,
            parts=len(step.parts),
            content=texts,
            sms=_measure(step, content) if step.channel is wire.Channel.SMS else None,
        )


def _stored(draft: NewMessage | RequestError, verdict: Verdict) -> NewMessage | None:
    """What was stored of it; None when nothing was."""
    if not isinstance(draft, NewMessage) or not isinstance(verdict, Ticket):
        return None
    if verdict.id != draft.id:
        return None
    return draft.dedupe.shadow if verdict.duplicate and draft.dedupe is not None else draft


def _outcome(judged: Judged, capped: gate.Decision, now_ms: int) -> tuple[str, int | None]:
    """(`send`, `defer` or `suppress`; until when it waits). capped: what the caps say."""
    if judged.suppressed or isinstance(capped, gate.Suppress):
        return "suppress", None
    if isinstance(capped, gate.Defer):
        return "defer", capped.until_ms
    start_ms = judged.plan.start_ms
    return ("defer", start_ms) if start_ms > now_ms else ("send", None)


def _first_state(draft: NewMessage) -> State:
    if draft.state is not State.QUEUED:
        return draft.state
    # the first row is the first step's, and none is due before it
    return State.SCHEDULED if draft.rows[0].due_ms > draft.created_ms else State.QUEUED


def _measure(step: Step, content: wire.Content) -> Mapping[str, object]:
    found = sms.measure(content.text, china=is_china(step.parts[0]))
    return {
        "alphabet": found.alphabet,
        "characters": found.characters,
        "length": found.units,
        "segments": len(found.parts),
    }


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
    # one person is the same on every channel
    whom = submission.to.recipient or [msgspec.to_builtins(step.parts) for step in message.chain]
    text = orjson.dumps([message.category, whom, about], option=orjson.OPT_SORT_KEYS)
    digest = hashlib.blake2b(text, digest_size=16).hexdigest()
    return DedupeKey(key=f"content:{digest}", until_ms=now_ms + int(window * 1000))
