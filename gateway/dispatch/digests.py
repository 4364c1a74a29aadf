"""What a digest says: the one message as which several leave that have waited for a cap.

Its words are a template's, over `count` and `items`. An item has `id`, `at`, `data`, and in
`subject`, `title` and `text` what it would have said by itself. Pure: nothing is looked up.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from gateway.clock import isoformat
from gateway.content.templates import TemplateSet
from gateway.dispatch.likeness import Likeness, MergeRule
from gateway.dispatch.links import NO_URLS
from gateway.dispatch.render import CannotRender, Renderer
from gateway.dispatch.rows import first_rows
from gateway.model import entropy, wire
from gateway.model.caps import MOST_MERGED
from gateway.model.case import Case, EventRecord, NewMessage
from gateway.model.errors import SettingsError
from gateway.model.message import Message, Skipped, Step, encode, new_id
from gateway.model.state import State
from gateway.model.values import Value, replace
from gateway.settings import CapSettings, Over, Settings

_log = logging.getLogger(__name__)

#: Of what an item would have said: a whole HTML page cannot stand inside another.
_TEXTS = ("subject", "title", "text")

#: Octets of the items of one digest, as JSON: a body is read with each claim of its rows.
_MOST_BYTES = 256 * 1024

#: What its template can name.
_NAMES: Mapping[str, object] = {"count": 2, "items": [{}]}

Item: TypeAlias = Mapping[str, Any]

#: (lane, content, addresses) to why no account of the lane can ever carry it; '' when one may
Objection: TypeAlias = Callable[[str, wire.Content, Sequence[wire.Address]], str]


class Digest(Value):
    """A message, and those that it carries."""

    #: the one that merges them
    cap: str
    message: NewMessage
    carried: Sequence[Case]


def check(settings: Settings, templates: TemplateSet) -> None:
    """Raises SettingsError unless every digest has a template that will do."""
    if found := [f"caps.{name}.digest: {why}" for name, why in faults(settings, templates)]:
        raise SettingsError(found)


def faults(settings: Settings, templates: TemplateSet) -> Iterator[tuple[str, str]]:
    """(cap, why its digest's template will not do), for each that will not."""
    for name, cap in settings.caps.items():
        if cap.over is Over.MERGE and (why := _misfit(cap, settings, templates)):
            yield name, why


def _misfit(cap: CapSettings, settings: Settings, templates: TemplateSet) -> str:
    """By any lane of the channels on which the cap holds messages back; '' for none."""
    if cap.digest not in templates:
        return "there is no template of this name"
    chains = [one.chain for name, one in settings.categories.items() if name in cap.categories]
    asked = cap.channels or {step.channel for one in chains for step in one}
    for lane in settings.lanes.values():
        if lane.channel not in asked:
            continue
        kinds = frozenset(settings.providers[one].kind for one in lane.providers)
        if not templates.offers(cap.digest, lane.channel, kinds):
            return f"the template says nothing on {lane.channel}"
        known = {**NO_URLS, **_NAMES} if lane.channel is wire.Channel.EMAIL else _NAMES
        if absent := templates.missing(cap.digest, known, [lane.channel], kinds):
            return f"the template needs {', '.join(absent)}: it has count and items"
    return ""


class Digests:
    """Makes digests."""

    def __init__(
        self,
        settings: Settings,
        renderer: Renderer,
        likeness: Likeness,
        *,
        objection: Objection,
        units_of: Callable[[wire.Address, wire.Content], int],
    ) -> None:
        """units_of: SMS segments that a content takes to an address."""
        self._weights = {name: one.weight for name, one in settings.tenants.items()}
        self._renderer = renderer
        self._likeness = likeness
        self._objection = objection
        self._units_of = units_of

    def make(self, cases: Sequence[Case], now_ms: int) -> Digest | None:
        """Of those that are alike and wait, in this order, as many as go together; None where no
        two do."""
        if len(cases) < 2:
            return None
        items = _bounded([(one, item) for one in cases if (item := self._item(one)) is not None])
        while len(items) > 1:
            told = sorted(items, key=lambda pair: pair[0].id)  # as they were accepted
            cases = [case for case, _ in told]
            message = self._message(cases, [item for _, item in told])
            if isinstance(message, Message):
                return Digest(
                    cap=self._rule(message, message.chain[0]).cap,
                    message=self._new(message, cases, now_ms),
                    carried=[case for case, _ in items],
                )
            items = items[: (len(items) + 1) // 2]  # perhaps it was too long for the channel
            if len(items) == 1:
                _log.warning("digest_not_made message=%s why=%s", cases[0].id, message.reason)
        return None

    def _item(self, case: Case) -> Item | None:
        """What a template is told of a message; None where it cannot be rendered any more."""
        texts = dict.fromkeys(_TEXTS, "")
        message, first = case.message, waits_at(case)
        template = self._rule(message, message.chain[first]).template
        for place, step in enumerate(message.chain[first:]):
            if not self._likeness.says(template, step.channel, step.lane):
                continue
            try:
                content = self._renderer.bare(message, step)
            except CannotRender:
                if place == 0:
                    return None
                continue
            for name in _TEXTS:
                texts[name] = texts[name] or getattr(content, name)
        return {
            "id": case.id,
            "at": isoformat(case.created_ms),
            "data": message.data,
            **texts,
        }

    def _message(self, cases: Sequence[Case], items: Sequence[Item]) -> Message | Skipped:
        """The whole, or why its first step cannot be taken. Of what may differ it has what suits
        all: the highest priority and the longest life."""
        latest = cases[-1]
        chain = latest.message.chain[waits_at(latest) :]
        rule = self._rule(latest.message, chain[0])
        message = replace(
            latest.message,
            chain=chain,
            priority=min(case.message.priority for case in cases),
            life_ms=max(case.message.life_ms for case in cases),
            template=rule.template,
            data={"count": len(items), "items": items},
            content={},
            metadata={"merged": [case.id for case in cases]},
            replaces="",
            digest=True,
        )
        steps = [self._step(message, step) for step in chain]
        if isinstance(first := steps[0], Skipped):
            return first
        return replace(
            message,
            chain=tuple(one for one in steps if isinstance(one, Step)),
            skipped=tuple(one for one in steps if isinstance(one, Skipped)),
        )

    def _rule(self, message: Message, step: Step) -> MergeRule:
        rule = self._likeness.rule(message.category, step.channel)
        assert rule is not None  # or they would not be alike
        return rule

    def _step(self, message: Message, step: Step) -> Step | Skipped:
        if not self._likeness.says(message.template, step.channel, step.lane):
            return Skipped(channel=step.channel, reason="no content")
        try:
            content = self._renderer.content(message, step)
        except CannotRender as fault:
            return Skipped(channel=step.channel, reason=str(fault))
        if objection := self._objection(step.lane, content, step.parts):
            return Skipped(channel=step.channel, reason=objection)
        is_sms = step.channel is wire.Channel.SMS
        return replace(step, units=self._units_of(step.parts[0], content) if is_sms else 1)

    def _new(self, message: Message, cases: Sequence[Case], now_ms: int) -> NewMessage:
        id_ = new_id(now_ms, entropy.draw(10))
        tenant, expires_ms = cases[0].tenant, max(case.expires_ms for case in cases)
        rows = first_rows(
            message,
            id=id_,
            flow=tenant,
            weight=self._weights.get(tenant, 1.0),
            start_ms=now_ms,
            expires_ms=expires_ms,
        )
        return NewMessage(
            id=id_,
            tenant=tenant,
            category=message.category,
            internal=False,
            created_ms=now_ms,
            expires_ms=expires_ms,
            body=encode(message),
            state=State.QUEUED,
            rows=rows,
            events=[EventRecord(at_ms=now_ms, event="merged", detail=one.id) for one in cases],
            recipient=message.chain[0].parts[0].recipient,
        )


def waits_at(case: Case) -> int:
    """The step that a message waits with."""
    return min(row.step for row in case.live)


def _bounded(items: Sequence[tuple[Case, Item]]) -> list[tuple[Case, Item]]:
    """Of these as many as one message should hold; the rest waits for the next."""
    taken: list[tuple[Case, Item]] = []
    left = _MOST_BYTES
    for case, item in items[:MOST_MERGED]:
        size = len(msgspec.json.encode(item))
        if size <= left:
            taken.append((case, item))
            left -= size
    return taken
