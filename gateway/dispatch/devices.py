"""Whether the devices of a message are such as some account of their lane can serve."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from gateway.model import wire
from gateway.model.errors import Fault, InvalidMessage
from gateway.model.recipient import Recipient

#: Why this is certain to be no address of an account's, as `Provider.misfit`.
Misfit: TypeAlias = Callable[[wire.Address], str]


def usable(
    parts: Sequence[wire.Address], misfits: Sequence[Misfit], person: Recipient | None
) -> tuple[wire.Address, ...]:
    """Those that an account of the lane may serve. A device that is registered for the person is
    left out when none may.

    Raises InvalidMessage that names every other one.
    """
    registered = {(one.app, one.token) for one in person.push} if person is not None else set()
    kept, faults = [], []
    for place, part in enumerate(parts):
        if not (told := _misfit(part, misfits)):
            kept.append(part)
        elif (part.app, part.token) not in registered:
            field, _, reason = told.partition(": ")
            faults.append(Fault(f"to.push[{place}].{field}", reason))
    if faults:
        raise InvalidMessage("a device cannot be served", faults)
    return tuple(kept)


def _misfit(part: wire.Address, misfits: Sequence[Misfit]) -> str:
    """Why none of the accounts may serve it; empty when one may."""
    reasons = [misfit(part) for misfit in misfits]
    if not reasons or not all(reasons):
        return ""
    # of an account that serves the app, if one does
    return next((one for one in reasons if one.startswith("token:")), reasons[0])
