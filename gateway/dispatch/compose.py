"""From what was asked for to what will be done: category defaults, addresses, lanes, content.

Pure and synchronous: what must be looked up is the caller's, before (what has reached somebody) and
after (bans, permissions).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from gateway.content import sms
from gateway.content.templates import (
    ContentFault,
    TemplateFault,
    TemplateSet,
    from_content,
    kinds_of,
)
from gateway.content.templates import is_empty as says_nothing
from gateway.dispatch import devices
from gateway.dispatch import lanes as lane_rules
from gateway.dispatch.addressing import check_addresses, parts_of, whom_of
from gateway.dispatch.channel_choice import Choice, Person, Reach, choose
from gateway.dispatch.links import NO_URLS
from gateway.dispatch.wordings import Wordings, is_china
from gateway.model import wire
from gateway.model.errors import Fault, InvalidMessage
from gateway.model.lint import Finding
from gateway.model.message import ChainOrder, Message, Skipped, Step, Whom
from gateway.model.state import State
from gateway.model.submission import StepRequest, Submission, To
from gateway.model.values import Value
from gateway.settings import Category, Settings

#: Why steps are skipped, when it is not for what they say.
_NOT_SAID = _NO_ADDRESS, _NO_LANE, _NO_CONTENT = "no address", "no lane serves it", "no content"

#: Category of messages that name none, and whose template names none.
_DEFAULT_CATEGORY = "service"

#: What may be repeated of a name that the caller chose.
_HARMLESS = re.compile(r"[a-z][a-z0-9_]{0,31}")

#: How far a clock may be off before `send_at` counts as past, in seconds.
_SKEW = 5.0

#: Why an account can never carry this content to this address; empty when it may.
Objection: TypeAlias = Callable[[wire.Content, wire.Address], str]

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
        self._wordings = wordings
        self._objections = objections
        self._misfits = misfits or {}
        self._templates = templates
        self._kinds = {
            name: frozenset(settings.providers[one].kind for one in lane.providers)
            for name, lane in settings.lanes.items()
        }
        self._any_best = any(one.order is ChainOrder.BEST for one in settings.categories.values())
        self._costs = {
            name: min(settings.providers[one].cost for one in lane.providers)
            for name, lane in settings.lanes.items()
        }
        #: lanes all of whose accounts look at what they carry, and not those of mails, which are
        #: long: it is not worth while to render them twice
        self._weighed = frozenset(
            name
            for name, lane in settings.lanes.items()
            if lane.channel is not wire.Channel.EMAIL
            and all(one in objections for one in lane.providers)
        )
        self._chains = {name: _chain(category) for name, category in settings.categories.items()}
        self._reports = {
            name: frozenset().union(*(reports[one] for one in lane.providers))
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
            raise _invalid("expires_in", "is longer than 30 days")
        steps, skipped = self._steps(submission, name, to)
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
            raise _invalid("category", f"no step can be taken ({reasons})")
        return choice

    def _check_kinds(self, submission: Submission) -> None:
        """A table that no provider will ever read is more likely a channel misspelt."""
        for name in kinds_of(submission.content):
            if not self._is_kind(name):
                shown = name if _HARMLESS.fullmatch(name) else "?"
                raise _invalid(f"content.{shown}", "is neither a channel nor a kind of provider")

    def _category(self, submission: Submission) -> tuple[str, Category]:
        if submission.template and submission.template not in self._templates:
            raise _invalid("template", "there is no template of this name")
        name = self._category_name(submission)
        category = self._settings.categories.get(name)
        if category is None:
            raise _invalid("category", "there is no category of this name")
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
            raise _invalid("send_at", "lies in the past")
        furthest = min(_YEAR, self._settings.store.retention - _RETENTION_MARGIN)
        if at_ms > now_ms + furthest * 1000:
            days = int(furthest // 86400)
            raise _invalid("send_at", f"lies more than {days} days ahead")
        return max(at_ms, now_ms)

    def _steps(
        self, submission: Submission, name: str, to: To
    ) -> tuple[tuple[Step, ...], tuple[Skipped, ...]]:
        steps: list[Step] = []
        skipped: list[Skipped] = []
        for place, asked in enumerate(submission.chain or self._chains[name]):
            field = f"chain[{place}]" if submission.chain else "category"
            made = self._step(asked, field, submission, name, to)
            if isinstance(made, Step):
                steps.append(made)
            else:
                skipped.append(made)
        if not steps:
            reasons = "; ".join(f"{one.channel}: {one.reason}" for one in skipped)
            said = "template" if submission.template else "content"
            field = "to" if all(one.reason in _NOT_SAID for one in skipped) else said
            raise _invalid(field, f"no step can be taken ({reasons or 'the chain is empty'})")
        return tuple(steps), tuple(skipped)

    def _step(
        self, asked: StepRequest, field: str, submission: Submission, category: str, to: To
    ) -> Step | Skipped:
        channel = wire.Channel(asked.channel)
        parts = parts_of(to, channel)
        if not parts:
            return Skipped(channel=channel, reason=_NO_ADDRESS)
        lane = lane_rules.match(
            self._settings.lanes, channel=channel, category=category, address=parts[0]
        )
        if lane is None:
            return Skipped(channel=channel, reason=_NO_LANE)
        if channel in (wire.Channel.PUSH, wire.Channel.WEBHOOK):
            accounts = self._settings.lanes[lane].providers
            misfits = [self._misfits[one] for one in accounts if one in self._misfits]
            parts = devices.usable(parts, misfits, submission.recipient)
            if not parts:
                return Skipped(channel=channel, reason=_NO_ADDRESS)
        content = self._first_look(submission, channel, lane)
        if content is None:
            return Skipped(channel=channel, reason=_NO_CONTENT)
        if channel is wire.Channel.SMS:
            content = self._wordings.apply(content, lane=lane, category=category, to=parts[0])
        if objection := self._objection(lane, content, parts):
            return Skipped(channel=channel, reason=objection)
        until = asked.until or State.SENT
        if not self._can_tell(lane, until) and asked.within is None:
            raise _invalid(
                f"{field}.until",
                f"no provider of lane {lane} reports `{until}`: the chain would never go on; "
                "set `within`",
            )
        return Step(
            channel=channel,
            lane=lane,
            parts=parts,
            until=until,
            within=asked.within,
            units=_units(parts[0], content) if channel is wire.Channel.SMS else 1,
        )

    def _objection(self, lane: str, content: wire.Content, parts: Sequence[wire.Address]) -> str:
        """Why no account of the lane can ever carry any of it; empty when one may."""
        if content is _UNSEEN or not all(
            one in self._objections for one in self._settings.lanes[lane].providers
        ):
            return ""
        reasons = []
        for account in self._settings.lanes[lane].providers:
            each = [self._objections[account](content, part) for part in parts]
            if not all(each):
                return ""
            reasons.append(f"{account}: {each[0]}")
        return "; ".join(reasons)

    def _can_tell(self, lane: str, until: State) -> bool:
        return lane_rules.can_tell(self._reports[lane], until)

    def _first_look(
        self, submission: Submission, channel: wire.Channel, lane: str
    ) -> wire.Content | None:
        """What it says on a channel, None for nothing. Templates are rendered where a length counts
        or every account may object; elsewhere it is enough that they have their variables."""
        if submission.template:
            return self._look_at_template(submission, channel, lane)
        try:
            content = from_content(submission.content, channel, self._kinds[lane])
        except ContentFault as fault:
            raise _invalid(f"content.{fault.field}", fault.reason) from None
        # a subject does for a mail, but no SMS shows it
        shown = content.text or content.provider_templates or channel is not wire.Channel.SMS
        return content if shown and not says_nothing(content) else None

    def _look_at_template(
        self, submission: Submission, channel: wire.Channel, lane: str
    ) -> wire.Content | None:
        name, data, kinds = submission.template, submission.data, self._kinds[lane]
        if not self._templates.offers(name, channel, kinds):
            return None
        known = {**NO_URLS, **data} if channel is wire.Channel.EMAIL else data
        if absent := self._templates.missing(name, known, [channel], kinds):
            raise InvalidMessage(
                "the template needs variables that `data` does not have",
                [Fault(f"data.{one}", "is missing") for one in absent],
            )
        if channel is not wire.Channel.SMS and lane not in self._weighed:
            return _UNSEEN
        try:
            return self._templates.render(name, channel, data, kinds)
        except TemplateFault as fault:
            raise _invalid("data", str(fault)) from None


def _chain(category: Category) -> Sequence[StepRequest]:
    return [
        StepRequest(channel=step.channel, until=step.until, within=step.within)
        for step in category.chain
    ]


#: Stands for content that has not been rendered.
_UNSEEN = wire.Content()


def _units(address: wire.Address, content: wire.Content) -> int:
    """SMS segments that a text takes."""
    return sms.count(content.text, china=is_china(address))


def _invalid(field: str, detail: str) -> InvalidMessage:
    return InvalidMessage("the message cannot be sent as it is", [Fault(field, detail)])
