"""Mail addresses that decide what becomes of a mail, at any domain, for services with an HTTP API.

They are named as those of the SMTP simulator are, where both can do the same.
"""

from collections.abc import Mapping

from gateway.model import wire
from gateway.sandbox.magic import ORDINARY, Fate, Magic

#: By local part, up to a `+`.
MAGIC: Mapping[str, Magic] = {
    "unknown": Magic(fate=Fate.RECIPIENT),
    "spam": Magic(fate=Fate.PERMANENT),
    "later": Magic(fate=Fate.TEMPORARY),
    "busy": Magic(fate=Fate.THROTTLED),
    "locked": Magic(fate=Fate.CREDENTIAL),
    "lost": Magic(fate=Fate.LOST),
    "hang": Magic(fate=Fate.HUNG),
    "bounce": Magic(receipt=wire.ReceiptEvent.BOUNCED),
    "complaint": Magic(receipt=wire.ReceiptEvent.COMPLAINED),
    "unsubscribe": Magic(receipt=wire.ReceiptEvent.OPTED_OUT),
    "silent": Magic(silent=True),
}


def magic_of(address: str) -> Magic:
    """What the address does."""
    return MAGIC.get(address.partition("@")[0].partition("+")[0].lower(), ORDINARY)
