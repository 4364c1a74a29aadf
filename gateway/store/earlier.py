"""Which new messages are repeats: of a request by its idempotency key, of a content by its dedupe
key. What the store knows is given; what comes before in the same batch counts as well.
"""

from collections.abc import Sequence
from typing import TypeAlias

from gateway.model.case import NewMessage
from gateway.store import base

#: (fingerprint, message) by (tenant, idempotency key)
ByKey: TypeAlias = dict[tuple[str, str], tuple[str, base.Existing]]

#: message by (tenant, dedupe key)
ByContent: TypeAlias = dict[tuple[str, str], base.Existing]


def find(
    messages: Sequence[NewMessage], by_key: ByKey, by_content: ByContent
) -> list[base.Acceptance | None]:
    """For each message, what stands for it already; None: it is to be stored.

    by_key, by_content: what others stored; grow by what the batch adds.
    """
    verdicts: list[base.Acceptance | None] = []
    for one in messages:
        verdict = _verdict(one, by_key, by_content)
        if verdict is None or (isinstance(verdict, base.Existing) and not verdict.by_key):
            _remember(one, verdict, by_key, by_content)
        verdicts.append(verdict)
    return verdicts


def _verdict(one: NewMessage, by_key: ByKey, by_content: ByContent) -> base.Acceptance | None:
    if one.idempotency is not None and (one.tenant, one.idempotency.key) in by_key:
        fingerprint, existing = by_key[one.tenant, one.idempotency.key]
        return existing if fingerprint == one.idempotency.fingerprint else base.KeyTaken()
    if one.dedupe is not None and (one.tenant, one.dedupe.key) in by_content:
        return by_content[one.tenant, one.dedupe.key]
    return None


def _remember(
    one: NewMessage, stands: base.Existing | None, by_key: ByKey, by_content: ByContent
) -> None:
    """For those that follow in the batch. A duplicate's key names the message it is one of."""
    if one.idempotency is not None:
        known = base.Existing(
            id=one.id if stands is None else stands.id,
            state=one.state if stands is None else stands.state,
            by_key=True,
        )
        by_key[one.tenant, one.idempotency.key] = (one.idempotency.fingerprint, known)
    if one.dedupe is not None and stands is None:
        by_content[one.tenant, one.dedupe.key] = base.Existing(
            id=one.id, state=one.state, by_key=False
        )
