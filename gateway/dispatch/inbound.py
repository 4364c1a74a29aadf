"""What recipients write back: their wishes take effect, and the tenant hears of it.

A text that is a keyword as a whole (`content.keywords`) is a wish. An opt-out bans the address for
the account that brought it, and only for categories that offer a way out (`unsubscribe` or
`consent`): codes and notices go on. An opt-in lifts that ban and no other: neither a hard bounce
nor a recorded refusal of consent. With accounts that share a lane:

- At accept, a step is skipped when none of its lane's accounts may write to the address.
- After claim, a row that this account may not send goes on, at no cost of an attempt, to an account
  of the lane that may, if there is one, and else is suppressed, so that the next step is due. It
  never goes by whoever is quickest: it is pinned to the one that may.

Tied to a message of ours is what names it by the provider's id, else whatever answers the latest
message that the account sent to the address. Its tenant gets `message.received`; without such a
message nobody does, for it might be another tenant's.

A wish may get an answer (`answers`).
A mail to an address of List-Unsubscribe is a refusal of that message's category, as by its link
(`subscriptions`), and no reply.

All that one message causes is one commit, and so is the note that it has been seen to: a second
copy of the same id has no effect for a week. The provider is answered after the commit. Without an
id (SMPP) copies cannot be told from one who says the same twice, and both are reported.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence

from gateway.clock import Clock
from gateway.content import keywords
from gateway.content.keywords import Intent
from gateway.dispatch.addressing import address_of
from gateway.dispatch.answers import Answers
from gateway.dispatch.bans import Bans
from gateway.dispatch.lanes import Bells
from gateway.dispatch.webhooks import Received
from gateway.metrics import Metrics
from gateway.model import wire
from gateway.model.case import Case, Contact, NewMessage, Reply
from gateway.model.message import read_reference
from gateway.store import base

#: Longer than any provider repeats itself.
_KEPT_MS = 7 * 86_400_000

#: Messages that share a commit.
_AT_ONCE = 128

#: Characters that are kept of a text and of a name: longer ones are nobody's.
_TEXT, _NAME = 10_000, 320

#: How wishes are called in webhooks.
_KEYWORDS = {Intent.OPT_OUT: "stop", Intent.OPT_IN: "start", Intent.HELP: "help"}

#: How everything else is called in metrics, and what came before.
_REPLY, _REPEATED = "reply", "repeated"


class Inbound:
    """Takes what recipients write."""

    def __init__(
        self,
        channels: Mapping[str, wire.Channel],
        store: base.Store,
        bans: Bans,
        bells: Bells,
        clock: Clock,
        metrics: Metrics,
        *,
        webhooks: Callable[[Received], Sequence[NewMessage]],
        answers: Answers,
        leave: Callable[[Case, int, int], Awaitable[bool]],
    ) -> None:
        """channels: what the accounts carry, by account. leave: see
        `subscriptions.Subscriptions.leave_part`."""
        self._channels = channels
        self._store = store
        self._bans = bans
        self._bells = bells
        self._clock = clock
        self._metrics = metrics
        self._webhooks = webhooks
        self._answers = answers
        self._leave = leave

    async def take(self, account: str, messages: Sequence[wire.InboundMessage]) -> None:
        """Store what they cause. Raises StoreUnavailable: the provider is to try again."""
        for start in range(0, len(messages), _AT_ONCE):
            await self._take_together(account, messages[start : start + _AT_ONCE])

    async def leave(self, account: str, references: Sequence[str]) -> None:
        """Take it that recipients of these messages want no more of their categories, by mails to
        addresses that name them. Again: harmless. Raises StoreUnavailable as above."""
        for place in map(read_reference, references):
            case = None if place is None else (await self._store.cases([place[0]])).get(place[0])
            left = place and case and await self._leave(case, *place[2:])
            self._metrics.inbound.labels(account, str(Intent.OPT_OUT)).inc()
            if not left:
                self._metrics.inbound_untied.labels(account).inc()

    async def _take_together(self, account: str, messages: Sequence[wire.InboundMessage]) -> None:
        people = [self._who(account, one) for one in messages]
        contacts = [Contact(provider=account, hash=hash_) for _, hash_ in people]
        answered = await self._store.find_answered(
            [(who, _clean(one.answers)) for who, one in zip(contacts, messages, strict=True)]
        )
        cases = await self._store.cases(list({*filter(None, answered)}))
        found = [None if id_ is None else cases.get(id_) for id_ in answered]
        intents = [_intent(one) for one in messages]
        replies = [
            self._reply(account, who, one, intent, case)
            for who, one, intent, case in zip(people, messages, intents, found, strict=True)
        ]
        first = await self._store.take_replies(replies)
        for reply, intent, is_first, case in zip(replies, intents, first, found, strict=True):
            self._note(reply, intent if is_first else None, case)

    def _who(self, account: str, one: wire.InboundMessage) -> tuple[str, str]:
        channel = self._channels[account]
        return self._bans.hashed(channel, address_of(channel, _clean(one.sender)[:_NAME]))

    def _reply(
        self,
        account: str,
        who: tuple[str, str],
        one: wire.InboundMessage,
        intent: Intent,
        case: Case | None,
    ) -> Reply:
        now_ms = self._clock.now_ms()
        webhooks: Sequence[NewMessage] = ()
        answer = None
        if case is not None:
            webhooks = self._webhooks(self._received(account, one, intent, case, now_ms))
            if not one.confirmed:
                answer = self._answers(account, case, (one.sender, who[1]), intent, now_ms)
        return Reply(
            provider=account,
            key=_key(one.provider_id),
            until_ms=now_ms + _KEPT_MS,
            at_ms=now_ms,
            address=who,
            ban=wire.ReceiptEvent.OPTED_OUT if intent is Intent.OPT_OUT else "",
            lifts=intent is Intent.OPT_IN,
            webhooks=webhooks,
            answer=answer,
        )

    def _received(
        self, account: str, one: wire.InboundMessage, intent: Intent, case: Case, now_ms: int
    ) -> Received:
        return Received(
            tenant=case.tenant,
            at_ms=now_ms,
            sender=_clean(one.sender)[:_NAME],
            to=_clean(one.to)[:_NAME],
            text=_clean(one.text)[:_TEXT],
            channel=self._channels[account],
            provider=account,
            answers=case.id,
            metadata=case.message.metadata,
            keyword=_KEYWORDS.get(intent),
        )

    def _note(self, reply: Reply, intent: Intent | None, case: Case | None) -> None:
        """intent: None for a second copy."""
        if intent is None:
            self._metrics.inbound.labels(reply.provider, _REPEATED).inc()
            return
        kind = _REPLY if intent is Intent.NONE else str(intent)
        self._metrics.inbound.labels(reply.provider, kind).inc()
        if case is None:
            self._metrics.inbound_untied.labels(reply.provider).inc()
        if reply.ban:
            self._bans.note_new()
        for webhook in reply.webhooks:
            for row in webhook.rows:
                self._bells.ring(row.lane, row.pin)
        for row in reply.answer.message.rows if reply.answer else ():
            self._bells.ring(row.lane)


def _intent(one: wire.InboundMessage) -> Intent:
    if one.wish is not None:
        return Intent(one.wish)
    return keywords.read(one.text, china=one.sender.startswith("+86"))


def _key(provider_id: str) -> str:
    """The provider's id in a form of fixed length; '' where there is none."""
    if not provider_id:
        return ""
    return hashlib.blake2b(_clean(provider_id).encode(), digest_size=16).hexdigest()


def _clean(text: str) -> str:
    """The same as text that can be stored: adapters make it of what strangers wrote."""
    return text.encode("utf-8", "replace").decode()
