"""What can become of a send, and the addresses that decide it whatever the knobs say."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from gateway.model import wire


class Fate(StrEnum):
    """What became of one send. Only TAKEN and LOST mean that the simulator has the message."""

    TAKEN = "taken"
    LOST = "lost"  # taken, and the connection dropped without an answer
    HUNG = "hung"  # read, not taken, never answered
    TEMPORARY = "temporary"  # trouble at the provider, such as a 5xx
    THROTTLED = "throttled"  # over the rate
    PERMANENT = "permanent"  # this content will never do
    RECIPIENT = "recipient"  # no such number, mailbox or device
    CREDENTIAL = "credential"  # the account or key is not good
    INVALID = "invalid"  # the request breaks the provider's rules; never by a knob

    # The one of Enum is written in Python, and every arrival is counted by its fate.
    __hash__ = str.__hash__


@dataclass(frozen=True, slots=True, kw_only=True)
class Magic:
    """What an address does, whatever the knobs say."""

    fate: Fate = Fate.TAKEN
    #: the provider's own code; empty: the usual one of the fate
    code: str = ""
    #: what its receipt tells; None: as the knob `receipt`
    receipt: wire.ReceiptEvent | None = None
    #: taken, and never reported on
    silent: bool = False
    #: seconds that its receipt comes later than others
    late: float = 0.0


#: For addresses without magic.
ORDINARY = Magic()


#: Numbers that both SMS simulators know. Those up to …0009 are Twilio's own; the others are
#: the sandbox's, from the same range.
PHONES: Mapping[str, Magic] = {
    "+15005550001": Magic(fate=Fate.RECIPIENT, code="21211"),  # not a number
    "+15005550002": Magic(fate=Fate.PERMANENT, code="21612"),  # no route
    "+15005550003": Magic(fate=Fate.PERMANENT, code="21408"),  # country not enabled
    "+15005550004": Magic(fate=Fate.RECIPIENT, code="21610"),  # has sent STOP
    "+15005550009": Magic(fate=Fate.RECIPIENT, code="21614"),  # not a mobile
    "+15005550010": Magic(receipt=wire.ReceiptEvent.FAILED),
    "+15005550011": Magic(receipt=wire.ReceiptEvent.EXPIRED),
    "+15005550012": Magic(receipt=wire.ReceiptEvent.OPTED_OUT),
    "+15005550013": Magic(receipt=wire.ReceiptEvent.SENT),
    "+15005550014": Magic(silent=True),
    "+15005550015": Magic(fate=Fate.TEMPORARY),
    "+15005550016": Magic(fate=Fate.THROTTLED),
    "+15005550017": Magic(fate=Fate.LOST),
    "+15005550018": Magic(fate=Fate.HUNG),
    "+15005550019": Magic(fate=Fate.CREDENTIAL),
}
