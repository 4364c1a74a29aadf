"""What recipients get back for STOP, START and HELP, where a lane says so.

After STOP one confirmation may go out, within five minutes and without offers (47 CFR
64.1200(a)(12)). It is a message of the tenant whose message was answered, in a category that
nobody can refuse, and leaves by the account that was written to, or people would not know whom they
have stopped. One a day to an address for each wish: two machines could go on for ever.

Who has got nothing from us gets no answer either: numbers can be forged, and answers cost money.
"""

import re
from collections.abc import Callable, Mapping

from gateway.content import sms
from gateway.content.keywords import Intent
from gateway.dispatch.rows import first_rows
from gateway.dispatch.wordings import Wordings, is_china
from gateway.model import entropy, wire
from gateway.model.case import Answer, Case, NewMessage
from gateway.model.message import Message, Step, encode, new_id
from gateway.model.state import State
from gateway.model.values import replace
from gateway.settings import Settings

#: A later one would be another message, and not the confirmation.
_LIFE_MS = 5 * 60_000

#: Between two answers of a kind to the same address.
_PAUSE_MS = 86_400_000

#: E.164; short codes are machines.
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")


class Answers:
    """Makes them."""

    def __init__(
        self,
        settings: Settings,
        wordings: Wordings,
        objections: Mapping[str, Callable[[wire.Content, wire.Address], str]],
    ) -> None:
        """objections: by account, why its service cannot carry a content."""
        self._settings = settings
        self._wordings = wordings
        self._objections = objections
        self._texts = {
            name: {
                Intent.OPT_OUT: lane.sms.answers.stop,
                Intent.OPT_IN: lane.sms.answers.start,
                Intent.HELP: lane.sms.answers.help,
            }
            for name, lane in settings.lanes.items()
            if lane.sms.answers.category
        }

    def __call__(
        self, account: str, case: Case, to: tuple[str, str], intent: Intent, now_ms: int
    ) -> Answer | None:
        """The answer to who wrote to the account. case: the message that they answered.

        to: their address, and its hash.
        """
        phone, hash_ = to
        lane = self._lane(account, case)
        text = self._texts.get(lane, {}).get(intent, "")
        if not text or not _NUMBER.fullmatch(phone):
            return None
        category = self._settings.lanes[lane].sms.answers.category
        address = wire.Address(phone=phone)
        content = self._wordings.apply(
            wire.Content(text=text), lane=lane, category=category, to=address
        )
        if self._objections[account](content, address):
            return None
        step = Step(
            channel=wire.Channel.SMS,
            lane=lane,
            parts=(address,),
            units=sms.count(content.text, china=is_china(address)),
        )
        message = Message(
            category=category,
            priority=self._settings.categories[category].priority,
            chain=(step,),
            life_ms=_LIFE_MS,
            content={"text": text},
            metadata={"answers": case.id},
        )
        made = self._new(message, account=account, tenant=case.tenant, now_ms=now_ms)
        return Answer(message=made, key=f"answer:{intent}:{hash_}", until_ms=now_ms + _PAUSE_MS)

    def _lane(self, account: str, case: Case) -> str:
        """By which the account has sent what they answered; '' without such answers."""
        lanes = [step.lane for step in case.message.chain if step.lane in self._texts]
        named = (lane for lane in lanes if account in self._settings.lanes[lane].providers)
        return next(named, "")

    def _new(self, message: Message, *, account: str, tenant: str, now_ms: int) -> NewMessage:
        id_ = new_id(now_ms, entropy.draw(10))
        owner = self._settings.tenants.get(tenant)
        rows = first_rows(
            message,
            id=id_,
            flow=tenant,
            weight=owner.weight if owner else 1.0,
            start_ms=now_ms,
            expires_ms=now_ms + message.life_ms,
        )
        return NewMessage(
            id=id_,
            tenant=tenant,
            category=message.category,
            internal=False,
            created_ms=now_ms,
            expires_ms=now_ms + message.life_ms,
            body=encode(message),
            state=State.QUEUED,
            rows=[replace(row, pin=account) for row in rows],
        )
