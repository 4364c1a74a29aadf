"""How recipients leave categories of a tenant and come back: the link in each mail, and its use.

RFC 8058 (one click), RFC 2369 (List-Unsubscribe). What somebody does by a link is later than all
that is recorded. It is about the address that the mail went to, and about the tenant's own id of
them, on this channel, where the link names one and the tenant has recorded anything by it. What
stands against them on all channels stays on the others. The tenant hears of it by webhook, in the
same commit, and of no more than it knew: channel, category, and its own id of the recipient if it
gave us one with the mail.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence

from gateway.clock import Clock
from gateway.dispatch.bans import Bans
from gateway.dispatch.lanes import Bells
from gateway.dispatch.links import NO_URLS, Links, Place
from gateway.dispatch.webhooks import LEFT, RETURNED, Moved
from gateway.model import wire
from gateway.model.case import Case, Claimed, NewMessage
from gateway.model.permission import (
    RECIPIENT,
    Choice,
    Consent,
    Hashed,
    Reason,
    Suppression,
    Wish,
    by_recipient,
)
from gateway.model.values import Value, replace
from gateway.settings import Category

_log = logging.getLogger(__name__)

#: Ends a feedback id: names the sender, in 5 to 15 characters, the same in all mail.
_SENDER = "gateway"
#: What is recorded as the source of a wish, and as its proof where it is a permission.
_SOURCE, _PROOF = "recipient", "preferences page"


class _State(Value):
    """What is recorded about somebody and a tenant, under any of their names."""

    refusals: Sequence[Suppression]
    consents: Sequence[Consent]

    def against(self, category: str) -> Sequence[Suppression]:
        """What refuses it, by itself or with all others."""
        return [one for one in self.refusals if one.category in ("", category)]

    def about(self, category: str) -> Sequence[Suppression | Consent]:
        """All that counts for it."""
        agreed = [one for one in self.consents if one.category == category]
        return [*self.against(category), *agreed]

    @property
    def refused(self) -> frozenset[str]:
        """Categories; '' all of them."""
        return frozenset(one.category for one in self.refusals)

    @property
    def agreed(self) -> frozenset[str]:
        return frozenset(one.category for one in self.consents)


class Subscriptions:
    """Makes links and honours them. Implements the edge's `Subscriptions`."""

    def __init__(
        self,
        bans: Bans,
        bells: Bells,
        clock: Clock,
        key: bytes,
        *,
        public_url: str,
        categories: Mapping[str, Category],
        webhooks: Callable[[Moved], Sequence[NewMessage]],
    ) -> None:
        """key: secret, of the store. categories: all that are configured."""
        self._bans = bans
        self._bells = bells
        self._clock = clock
        self._links = Links(key)
        self._categories = {
            name: one for name, one in categories.items() if one.unsubscribe or one.consent
        }
        self._webhooks = webhooks
        # one click needs https (RFC 8058 §3.1)
        self._url = f"{public_url}/u/" if public_url.startswith("https://") else ""

    def prepare(self, row: Claimed, content: wire.Content) -> wire.Content:
        """The content with the headers that its category asks for; the caller's own link stays."""
        step = row.case.message.chain[row.step]
        category = row.case.message.category
        if step.channel is not wire.Channel.EMAIL or not self._can_leave(category):
            return content
        extra: dict[str, object] = {"feedback_id": _feedback_id(row.case.tenant, category)}
        if not content.extra.get("list_unsubscribe"):
            extra["can_leave"] = True  # by a mail as well, where the account has an address for it
            if self._url:
                extra["list_unsubscribe"] = self._url + self._token(row)
        return replace(content, extra={**content.extra, **extra})

    def urls(self, row: Claimed) -> Mapping[str, str]:
        """What templates of email can name: the page with one button, and that with all boxes."""
        message = row.case.message
        is_email = message.chain[row.step].channel is wire.Channel.EMAIL
        if not message.template or not is_email or not self._url:
            return NO_URLS
        if not self._can_leave(message.category):
            return NO_URLS
        url = self._url + self._token(row)
        return {"unsubscribe_url": url, "preferences_url": f"{url}/preferences"}

    def _can_leave(self, category: str) -> bool:
        return category in self._categories and self._categories[category].unsubscribe

    def _token(self, row: Claimed) -> str:
        return self._links.token(self._place(row.case, row.step, row.part))

    def _place(self, case: Case, step: int, part: int) -> Place:
        one = case.message.chain[step]
        address = one.parts[part]
        channel, hash_ = self._bans.hashed(one.channel, address)
        return Place(
            tenant=case.tenant,
            category=case.message.category,
            channel=channel,
            hash=hash_,
            recipient=address.recipient,
        )

    def known(self, token: str) -> bool:
        """Whether the token is one of ours. Changes nothing."""
        return self._links.read(token) is not None

    async def leave(self, token: str) -> bool:
        """Nothing more of that tenant's category to that address; False for a token of nobody's.

        Again: harmless. Raises StoreUnavailable.
        """
        place = self._links.read(token)
        if place is None:
            return False
        await self._leave(place)
        return True

    async def leave_part(self, case: Case, step: int, part: int) -> bool:
        """The same for whom a part of a message was to; False where there is none, or where nobody
        knows any more. Raises StoreUnavailable."""
        chain = case.message.chain
        if case.message.erased or step >= len(chain) or part >= len(chain[step].parts):
            return False
        await self._leave(self._place(case, step, part))
        return True

    async def _leave(self, place: Place) -> None:
        state = await self._state(place)
        await self._take(self._wishes(place, state, place.category, agrees=False))
        _log.info("recipient_left tenant=%s category=%s", place.tenant, place.category)

    async def choices(self, token: str) -> Sequence[Choice] | None:
        """What somebody can choose, and what they have chosen; None for a token of nobody's.

        A category that needs a permission is offered once there has been one, or a refusal: the
        page brings back what was left by mistake, and signs nobody up who merely got a mail
        forwarded. Raises StoreUnavailable.
        """
        place = self._links.read(token)
        return None if place is None else self._choices(place, await self._state(place))

    async def choose(self, token: str, wanted: Collection[str]) -> bool:
        """Of the categories on the page these and no others; False for a token of nobody's."""
        place = self._links.read(token)
        if place is None:
            return False
        state = await self._state(place)
        choices = self._choices(place, state)
        # what is said of each category stands in the place of a refusal of all
        is_each = "" in state.refused and any(one.category in wanted for one in choices)
        said = {
            one.category: one.category in wanted
            for one in choices
            if is_each or one.wanted != (one.category in wanted)
        }
        wishes = [
            wish
            for category, agrees in said.items()
            for wish in self._wishes(place, state, category, agrees=agrees)
        ]
        ended = [
            one
            for one in state.refusals
            if (is_each and not one.category) or said.get(one.category, False)
        ]
        if wishes:
            await self._take([*wishes, *_elsewhere(place, ended)])
        # all others have been ended by the wish that was about the same
        if wide := [one.id for one in ended if not one.category or one.channel == RECIPIENT]:
            await self._bans.lift_records(place.tenant, wide)
        _log.info("recipient_chose tenant=%s changes=%d", place.tenant, len(said))
        return True

    async def _state(self, place: Place) -> _State:
        names = self._names(place)
        found = await self._bans.among(names)
        refusals = [
            ban
            for name in names
            for ban in found.get(name, ())
            if ban.reason is Reason.OPT_OUT and ban.tenant == place.tenant and not ban.sender
        ]
        return _State(refusals=refusals, consents=await self._bans.consents(place.tenant, names))

    def _names(self, place: Place) -> Sequence[Hashed]:
        """All names by which they may have agreed or refused, the address first."""
        name = (place.channel, place.hash)
        if not place.recipient:
            return [name]
        hash_ = self._bans.hash_recipient(place.tenant, place.recipient)
        return [name, (RECIPIENT, hash_), (by_recipient(place.channel), hash_)]

    def _choices(self, place: Place, state: _State) -> Sequence[Choice]:
        return [
            Choice(
                category=name,
                title=one.title or name,
                wanted=not state.against(name) and (not one.consent or name in state.agreed),
            )
            for name, one in self._categories.items()
            if not one.consent or name in state.agreed or name in {place.category, *state.refused}
        ]

    def _wishes(
        self, place: Place, state: _State, category: str, *, agrees: bool
    ) -> Sequence[Wish]:
        """One for each name that it goes under; the first brings the news."""
        now_ms = self._clock.now_ms()
        news = Moved(
            tenant=place.tenant,
            at_ms=now_ms,
            event=RETURNED if agrees else LEFT,
            channel=place.channel,
            category=category,
            recipient=place.recipient,
        )
        first = Wish(
            tenant=place.tenant,
            category=category,
            name=(place.channel, place.hash),
            agrees=agrees,
            at_ms=now_ms,
            source=_SOURCE,
            proof=_PROOF if agrees else "",
            firm=True,
            webhooks=self._webhooks(news),
            turns=agrees and bool(state.against(category)),
        )
        by_id = by_recipient(place.channel)
        hashes = {one.hash for one in state.about(category) if one.channel in (RECIPIENT, by_id)}
        others = [replace(first, name=(by_id, one), webhooks=(), turns=False) for one in hashes]
        return [first, *others]

    async def _take(self, wishes: Sequence[Wish]) -> None:
        await self._bans.take(wishes)
        for wish in wishes:
            for webhook in wish.webhooks:
                for row in webhook.rows:
                    self._bells.ring(row.lane, row.pin)


def _elsewhere(place: Place, ended: Sequence[Suppression]) -> Sequence[Wish]:
    """What refusals on all channels that end on this one come to on the others."""
    return [
        Wish(
            tenant=place.tenant,
            category=one.category,
            name=(by_recipient(channel), one.hash),
            agrees=False,
            at_ms=one.at_ms,
            source=one.source,
            until_ms=one.until_ms,
        )
        for one in ended
        if one.channel == RECIPIENT
        for channel in wire.Channel
        if channel != place.channel
    ]


def _feedback_id(tenant: str, category: str) -> str:
    """`category:tenant:sender`, as Gmail's feedback loop counts complaints by.

    No name may be in two fields. https://support.google.com/mail/answer/6254652
    """
    return ":".join(dict.fromkeys((category, tenant, _SENDER)))
