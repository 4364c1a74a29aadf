"""From a step that was asked for to one that can be taken: address, lane, devices, content; or why
it cannot.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from gateway.content import sms
from gateway.content.templates import ContentFault, TemplateFault, TemplateSet, from_content
from gateway.content.templates import is_empty as says_nothing
from gateway.dispatch import devices
from gateway.dispatch import lanes as lane_rules
from gateway.dispatch.addressing import parts_of
from gateway.dispatch.links import NO_URLS
from gateway.dispatch.wordings import Wordings, is_china
from gateway.model import wire
from gateway.model.errors import Fault, InvalidMessage
from gateway.model.message import Skipped, Step
from gateway.model.state import State
from gateway.model.submission import StepRequest, Submission, To
from gateway.settings import Category, Settings

#: Why an account can never carry this content to this address; empty when it may.
Objection: TypeAlias = Callable[[wire.Content, wire.Address], str]

#: Why steps are skipped, when it is not for what they say.
_NOT_SAID = _NO_ADDRESS, _NO_LANE, _NO_CONTENT = "no address", "no lane serves it", "no content"

#: Stands for content that has not been rendered.
_UNSEEN = wire.Content()


class StepMaker:
    """Makes steps by one configuration."""

    def __init__(
        self,
        settings: Settings,
        templates: TemplateSet,
        reports: Mapping[str, frozenset[wire.ReceiptEvent]],
        wordings: Wordings,
        objections: Mapping[str, Objection],
        misfits: Mapping[str, devices.Misfit],
    ) -> None:
        """As for `Composer`."""
        self._settings = settings
        self._templates = templates
        self._wordings = wordings
        self._objections = objections
        self._misfits = misfits
        self._kinds = {
            name: frozenset(settings.providers[one].kind for one in lane.providers)
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

    def make(
        self, submission: Submission, name: str, to: To
    ) -> tuple[tuple[Step, ...], tuple[Skipped, ...]]:
        """The steps of a submission of this category, and those that cannot be taken. Raises
        InvalidMessage when none can."""
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
            raise invalid(field, f"no step can be taken ({reasons or 'the chain is empty'})")
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
        if objection := self.objection(lane, content, parts):
            return Skipped(channel=channel, reason=objection)
        until = asked.until or State.SENT
        if not self._can_tell(lane, until) and asked.within is None:
            raise invalid(
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
            units=units_of(parts[0], content) if channel is wire.Channel.SMS else 1,
        )

    def objection(self, lane: str, content: wire.Content, parts: Sequence[wire.Address]) -> str:
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
            raise invalid(f"content.{fault.field}", fault.reason) from None
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
            raise invalid("data", str(fault)) from None


def _chain(category: Category) -> Sequence[StepRequest]:
    return [
        StepRequest(channel=step.channel, until=step.until, within=step.within)
        for step in category.chain
    ]


def units_of(address: wire.Address, content: wire.Content) -> int:
    """SMS segments that a text takes."""
    return sms.count(content.text, china=is_china(address))


def invalid(field: str, detail: str) -> InvalidMessage:
    """Of one field, as callers name it."""
    return InvalidMessage("the message cannot be sent as it is", [Fault(field, detail)])
