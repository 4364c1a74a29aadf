"""Reads what messages would say, by the rules of `content.lint`: for the preview and at accept.

Categories without `lint` pay one look-up for a message. The same words of the same category to many
people, and templates that say the same to all, are read once.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from gateway.content.lint import tables
from gateway.content.lint.linter import Linter, worst_first
from gateway.content.lint.sample import Sample
from gateway.dispatch.compose import Plan
from gateway.dispatch.render import CannotRender, Renderer
from gateway.dispatch.wordings import is_china
from gateway.model import wire
from gateway.model.errors import Fault, InvalidMessage, RequestError
from gateway.model.lint import Finding, Mode, Severity
from gateway.model.message import Message, Step
from gateway.model.submission import Ticket, Verdict
from gateway.model.values import replace
from gateway.settings import Category, Lane, Settings

#: Findings that the answer to a message tells of.
MOST_TOLD: Final = 10
#: Contents whose findings are kept; a finding takes under a kilobyte.
_REMEMBERED = 1000

#: The category of offers, also where it is configured without what marks them.
_MARKETING = "marketing"


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

    @property
    def is_on(self) -> bool:
        """Whether any category has its contents read at accept."""
        return bool(self._modes)

    def review(self, plan: Plan) -> Plan:
        """The plan with what its sender is to be told.

        Raises InvalidMessage for errors, where the category refuses them.
        """
        mode = self._modes.get(plan.message.category)
        if mode is None:
            return plan
        found = self.findings(plan.message)
        for one in found:
            self._count(one)
        if mode is Mode.REFUSE:
            _refuse(plan.message, [one for one in found if one.severity is Severity.ERROR])
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
        """What is found in the contents of all steps, worst first, then in their order."""
        return worst_first(one for step in message.chain for one in self._of_step(message, step))

    def _of_step(self, message: Message, step: Step) -> Sequence[Finding]:
        try:
            content = self._renderer.content(message, step)
        except CannotRender:
            return ()  # the attempt says so, as it does without rules
        facts = tuple(_facts(message.data, self._core)) if message.data else ()
        key = _key(message, step, content, facts)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._known[key] = self._check(message, step, content, facts)
        return found

    def _check(
        self, message: Message, step: Step, content: wire.Content, facts: tuple[str, ...]
    ) -> Sequence[Finding]:
        category = self._settings.categories[message.category]
        sample = Sample(
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
        return self._linter.check(sample, category.lint_rules)


def is_marketing(name: str, category: Category) -> bool:
    """Whether messages of a category are offers: people may refuse them, or must agree first."""
    return category.unsubscribe or category.consent or name == _MARKETING


def _with_warnings(verdict: Verdict, plan: Plan | RequestError) -> Verdict:
    if isinstance(verdict, Ticket) and isinstance(plan, Plan) and plan.warnings:
        return replace(verdict, warnings=plan.warnings)
    return verdict


def _refuse(message: Message, errors: Sequence[Finding]) -> None:
    if errors:
        faults = [
            Fault(_field(message, one), f"{one.rule}: {one.channel}.{one.field} {one.message}")
            for one in errors[:MOST_TOLD]
        ]
        raise InvalidMessage("The content breaks rules of its category; see faults.", faults)


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
