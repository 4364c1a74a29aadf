"""Magic email addresses of services that take mail over HTTP, and what they make of a call.

They are those whose local part, up to a `+`, is one of `MAGIC`, at any domain. One that the SMTP
simulator refuses at once may be taken here and come back: `unknown` has no mailbox either way.
"""

import re
from collections.abc import Mapping, Sequence

from gateway.model import wire
from gateway.sandbox.judge import Judge
from gateway.sandbox.magic import ORDINARY, Fate, Magic

#: `code` of a receipt: what the other mail server is said to have answered, to services that tell.
MAGIC: Mapping[str, Magic] = {
    "invalid": Magic(fate=Fate.RECIPIENT),  # the service itself refuses the address
    "unknown": Magic(receipt=wire.ReceiptEvent.BOUNCED, code="550 5.1.1 no such mailbox"),
    "full": Magic(receipt=wire.ReceiptEvent.BOUNCED, code="552 5.2.2 mailbox full"),
    "blocked": Magic(receipt=wire.ReceiptEvent.BOUNCED, code="550 5.7.1 refused by policy"),
    "expired": Magic(receipt=wire.ReceiptEvent.EXPIRED),
    "dropped": Magic(receipt=wire.ReceiptEvent.FAILED),  # it bounced before
    "left": Magic(receipt=wire.ReceiptEvent.OPTED_OUT),  # it unsubscribed before
    "spam": Magic(receipt=wire.ReceiptEvent.COMPLAINED),
    "reads": Magic(receipt=wire.ReceiptEvent.READ),
    "accepted": Magic(receipt=wire.ReceiptEvent.SENT),
    "silent": Magic(silent=True),
    "big": Magic(fate=Fate.PERMANENT),
    "later": Magic(fate=Fate.TEMPORARY),
    "throttled": Magic(fate=Fate.THROTTLED),
    "credential": Magic(fate=Fate.CREDENTIAL),
    "lost": Magic(fate=Fate.LOST),
    "hang": Magic(fate=Fate.HUNG),
}

#: What these services take for an address: deliberately no more than the plain ones.
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")


def is_address(value: object) -> bool:
    """Whether it is one address, without a name."""
    return isinstance(value, str) and len(value) <= 254 and _ADDRESS.fullmatch(value) is not None


def magic_of(address: str) -> Magic:
    """What mail to the address does."""
    return MAGIC.get(address.partition("@")[0].partition("+")[0].lower(), ORDINARY)


def decide(judge: Judge, addresses: Sequence[str]) -> Fate:
    """What becomes of one call for all of them: throttled as one, refused for the first of them."""
    fated = (magic_of(address) for address in addresses)
    return judge.decide(next((one for one in fated if one.fate is not Fate.TAKEN), ORDINARY))


def culprits(addresses: Sequence[str]) -> Sequence[int]:
    """The places of those that the service refuses; the first when chance has chosen."""
    refused = [
        place for place, address in enumerate(addresses) if magic_of(address).fate is Fate.RECIPIENT
    ]
    return refused or [0]
