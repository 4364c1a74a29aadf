"""Magic tokens of services that take one content for many devices, and what becomes of a call.

They are those that begin with one of `MAGIC` and `-`.
"""

from collections.abc import Mapping, Sequence

from gateway.model import wire
from gateway.sandbox.judge import Judge
from gateway.sandbox.magic import ORDINARY, Fate, Magic

MAGIC: Mapping[str, Magic] = {
    "gone": Magic(fate=Fate.RECIPIENT),
    "uninstalled": Magic(receipt=wire.ReceiptEvent.BOUNCED),
    "failed": Magic(receipt=wire.ReceiptEvent.FAILED),
    "expired": Magic(receipt=wire.ReceiptEvent.EXPIRED),
    "pending": Magic(receipt=wire.ReceiptEvent.SENT),
    "silent": Magic(silent=True),
    "rejected": Magic(fate=Fate.PERMANENT),
    "unavailable": Magic(fate=Fate.TEMPORARY),
    "throttled": Magic(fate=Fate.THROTTLED),
    "credential": Magic(fate=Fate.CREDENTIAL),
    "lost": Magic(fate=Fate.LOST),
    "hung": Magic(fate=Fate.HUNG),
}
#: What one token brings upon its whole call, first things first.
_WHOLE = (
    *(Fate.HUNG, Fate.CREDENTIAL, Fate.TEMPORARY, Fate.THROTTLED, Fate.PERMANENT),
    Fate.LOST,
)


def magic_of(token: str) -> Magic:
    """What a token does."""
    return MAGIC.get(token.partition("-")[0], ORDINARY)


def fate_of_call(judge: Judge, tokens: Sequence[str]) -> tuple[Fate, Sequence[Fate]]:
    """(of the call, of each token): a call that is taken may have tokens that are not."""
    if any(judge.throttled() for _ in tokens):
        return Fate.THROTTLED, [Fate.THROTTLED] * len(tokens)
    fates = [judge.draw(magic_of(token)) for token in tokens]
    whole = next((one for one in _WHOLE if one in fates), Fate.TAKEN)
    if whole in (Fate.TAKEN, Fate.LOST):
        return whole, [one if one is Fate.RECIPIENT else whole for one in fates]
    return whole, [whole] * len(tokens)
