"""What people have agreed to and refused, and who wins where the two speak of the same thing.

A wish is about one category of a tenant and one name: an address, or somebody's id. Of all wishes
about the same, the latest by its own time holds, whatever the order in which they came to us. So a
list that is read in again and again changes nothing, since it carries old dates: it neither undoes
a refusal that came after them nor a permission. Of two at the same time, the refusal holds.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeAlias

from gateway.model.case import NewMessage
from gateway.model.values import Value, replace

#: What a permission or a ban is about: a channel, or `RECIPIENT` with or without one, and the keyed
#: hash of the address or the id.
Hashed: TypeAlias = tuple[str, str]

#: In place of a channel: somebody by the tenant's own id, on all channels, and on one of them.
RECIPIENT = "recipient"


def by_recipient(channel: str = "") -> str:
    """What stands in place of a channel for somebody named by the tenant's own id."""
    return f"{RECIPIENT}:{channel}" if channel else RECIPIENT


class Reason(StrEnum):
    """Why somebody is not written to."""

    OPT_OUT = "opt_out"  # their own wish; holds for what can be refused, and for nothing else
    COMPLAINT = "complaint"  # they reported a message as unwanted
    HARD_BOUNCE = "hard_bounce"  # the address does not exist
    MANUAL = "manual"  # somebody decided so
    IMPORT = "import"  # it stood in a list


class Suppression(Value):
    """A recorded ban of one name."""

    channel: str
    hash: str
    reason: Reason
    #: who says so: a provider account, `recipient`, or a tenant's own words
    source: str
    #: UTC epoch milliseconds
    at_ms: int
    #: '' for everybody
    tenant: str = ""
    #: '' for all that the reason holds for
    category: str = ""
    #: the provider account that must not write to them; '' none may
    sender: str = ""
    #: the provider's own word for it; may be empty
    detail: str = ""
    #: when it ends; None: never
    until_ms: int | None = None
    #: of the record; 0 before it is one
    id: int = 0


class SuppressionFilter(Value):
    """Which suppressions, the last recorded first."""

    #: whose; '' those that hold for everybody
    tenant: str
    channel: str = ""
    category: str = ""
    reason: str = ""
    #: only those recorded before this one; 0: from the start
    cursor: int = 0
    limit: int = 50


class Consent(Value):
    """A recorded permission."""

    tenant: str
    category: str
    channel: str
    hash: str
    source: str
    #: the tenant's own reference to what proves it
    proof: str
    #: when it was given, UTC epoch milliseconds
    at_ms: int
    #: when it ends; None: never
    until_ms: int | None = None

    def __repr__(self) -> str:
        """Without the proof, wherever it is logged."""
        return f"Consent(tenant={self.tenant!r}, category={self.category!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """The same for tracebacks in colour, which would show all fields."""
        return [("tenant", self.tenant), ("category", self.category)]


class Wish(Value):
    """Somebody agrees to a category of a tenant, or refuses it."""

    tenant: str
    category: str
    name: Hashed
    agrees: bool
    #: when they said so, UTC epoch milliseconds
    at_ms: int
    source: str
    proof: str = ""
    until_ms: int | None = None
    #: said to us just now, hence later than all that is recorded, whatever the clocks of nodes say
    firm: bool = False
    #: our reports to the tenant, if it changes whether they have refused
    webhooks: Sequence[NewMessage] = ()
    #: it does, as what it ends is recorded under other keys than its own
    turns: bool = False

    @property
    def key(self) -> "Key":
        return (self.tenant, self.category, *self.name)

    def __repr__(self) -> str:
        """Without the proof, wherever it is logged."""
        return f"Wish(tenant={self.tenant!r}, category={self.category!r}, agrees={self.agrees})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """The same for tracebacks in colour, which would show all fields."""
        return [("tenant", self.tenant), ("category", self.category), ("agrees", self.agrees)]


#: (tenant, category, channel, hash)
Key: TypeAlias = tuple[str, str, str, str]


class Standing(Value):
    """What is recorded about one key: times, None without one."""

    agreed_ms: int | None = None
    refused_ms: int | None = None

    @property
    def latest_ms(self) -> int | None:
        known = [one for one in (self.agreed_ms, self.refused_ms) if one is not None]
        return max(known, default=None)


NOTHING = Standing()


class Outcome(StrEnum):
    """What became of a wish."""

    RECORDED = "recorded"
    REFUSED = "refused"  # a refusal that is as late or later stands
    SUPERSEDED = "superseded"  # of the same kind, or a permission, that is later is there


class Settled(Value):
    """What wishes come to."""

    #: one for each wish
    outcomes: Sequence[Outcome]
    #: the last word about each key that has changed
    agreed: Sequence[Wish]
    refused: Sequence[Wish]
    webhooks: Sequence[NewMessage]

    @property
    def keys(self) -> Sequence[Key]:
        """All that have changed; what was recorded about them is void."""
        return [one.key for one in (*self.agreed, *self.refused)]


def _dated(wish: Wish, standing: Standing) -> Wish:
    """The wish with the time that it is recorded under."""
    if not wish.firm or standing.latest_ms is None:
        return wish
    return replace(wish, at_ms=max(wish.at_ms, standing.latest_ms + 1))


def settle(wish: Wish, standing: Standing) -> tuple[Outcome, Standing]:
    """What becomes of a wish, and what stands then."""
    if wish.agrees and standing.refused_ms is not None and standing.refused_ms >= wish.at_ms:
        return Outcome.REFUSED, standing
    there = standing.agreed_ms if wish.agrees else standing.latest_ms
    if there is not None and there > wish.at_ms:
        return Outcome.SUPERSEDED, standing
    if wish.agrees:
        return Outcome.RECORDED, Standing(agreed_ms=wish.at_ms)
    return Outcome.RECORDED, Standing(refused_ms=wish.at_ms)


def settle_all(wishes: Sequence[Wish], standings: Mapping[Key, Standing]) -> Settled:
    """The same for wishes in turn, of which several may be about one key."""
    stands = dict(standings)
    outcomes: list[Outcome] = []
    last: dict[Key, Wish] = {}
    webhooks: list[NewMessage] = []
    for said in wishes:
        before = stands.get(said.key, NOTHING)
        wish = _dated(said, before)
        outcome, after = settle(wish, before)
        outcomes.append(outcome)
        if outcome is not Outcome.RECORDED:
            continue
        stands[wish.key] = after
        last[wish.key] = wish
        if wish.turns or (before.refused_ms is None) != (after.refused_ms is None):
            webhooks += wish.webhooks
    return Settled(
        outcomes=outcomes,
        agreed=[one for one in last.values() if one.agrees],
        refused=[one for one in last.values() if not one.agrees],
        webhooks=webhooks,
    )


def refusal(wish: Wish) -> Suppression:
    """A refusal as it is kept."""
    channel, hash_ = wish.name
    return Suppression(
        channel=channel,
        hash=hash_,
        tenant=wish.tenant,
        category=wish.category,
        reason=Reason.OPT_OUT,
        source=wish.source,
        at_ms=wish.at_ms,
        until_ms=wish.until_ms,
    )


class Choice(Value):
    """A category on the page where somebody chooses what they get."""

    category: str
    title: str
    #: whether they get it now
    wanted: bool
