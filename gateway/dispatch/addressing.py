"""Where a message goes, and what is known of whom it is for. Pure."""

from collections.abc import Callable
from datetime import datetime

from gateway.content import addresses, recipients
from gateway.model import wire
from gateway.model.errors import Fault, InvalidMessage
from gateway.model.message import Whom
from gateway.model.recipient import Recipient
from gateway.model.submission import To
from gateway.model.values import replace
from gateway.model.zones import is_zone


def check_addresses(to: To) -> To:
    """The addresses in canonical form. Raises InvalidMessage with every fault."""
    faults: list[Fault] = []
    checked = to
    for field, check in addresses.CHECKS.items():
        if value := getattr(to, field):
            canonical = _check(field, value, check, faults)
            if canonical != value:
                checked = replace(checked, **{field: canonical})
    for place, device in enumerate(to.push):
        _check(f"push[{place}].token", device.token, addresses.check_token, faults)
    if to.zone and not is_zone(to.zone):
        faults.append(Fault("to.zone", "not a time zone of the IANA database"))
    if to.locale:
        checked = replace(checked, locale=recipients.canonical_locale(to.locale))
        if not checked.locale:
            faults.append(Fault("to.locale", "not a language tag (BCP 47) such as zh-CN"))
    if faults:
        raise InvalidMessage("an address is not valid", faults)
    return checked


def _check(field: str, value: str, check: Callable[[str], str], faults: list[Fault]) -> str:
    try:
        return check(value)
    except ValueError as error:
        faults.append(Fault(f"to.{field}", str(error)))
        return ""


_FIELD = {
    wire.Channel.SMS: "phone",
    wire.Channel.RCS: "phone",
    wire.Channel.EMAIL: "email",
    wire.Channel.WECHAT: "wechat",
    wire.Channel.WECOM: "wecom",
    wire.Channel.CHAT: "chat",
    wire.Channel.WEBHOOK: "url",
}


def whom_of(to: To, known: Recipient | None, category: str) -> Whom | None:
    """What is known of the person: what the caller says now goes before what is recorded."""
    said = {"zone": to.zone, "locale": to.locale}
    if known is None and not any(said.values()):
        return None
    whom = Whom(recipient=to.recipient) if known is None else known.whom(category)
    return replace(whom, **{name: value for name, value in said.items() if value})


def _milliseconds(at: datetime | None) -> int:
    return 0 if at is None else int(at.timestamp() * 1000)


def parts_of(to: To, channel: wire.Channel) -> tuple[wire.Address, ...]:
    """Where a step of the channel goes; none without an address for it."""
    if channel is wire.Channel.PUSH:
        return tuple(
            wire.Address(
                app=device.app,
                token=device.token,
                recipient=to.recipient,
                registered_ms=_milliseconds(device.registered_at),
            )
            for device in to.push
        )
    field = _FIELD[channel]
    if value := getattr(to, field):
        return (wire.Address(**{field: value}, recipient=to.recipient),)
    return ()


def address_of(channel: wire.Channel, name: str) -> wire.Address:
    """Somebody on a channel, for `bans.Bans.hashed`. name: as the channel's services give it."""
    match channel:
        case wire.Channel.SMS | wire.Channel.RCS:
            return wire.Address(phone=name)
        case wire.Channel.EMAIL:
            return wire.Address(email=name)
        case wire.Channel.PUSH:
            return wire.Address(token=name)
        case wire.Channel.WECHAT:
            return wire.Address(wechat=name)
        case wire.Channel.WECOM:
            return wire.Address(wecom=name)
        case wire.Channel.CHAT:
            return wire.Address(chat=name)
        case wire.Channel.WEBHOOK:
            return wire.Address(url=name)


def value_of(channel: wire.Channel, address: wire.Address) -> str:
    """What names somebody on a channel, as it is hashed."""
    match channel:
        case wire.Channel.SMS | wire.Channel.RCS:
            return address.phone
        case wire.Channel.EMAIL:
            return address.email
        case wire.Channel.PUSH:
            return device_name(address.app, address.token)
        case wire.Channel.WECHAT:
            return address.wechat
        case wire.Channel.WECOM:
            return address.wecom
        case wire.Channel.CHAT:
            return address.chat
        case wire.Channel.WEBHOOK:
            return address.url


def device_name(app: str, token: str) -> str:
    """What names an app's installation: tokens of two apps may be alike."""
    return f"{app}:{token}"
