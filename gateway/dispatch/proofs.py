"""Reads what messages would say, by the rules of `content.lint`: for the preview and at accept.

Categories without `lint` pay one look-up for a message. The same words of the same category to many
people, and templates that say the same to all, are read once. What is long is read by a thread, one
at a time, so that nobody else waits for it.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from gateway.content.lint import tables
from gateway.content.lint.linter import Linter, worst_first
from gateway.content.lint.sample import Sample
from gateway.dispatch.compose import Plan
from gateway.dispatch.render import CannotRender, Renderer
from gateway.dispatch.wordings import is_china
from gateway.model import wire
from gateway.model.errors import Fault, InvalidMessage, RequestError
from gateway.model.lint import Finding, Level, Mode, Rule, Severity
from gateway.model.message import Message, Step
from gateway.model.submission import Ticket, Verdict
from gateway.model.values import Value, replace
from gateway.settings import Category, Lane, Settings

#: Findings that the answer to a message tells of.
MOST_TOLD: Final = 10
#: Contents whose findings are kept; a finding takes under a kilobyte.
_REMEMBERED = 1000

#: Characters of one content that are read at once, which takes 3 ms (a slow core); and those of
#: several, before others get their turn.
_SHORT, _PER_TURN = 4 * 1024, 16 * 1024

#: The category of offers, also where it is configured without what marks them.
_MARKETING = "marketing"


class _Look(Value, kw_only=False):
    """A content that is to be read."""

    key: bytes
    sample: Sample
    levels: Mapping[Rule, Level]


class Proofreader:
    """Finds fault with contents by one configuration."""

    def __init__(
        self, settings: Settings, renderer: Renderer, count: Callable[[Finding], None]
    ) -> None:
        """Reads the files of sensitive words; raises SettingsError.

        count: called with what is found in messages that are submitted.
        """
        self._settings = settings
        self._renderer = renderer
        self._count = count
        self._linter = Linter(settings.lint)
        self._modes = {
            name: one.lint for name, one in settings.categories.items() if one.lint is not Mode.OFF
        }
        self._domains = {
            name: frozenset((*settings.lint.domains, *one.lint_domains))
            for name, one in settings.categories.items()
        }
        self._signed = {name for name, lane in settings.lanes.items() if _is_signed(lane, settings)}
        self._core = (*tables.CORE, *settings.lint.core)
        self._known: dict[bytes, Sequence[Finding]] = {}
        self._thread = asyncio.Lock()

    async def review(self, plans: Sequence[Plan | RequestError]) -> Sequence[Plan | RequestError]:
        """The plans with what their senders are to be told; an InvalidMessage in place of one that
        has errors, where its category refuses them."""
        if not self._modes:
            return plans
        reviewed: list[Plan | RequestError] = []
        unheard = 0
        for one in plans:
            mode = self._modes.get(one.message.category) if isinstance(one, Plan) else None
            if mode is None or isinstance(one, RequestError):
                reviewed.append(one)
                continue
            found, size = await self._read(one.message)
            reviewed.append(self._judge(one, mode, found))
            unheard += size
            if unheard > _PER_TURN:  # a large batch must not hold up everybody else
                unheard = 0
                await asyncio.sleep(0)
        return reviewed

    def _judge(self, plan: Plan, mode: Mode, found: Sequence[Finding]) -> Plan | RequestError:
        for one in found:
            self._count(one)
        errors = [one for one in found if one.severity is Severity.ERROR]
        if mode is Mode.REFUSE and errors:
            return _refusal(plan.message, errors)
        told = tuple(one for one in found if one.severity is not Severity.HINT)[:MOST_TOLD]
        return replace(plan, warnings=told) if told else plan

    def tell(
        self, verdicts: Sequence[Verdict], plans: Sequence[Plan | RequestError]
    ) -> Sequence[Verdict]:
        """The verdicts on plans, with what `review` found in those that were taken."""
        return verdicts if not self._modes else list(map(_with_warnings, verdicts, plans))

    def would_refuse(self, category: str, found: Sequence[Finding]) -> Sequence[str]:
        """Why `review` would refuse a message with these findings; empty when it would not."""
        if self._modes.get(category) is not Mode.REFUSE:
            return ()
        errors = [one for one in found if one.severity is Severity.ERROR]
        return [f"{one.rule}: {one.message}" for one in errors[:MOST_TOLD]]

    def findings(self, message: Message) -> Sequence[Finding]:
        """What is found in the contents of all steps, worst first, then in their order. Holds up
        everybody else."""
        return worst_first(one for look in self._looks(message) for one in self._found(look))

    async def read(self, message: Message) -> Sequence[Finding]:
        """As `findings`; nobody waits for what is long."""
        return (await self._read(message))[0]

    async def _read(self, message: Message) -> tuple[Sequence[Finding], int]:
        """Findings, and how many characters were read for them at once."""
        found: list[Finding] = []
        total = 0
        for look in self._looks(message):
            size = 0 if look.key in self._known else look.sample.size
            if size > _SHORT:
                found += await self._found_aside(look)
            else:
                found += self._found(look)
                total += size
        return worst_first(found), total

    def _looks(self, message: Message) -> Iterator[_Look]:
        """The contents of all steps."""
        for step in message.chain:
            try:
                content = self._renderer.content(message, step)
            except CannotRender:
                continue  # the attempt says so, as it does without rules
            facts = tuple(_facts(message.data, self._core)) if message.data else ()
            key = _key(message, step, content, facts)
            levels = self._settings.categories[message.category].lint_rules
            yield _Look(key, self._sample(message, step, content, facts), levels)

    def _found(self, look: _Look) -> Sequence[Finding]:
        found = self._known.get(look.key)
        if found is None:
            found = self._linter.check(look.sample, look.levels)
            self._keep(look.key, found)
        return found

    async def _found_aside(self, look: _Look) -> Sequence[Finding]:
        async with self._thread:
            found = self._known.get(look.key)
            if found is None:  # nobody has read it while we waited
                found = await asyncio.to_thread(self._linter.check, look.sample, look.levels)
                self._keep(look.key, found)
            return found

    def _keep(self, key: bytes, found: Sequence[Finding]) -> None:
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[key] = found

    def _sample(
        self, message: Message, step: Step, content: wire.Content, facts: tuple[str, ...]
    ) -> Sample:
        category = self._settings.categories[message.category]
        return Sample(
            step.channel,
            content,
            is_marketing=is_marketing(message.category, category),
            is_china=is_china(step.parts[0]),
            is_signed=step.lane in self._signed or _has_own_sign(content),
            # by the lane's words, or by the provider's
            is_refusable=category.unsubscribe,
            facts=facts,
            domains=self._domains[message.category],
        )


def is_marketing(name: str, category: Category) -> bool:
    """Whether messages of a category are offers: people may refuse them, or must agree first."""
    return category.unsubscribe or category.consent or name == _MARKETING


def _with_warnings(verdict: Verdict, plan: Plan | RequestError) -> Verdict:
    if isinstance(verdict, Ticket) and isinstance(plan, Plan) and plan.warnings:
        return replace(verdict, warnings=plan.warnings)
    return verdict


def _refusal(message: Message, errors: Sequence[Finding]) -> InvalidMessage:
    faults = [
        Fault(_field(message, one), f"{one.rule}: {one.channel}.{one.field} {one.message}")
        for one in errors[:MOST_TOLD]
    ]
    return InvalidMessage("The content breaks rules of its category; see faults.", faults)


def _field(message: Message, found: Finding) -> str:
    """Where the body says what was found fault with."""
    if message.template:
        return "template"
    own = message.content.get(found.channel)
    name = found.field.partition(".")[0]
    within = isinstance(own, Mapping) and name in own
    return f"content.{found.channel}.{name}" if within else f"content.{name}"


def _is_signed(lane: Lane, settings: Settings) -> bool:
    """Whether each account of the lane puts a signature of its own to what it sends."""
    return all(settings.providers[one].options.get("sign") for one in lane.providers)


def _has_own_sign(content: wire.Content) -> bool:
    """Whether its providers' templates say what they are signed with."""
    own = content.provider_templates.values()
    return bool(own) and all(table.get("sign") for table in own)


def _facts(data: Mapping[str, Any], paths: Sequence[str]) -> Sequence[str]:
    """Values of the variables that are the core, as a template writes them."""
    return [text for path in paths if len(text := _value(data, path)) > 1]


def _value(data: Mapping[str, Any], path: str) -> str:
    value: Any = data
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number or isinstance(value, str) else ""


def _key(message: Message, step: Step, content: wire.Content, facts: tuple[str, ...]) -> bytes:
    """By which the same content is known again: what `_check` looks at."""
    extra = content.extra
    looked_at = (
        message.category,
        step.lane,
        is_china(step.parts[0]),
        content.text,
        content.subject,
        content.title,
        content.html,
        extra.get("link"),
        extra.get("image"),
        content.provider_templates,
        facts,
    )
    return hashlib.blake2b(repr(looked_at).encode(), digest_size=16).digest()
