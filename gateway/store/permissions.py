"""What is kept of whom not to write to, and of what people agreed to: the fourth protocol.

Names are (channel, keyed hash), see `model.permission.Hashed`: nobody can be read from them.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from gateway.model.case import Reply
from gateway.model.permission import (
    Consent,
    Hashed,
    Key,
    Outcome,
    Reason,
    Settled,
    Standing,
    Suppression,
    SuppressionFilter,
    Wish,
    refusal,
)


class Permissions(Protocol):
    """Recorded bans and permissions. What has expired is as if it were not there."""

    async def has_suppressions(self) -> bool:
        """Whether there are any at all; expired ones may count until they are deleted."""
        ...

    async def suppressed(
        self, names: Sequence[Hashed], *, now_ms: int
    ) -> Mapping[Hashed, Sequence[Suppression]]:
        """All bans of those that have any, whomever they hold for."""
        ...

    async def suppress(self, bans: Sequence[Suppression]) -> None:
        """Record bans. Of two for the same reason and scope the one of the later time stays."""
        ...

    async def lift(
        self, tenant: str, names: Sequence[Hashed], *, category: str = "", reason: str = ""
    ) -> int:
        """Forget the bans of names that hold for a tenant ('' for everybody), if given only those
        of a category and for a reason; how many."""
        ...

    async def lift_records(self, tenant: str, ids: Sequence[int]) -> int:
        """Forget bans by their records, those that are the tenant's; how many."""
        ...

    async def list_suppressions(
        self, wanted: SuppressionFilter, *, now_ms: int
    ) -> Sequence[Suppression]: ...

    async def consented(
        self, tenant: str, category: str, names: Sequence[Hashed], *, now_ms: int
    ) -> frozenset[Hashed]:
        """Those that have a recorded permission."""
        ...

    async def consents(
        self, tenant: str, names: Sequence[Hashed], *, now_ms: int
    ) -> Sequence[Consent]:
        """What a tenant has recorded of these."""
        ...

    async def forget_consents(self, tenant: str, names: Sequence[Hashed]) -> None:
        """Forget what a tenant has recorded that these agreed to, with what proves it."""
        ...

    async def take_wishes(self, wishes: Sequence[Wish], *, now_ms: int) -> Sequence[Outcome]:
        """Record each unless something later stands (`model.permission.settle_all`), and queue the
        reports of those that change something."""
        ...


def ban_of(row: Sequence[Any]) -> Suppression:
    """row: id, tenant, category, channel, hash, sender, reason, detail, source, at_ms, until_ms."""
    return Suppression(
        id=row[0],
        tenant=row[1],
        category=row[2],
        channel=row[3],
        hash=row[4],
        sender=row[5],
        reason=Reason(row[6]),
        detail=row[7],
        source=row[8],
        at_ms=row[9],
        until_ms=row[10],
    )


def bans_by_name(bans: Collection[Suppression]) -> Mapping[Hashed, Sequence[Suppression]]:
    """The same by what they are about, the first recorded first."""
    found: dict[Hashed, list[Suppression]] = {}
    for ban in sorted(bans, key=lambda ban: ban.id):
        found.setdefault((ban.channel, ban.hash), []).append(ban)
    return found


def ban_by(reply: Reply) -> Suppression:
    """What somebody's wish in a reply comes to: it is about the account that it was written to."""
    channel, hash_ = reply.address
    return Suppression(
        channel=channel,
        hash=hash_,
        sender=reply.provider,
        reason=Reason.OPT_OUT,
        detail=reply.ban,
        source=reply.provider,
        at_ms=reply.at_ms,
    )


def latest(bans: Collection[Suppression]) -> Sequence[Suppression]:
    """Of those for the same reason and scope the one of the latest time: one statement writes each
    record once."""
    found: dict[Sequence[Any], Suppression] = {}
    for ban in bans:
        place = row_of_ban(ban)[:6]
        if place not in found or found[place].at_ms <= ban.at_ms:
            found[place] = ban
    return list(found.values())


def row_of_ban(ban: Suppression) -> Sequence[Any]:
    """As `put_suppressions` takes it."""
    return (
        ban.tenant,
        ban.category,
        ban.channel,
        ban.hash,
        ban.sender,
        str(ban.reason),
        ban.detail,
        ban.source,
        ban.at_ms,
        ban.until_ms,
    )


def row_of_consent(wish: Wish) -> Sequence[Any]:
    """As `put_consents` takes it."""
    return (*wish.key, wish.source, wish.proof, wish.at_ms, wish.until_ms)


def consent_of(row: Sequence[Any]) -> Consent:
    """row: tenant, category, channel, hash, source, proof, at_ms, until_ms."""
    return Consent(
        tenant=row[0],
        category=row[1],
        channel=row[2],
        hash=row[3],
        source=row[4],
        proof=row[5],
        at_ms=row[6],
        until_ms=row[7],
    )


def standings_of(rows: Collection[Sequence[Any]]) -> Mapping[Key, Standing]:
    """rows: tenant, category, channel, hash, agreed_ms, refused_ms."""
    return {
        (row[0], row[1], row[2], row[3]): Standing(agreed_ms=row[4], refused_ms=row[5])
        for row in rows
    }


def writes_of(settled: Settled) -> Sequence[tuple[str, Sequence[Sequence[Any]]]]:
    """Queries and their rows, in the order in which they record what wishes come to."""
    return (
        ("drop_consents", settled.keys),
        ("drop_refusals", settled.keys),
        ("put_consents", [row_of_consent(one) for one in settled.agreed]),
        ("put_suppressions", [row_of_ban(refusal(one)) for one in settled.refused]),
    )
