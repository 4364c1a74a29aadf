"""What a caller wants recorded about consent and suppression, read but not yet judged."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias

from gateway.model.errors import RequestError
from gateway.model.permission import Consent, Outcome, Reason, Suppression
from gateway.model.submission import To
from gateway.model.values import Value


class Whom(Value):
    """Somebody: one address, or the tenant's own id of them."""

    to: To
    #: of an address, to narrow it; of an id, the only one it is about; '' all
    channel: str = ""


class NewConsent(Value):
    """Somebody has agreed to a category."""

    whom: Whom
    category: str
    source: str
    at: datetime
    proof: str = ""
    expires_at: datetime | None = None

    def __repr__(self) -> str:
        """Without the address and the proof, wherever it is logged."""
        return f"NewConsent(category={self.category!r})"


class Withdrawal(Value):
    """Somebody has told the tenant that they want no more of a category."""

    whom: Whom
    category: str
    source: str
    #: None: now
    at: datetime | None = None


class NewSuppression(Value):
    """Somebody is not to be written to."""

    whom: Whom
    reason: Reason
    source: str
    #: '' all that the reason holds for
    category: str = ""
    #: None: now
    at: datetime | None = None
    expires_at: datetime | None = None
    #: by no tenant; needs the scope `admin`
    everybody: bool = False


class Lift(Value):
    """A suppression is to be forgotten: by its record, or all of somebody that fit."""

    #: 0: by the rest
    id: int = 0
    whom: Whom | None = None
    category: str = ""
    reason: str = ""
    everybody: bool = False


class Recorded(Value):
    """What is recorded of somebody: a tenant's own, and bans that hold for everybody."""

    consents: Sequence[Consent]
    suppressions: Sequence[Suppression]


#: What became of one item of a request.
Judged: TypeAlias = Outcome | RequestError
