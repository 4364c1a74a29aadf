"""Whether devices and people's own systems are such as some account of their lane can serve."""

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
    """Those that an account of the lane may serve. What is registered for the person is left out
    when none may.

    Raises InvalidMessage that names every other one.
    """
    kept, faults = [], []
    for place, part in enumerate(parts):
        if not (told := _misfit(part, misfits)):
            kept.append(part)
        elif person is None or not _is_registered(part, person):
            field, _, reason = told.partition(": ")
            where = f"to.push[{place}]" if part.token else "to"
            faults.append(Fault(f"{where}.{field}", reason))
    if faults:
        raise InvalidMessage("an address cannot be served", faults)
    return tuple(kept)


def _is_registered(part: wire.Address, person: Recipient) -> bool:
    if part.url:
        return part.url == person.url
    return any((part.app, part.token) == (one.app, one.token) for one in person.push)


def of_urls(check: Callable[[str], str]) -> Misfit:
    """Why requests may never go to an address. check: of a URL, why not; empty when they may."""

    def misfit(to: wire.Address) -> str:
        reason = check(to.url)
        return f"url: {reason}" if reason else ""

    return misfit


def _misfit(part: wire.Address, misfits: Sequence[Misfit]) -> str:
    """Why none of the accounts may serve it; empty when one may."""
    reasons = [misfit(part) for misfit in misfits]
    if not reasons or not all(reasons):
        return ""
    # of an account that serves the app, if one does
    return next((one for one in reasons if one.startswith("token:")), reasons[0])
