"""What a recipient may say of itself: addresses, zone, locale, quiet hours, wishes. Pure.

Faults name the field and never repeat the value.
"""

import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Final

from gateway.content import addresses
from gateway.model import wire
from gateway.model.errors import Fault, InvalidMessage
from gateway.model.recipient import SINGLE, PushDevice, Recipient
from gateway.model.values import replace
from gateway.model.zones import is_zone

#: Longest id, in characters.
MAX_ID: Final = 200

#: These stand for places in a path and are taken out of every address (RFC 3986 §5.2.4).
_DOTS: Final = frozenset({".", ".."})
DOTS: Final = "is neither . nor .., by which no address can name it"

#: RFC 5646 §2.1: language, script, region, variants; what goes beyond names no locale that has
#: texts of its own.
_LOCALE = re.compile(
    r"([a-z]{2,3})(?:-([a-z]{4}))?(?:-([a-z]{2}|[0-9]{3}))?((?:-[a-z0-9]{5,8})*)",
    re.ASCII | re.IGNORECASE,
)
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
_DAY: Final = 24 * 60
_CHANNELS = frozenset(map(str, wire.Channel))


def check_recipient_id(value: str) -> str:
    """The tenant's own id of a recipient, as it stands. Raises ValueError."""
    if not 1 <= len(value) <= MAX_ID or not value.isprintable() or value != value.strip():
        raise ValueError(f"is 1 to {MAX_ID} printable characters without blanks at the ends")
    if value in _DOTS:
        raise ValueError(DOTS)
    return value


def check(recipient: Recipient, categories: Collection[str]) -> Recipient:
    """The recipient with its addresses in canonical form. Raises InvalidMessage with every fault.

    categories: those that are configured.
    """
    faults: list[Fault] = []
    changes: dict[str, object] = _canonical(recipient, faults)
    if recipient.push:
        devices = _devices(recipient.push, faults)
        if devices is not recipient.push:
            changes["push"] = devices
    if recipient.locale and (locale := canonical_locale(recipient.locale)) != recipient.locale:
        changes["locale"] = locale
    faults += _faults(recipient, categories)
    if faults:
        raise InvalidMessage("the recipient cannot be kept as it is", faults)
    checked = replace(recipient, **changes) if changes else recipient
    if not checked.is_reachable:
        fault = Fault("", "has no usable address: give phone, email, push or another channel's")
        raise InvalidMessage("the recipient cannot be kept as it is", [fault])
    return checked


def _canonical(recipient: Recipient, faults: list[Fault]) -> dict[str, object]:
    """Addresses, by field, that were not written in their canonical form."""
    changes: dict[str, object] = {}
    for name, check_address in addresses.CHECKS.items():
        if value := getattr(recipient, name):
            try:
                canonical = check_address(value)
            except ValueError as error:
                faults.append(Fault(name, str(error)))
            else:
                if canonical != value:
                    changes[name] = canonical
    return changes


def _devices(push: tuple[PushDevice, ...], faults: list[Fault]) -> tuple[PushDevice, ...]:
    """Each of them once."""
    for place, device in enumerate(push):
        try:
            addresses.check_token(device.token)
        except ValueError as error:
            faults.append(Fault(f"push[{place}].token", str(error)))
    if len(push) == 1:
        return push
    firsts: dict[tuple[str, str], PushDevice] = {}
    for device in push:
        firsts.setdefault((device.app, device.token), device)
    return tuple(firsts.values())


@lru_cache(maxsize=1024)
def canonical_locale(value: str) -> str:
    """In the case that RFC 5646 §2.1.1 recommends; '' for what is no language tag."""
    found = _LOCALE.fullmatch(value)
    if found is None:
        return ""
    language, script, region, variants = found.groups()
    parts = [language.lower(), (script or "").title(), (region or "").upper()]
    return "-".join(filter(None, parts)) + variants.lower()


def _faults(recipient: Recipient, categories: Collection[str]) -> list[Fault]:
    """What is wrong with all but the addresses themselves."""
    faults: list[Fault] = []
    try:
        check_recipient_id(recipient.id)
    except ValueError as error:
        faults.append(Fault("id", str(error)))
    if recipient.locale and not canonical_locale(recipient.locale):
        faults.append(Fault("locale", "is not a language tag (BCP 47) such as zh-CN"))
    if recipient.zone and not is_zone(recipient.zone):
        faults.append(Fault("zone", "is not a zone of the IANA database such as Asia/Shanghai"))
    if recipient.verified or recipient.invalid:
        faults += _state_faults(recipient)
    if recipient.quiet:
        faults += _quiet_faults(recipient.quiet)
    for category, channels in recipient.preferences.items():
        if category not in categories:
            faults.append(Fault("preferences", "there is no category of this name"))
        elif not _CHANNELS.issuperset(channels):
            names = ", ".join(sorted(_CHANNELS))
            faults.append(Fault(f"preferences.{category}", f"the channels are {names}"))
    return faults


def _state_faults(recipient: Recipient) -> list[Fault]:
    states = {"verified": recipient.verified, "invalid": recipient.invalid}
    faults = [
        Fault(f"{state}[{place}]", "names a channel that the recipient has no address for")
        for state, names in states.items()
        for place, name in enumerate(names)
        if name not in SINGLE or not getattr(recipient, name)
    ]
    if set(recipient.verified) & set(recipient.invalid):
        faults.append(Fault("invalid", "an address is either verified or invalid"))
    return faults


def _quiet_faults(windows: Sequence[tuple[str, str]]) -> list[Fault]:
    """Times that are none, windows without a length, and days without a minute left."""
    faults: list[Fault] = []
    quiet: set[int] = set()
    for place, (start, end) in enumerate(windows):
        begins, ends = _minute(start), _minute(end)
        if begins is None or ends is None:
            name = "from" if begins is None else "to"
            faults.append(
                Fault(
                    f"quiet_hours[{place}].{name}", "is a time from 00:00 to 23:59, such as 22:00"
                )
            )
        elif begins == ends:
            faults.append(Fault(f"quiet_hours[{place}]", "ends when it begins"))
        elif len(windows) > 1:  # one alone leaves some
            quiet.update(minute % _DAY for minute in range(begins, ends + _DAY * (ends < begins)))
    if len(quiet) == _DAY:
        faults.append(Fault("quiet_hours", "leave no time of the day to write at"))
    return faults


def _minute(value: str) -> int | None:
    """Of the day; None for what is no time."""
    found = _TIME.fullmatch(value)
    return None if found is None else int(found[1]) * 60 + int(found[2])
