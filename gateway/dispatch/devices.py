"""Whether the devices of a message are such as some account of their lane can serve."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from gateway.model import wire
from gateway.model.errors import Fault, InvalidMessage

#: Why this is certain to be no address of an account's, as `Provider.misfit`.
Misfit: TypeAlias = Callable[[wire.Address], str]


def check(parts: Sequence[wire.Address], misfits: Sequence[Misfit]) -> None:
    """Raises InvalidMessage that names every device that none of the accounts may serve."""
    faults = []
    for place, part in enumerate(parts):
        reasons = [misfit(part) for misfit in misfits]
        if reasons and all(reasons):
            # of an account that serves the app, if one does
            told = next((one for one in reasons if one.startswith("token:")), reasons[0])
            field, _, reason = told.partition(": ")
            faults.append(Fault(f"to.push[{place}].{field}", reason))
    if faults:
        raise InvalidMessage("a device cannot be served", faults)
