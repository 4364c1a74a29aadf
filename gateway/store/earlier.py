"""Which new messages are repeats: of a request by its idempotency key, of a content by its dedupe
key. What the store knows is given; what comes before in the same batch counts as well.
"""

from collections.abc import Sequence
from typing import TypeAlias

from gateway.model.case import DedupeKey, NewMessage
from gateway.model.values import replace
from gateway.store import base

#: (fingerprint, message) by (tenant, idempotency key)
ByKey: TypeAlias = dict[tuple[str, str], tuple[str, base.Existing]]

#: message by (tenant, dedupe key), with tenant '' for keys that hold for all
ByContent: TypeAlias = dict[tuple[str, str], base.Existing]


def find(
    messages: Sequence[NewMessage], by_key: ByKey, by_content: ByContent
) -> list[base.Acceptance | NewMessage]:
    """For each message, what stands for it already, or what is to be stored: itself or its shadow.

    by_key, by_content: what others stored; grow by what the batch adds.
    """
    verdicts: list[base.Acceptance | NewMessage] = []
    for one in messages:
        verdict = _verdict(one, by_key, by_content)
        if not isinstance(verdict, base.KeyTaken):
            _remember(one, verdict, by_key, by_content)
        verdicts.append(verdict)
    return verdicts


def content_place(one: NewMessage, key: DedupeKey) -> tuple[str, str]:
    """Where a dedupe key is kept."""
    return one.tenant if key.shadow is None else "", key.key


def to_store(verdicts: Sequence[base.Acceptance | NewMessage]) -> list[NewMessage]:
    """Those that nothing stands for."""
    return [one for one in verdicts if isinstance(one, NewMessage)]


def acceptances(verdicts: Sequence[base.Acceptance | NewMessage]) -> list[base.Acceptance]:
    """What callers are told when that has been stored."""
    return [
        base.Stored(id=one.id, state=one.state) if isinstance(one, NewMessage) else one
        for one in verdicts
    ]


def _verdict(one: NewMessage, by_key: ByKey, by_content: ByContent) -> base.Acceptance | NewMessage:
    if one.idempotency is not None and (one.tenant, one.idempotency.key) in by_key:
        fingerprint, existing = by_key[one.tenant, one.idempotency.key]
        return existing if fingerprint == one.idempotency.fingerprint else base.KeyTaken()
    if one.dedupe is not None:
        stands = by_content.get(content_place(one, one.dedupe))
        if stands is not None:
            return stands if one.dedupe.shadow is None else one.dedupe.shadow
    return one


def _remember(
    one: NewMessage,
    verdict: base.Stored | base.Existing | NewMessage,
    by_key: ByKey,
    by_content: ByContent,
) -> None:
    """For those that follow in the batch. A duplicate's key names the message it is one of."""
    if isinstance(verdict, base.Existing) and verdict.by_key:
        return
    known = base.Existing(id=verdict.id, state=verdict.state, by_key=True)
    if one.idempotency is not None:
        by_key[one.tenant, one.idempotency.key] = (one.idempotency.fingerprint, known)
    if one.dedupe is not None and verdict is one:
        by_content[content_place(one, one.dedupe)] = replace(known, by_key=False)
