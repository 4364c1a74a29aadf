"""From what was asked for to what will be done: category defaults, addresses, lanes, content.

Pure and synchronous: what must be looked up is the caller's, before (what has reached somebody) and
after (bans, permissions).
"""

import re
from collections.abc import Callable, Mapping, Sequence

from gateway.content.templates import (
    TemplateSet,
    kinds_of,
)
from gateway.dispatch import devices
from gateway.dispatch.addressing import check_addresses, whom_of
from gateway.dispatch.channel_choice import Choice, Person, Reach, choose
from gateway.dispatch.steps import Objection, StepMaker, invalid
from gateway.dispatch.wordings import Wordings
from gateway.model import wire
from gateway.model.lint import Finding
from gateway.model.message import ChainOrder, Message, Step, Whom
from gateway.model.submission import Submission
from gateway.model.values import Value
from gateway.settings import Category, Settings

#: Category of messages that name none, and whose template names none.
_DEFAULT_CATEGORY = "service"

#: What may be repeated of a name that the caller chose.
_HARMLESS = re.compile(r"[a-z][a-z0-9_]{0,31}")

#: How far a clock may be off before `send_at` counts as past, in seconds.
_SKEW = 5.0

_YEAR = 366 * 86400.0

#: A message ends this long before its records do, in seconds (design §5).
_RETENTION_MARGIN = 7 * 86400.0

#: Longest life of a message, in seconds.
_LONGEST_LIFE = 30 * 86400.0


class Plan(Value):
    """A submission that can be done, as far as it says itself."""

    message: Message
    category: Category
    start_ms: int
    expires_ms: int
    #: why the steps stand in their order, where it was chosen for the recipient; '' where not
    chosen: str = ""
    #: what the rules about content found, for the sender to know
    warnings: tuple[Finding, ...] = ()


class Composer:
    """Makes plans by one configuration."""

    def __init__(
        self,
        settings: Settings,
        templates: TemplateSet,
        reports: Mapping[str, frozenset[wire.ReceiptEvent]],
        is_kind: Callable[[str], bool],
        wordings: Wordings,
        objections: Mapping[str, Objection],
        misfits: Mapping[str, devices.Misfit] | None = None,
    ) -> None:
        """reports: by account, what its receipts can tell. is_kind: of a provider. objections: by
        account, as `Provider.objection`, of those that have any. misfits: by account, as
        `Provider.misfit`, of all or none."""
        self._settings = settings
        self._is_kind = is_kind
        self._templates = templates
        self.steps = StepMaker(settings, templates, reports, wordings, objections, misfits or {})
        self._any_best = any(one.order is ChainOrder.BEST for one in settings.categories.values())
        self._costs = {
            name: min(settings.providers[one].cost for one in lane.providers)
            for name, lane in settings.lanes.items()
        }

    def plan(
        self, submission: Submission, now_ms: int, reach: Mapping[str, Reach] | None = None
    ) -> Plan:
        """Raises InvalidMessage with every fault that can be told at once. reach: by channel, what
        has reached the recipient before."""
        name, category = self._category(submission)
        self._check_kinds(submission)
        to = check_addresses(submission.to)
        start_ms = self._start_ms(submission, now_ms)
        life = submission.expires_in or category.expires_in
        if life > _LONGEST_LIFE:
            raise invalid("expires_in", "is longer than 30 days")
        steps, skipped = self.steps.make(submission, name, to)
        whom = whom_of(to, submission.recipient, name)
        chosen = ""
        if self.wants_best(submission, category):
            choice = self._choose(steps, category, whom, reach or {})
            steps, skipped, chosen = choice.steps, (*skipped, *choice.skipped), choice.reason
        message = Message(
            category=name,
            priority=category.priority if submission.priority is None else submission.priority,
            chain=steps,
            skipped=skipped,
            mode=submission.mode,
            on_unknown=submission.on_unknown or category.on_unknown,
            life_ms=int(life * 1000),
            template=submission.template,
            data=submission.data,
            content=submission.content,
            metadata=submission.metadata,
            replaces=submission.replaces,
            whom=whom,
        )
        return Plan(
            message=message,
            category=category,
            start_ms=start_ms,
            expires_ms=start_ms + message.life_ms,
            chosen=chosen,
        )

    def wants_best(self, submission: Submission, category: Category | None = None) -> bool:
        """Whether its channels are chosen for the recipient. category: if it is known already."""
        if submission.order is not None or submission.chain:
            return submission.order is ChainOrder.BEST
        if not self._any_best:
            return False
        found = category or self._settings.categories.get(self._category_name(submission))
        return found is not None and found.order is ChainOrder.BEST

    def _choose(
        self,
        steps: Sequence[Step],
        category: Category,
        whom: Whom | None,
        reach: Mapping[str, Reach],
    ) -> Choice:
        """Raises InvalidMessage when every step costs too much."""
        tier = whom.tier if whom is not None else ""
        person = Person(
            preferred=whom.channels if whom is not None else (),
            reach=reach,
            budget=category.budgets.get(tier, category.budget),
        )
        choice = choose(steps, [self._costs[step.lane] * step.units for step in steps], person)
        if not choice.steps:
            reasons = "; ".join(f"{one.channel}: {one.reason}" for one in choice.skipped)
            raise invalid("category", f"no step can be taken ({reasons})")
        return choice

    def _check_kinds(self, submission: Submission) -> None:
        """A table that no provider will ever read is more likely a channel misspelt."""
        for name in kinds_of(submission.content):
            if not self._is_kind(name):
                shown = name if _HARMLESS.fullmatch(name) else "?"
                raise invalid(f"content.{shown}", "is neither a channel nor a kind of provider")

    def _category(self, submission: Submission) -> tuple[str, Category]:
        if submission.template and submission.template not in self._templates:
            raise invalid("template", "there is no template of this name")
        name = self._category_name(submission)
        category = self._settings.categories.get(name)
        if category is None:
            raise invalid("category", "there is no category of this name")
        return name, category

    def _category_name(self, submission: Submission) -> str:
        """Its own, that of its template if there is such, or the usual one."""
        name = submission.category
        if not name and submission.template in self._templates:
            name = self._templates.category(submission.template)
        return name or _DEFAULT_CATEGORY

    def _start_ms(self, submission: Submission, now_ms: int) -> int:
        if submission.send_at is None:
            return now_ms
        at_ms = int(submission.send_at.timestamp() * 1000)
        if at_ms < now_ms - _SKEW * 1000:
            raise invalid("send_at", "lies in the past")
        furthest = min(_YEAR, self._settings.store.retention - _RETENTION_MARGIN)
        if at_ms > now_ms + furthest * 1000:
            days = int(furthest // 86400)
            raise invalid("send_at", f"lies more than {days} days ahead")
        return max(at_ms, now_ms)
