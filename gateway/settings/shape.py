"""From the tables of the file to the shape of the models, and what the file leaves to us.

Whatever has the wrong type passes through unchanged: the models complain about it.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gateway.model.wire import Channel
from gateway.settings.faults import KeyPath
from gateway.settings.routing import ProviderAccount

#: What the three kinds of message are when the file does not say (its own keys win).
BUILT_IN: Mapping[str, Mapping[str, Any]] = {
    "otp": {"priority": "critical", "expires_in": "5m", "on_unknown": "resend"},
    "service": {"priority": "normal", "expires_in": "24h", "on_unknown": "resend"},
    "marketing": {
        "priority": "bulk",
        "expires_in": "24h",
        "on_unknown": "stop",
        "consent": True,
        "unsubscribe": True,
    },
}

#: Chains by default: the channels with lanes, in this order. What costs nothing comes first, but
#: a code goes where people look for it, and marketing takes SMS only after everything else.
_ORDERS: Mapping[str, str] = {
    "otp": "sms rcs push wechat wecom chat email webhook",
    "marketing": "push wechat rcs email chat wecom sms webhook",
}
_ORDER = "push wechat wecom chat rcs sms email webhook"

#: Keys of an account that are ours; `base_url` is the kind's as well.
_ACCOUNT_KEYS = frozenset(ProviderAccount.model_fields) - {"options"}
_TEXT_FIELDS = frozenset({"text", "subject", "title", "html"})
_CHANNELS = frozenset(Channel)


def shape(tables: Mapping[str, Any], *, folder: Path) -> dict[str, Any]:
    """Tables with secrets filled in, ready for `Settings`. folder: that of the file."""
    shaped = dict(tables)
    shaped["categories"] = _categories(tables.get("categories", {}), tables.get("lanes", {}))
    shaped["providers"] = _each(tables.get("providers", {}), _account)
    shaped["templates"] = _each(tables.get("templates", {}), _template)
    shaped["content"] = _content(tables.get("content", {}), folder)
    shaped["lint"] = _lint(tables.get("lint", {}), folder)
    return shaped


def file_path(path: KeyPath) -> KeyPath:
    """Where the file says what the models have at `path`; the inverse of what `shape` moved."""
    if path[0] == "templates" and path[2:3] in (("channels",), ("providers",)):
        path = (*path[:2], *path[3:])
    if path[0] == "providers" and path[2:3] == ("options",):
        path = (*path[:2], *path[3:])
    return tuple(part for part in path if part != "[key]")


def lane_channels(lanes: object) -> frozenset[str]:
    """Channels that have a lane, of lanes as the file has them."""
    tables = lanes.values() if isinstance(lanes, Mapping) else ()
    channels = (table.get("channel") for table in tables if isinstance(table, Mapping))
    return frozenset(channel for channel in channels if isinstance(channel, str))


def _each(tables: Any, change: Any) -> Any:
    if not isinstance(tables, Mapping):
        return tables
    return {
        name: change(table) if isinstance(table, Mapping) else table
        for name, table in tables.items()
    }


def _categories(tables: Any, lanes: Any) -> Any:
    if not isinstance(tables, Mapping):
        return tables
    channels = lane_channels(lanes)
    return {
        name: _category(name, tables.get(name, {}), channels)
        for name in (*BUILT_IN, *(name for name in tables if name not in BUILT_IN))
    }


def _category(name: str, table: Any, channels: Iterable[str]) -> Any:
    if not isinstance(table, Mapping):
        return table
    order = _ORDERS.get(name, _ORDER).split()
    chain = [{"channel": channel} for channel in order if channel in channels]
    return {"chain": chain, **BUILT_IN.get(name, {}), **table}


def _account(table: Mapping[str, Any]) -> dict[str, Any]:
    ours = {key: value for key, value in table.items() if key in _ACCOUNT_KEYS}
    theirs = {
        key: value
        for key, value in table.items()
        if key not in _ACCOUNT_KEYS or (key == "base_url" and value is not None)
    }
    theirs.pop("kind", None)
    return {**ours, "options": theirs}


def _template(table: Mapping[str, Any]) -> dict[str, Any]:
    """Tables named after a channel hold its texts, others are a provider kind's.

    A kind may be called like its channel (`wechat`). Then `template` tells that the table is the
    provider's; texts in it are the channel's all the same.
    """
    shaped: dict[str, Any] = {"channels": {}, "providers": {}}
    for name, value in table.items():
        if not isinstance(value, Mapping):
            shaped[name] = value
        elif name not in _CHANNELS:
            shaped["providers"][name] = value
        elif "template" not in value:
            shaped["channels"][name] = value
        else:
            _share(shaped, name, value)
    return shaped


def _share(shaped: dict[str, Any], name: str, value: Mapping[str, Any]) -> None:
    shaped["providers"][name] = {k: v for k, v in value.items() if k not in _TEXT_FIELDS}
    if texts := {key: text for key, text in value.items() if key in _TEXT_FIELDS}:
        shaped["channels"][name] = texts


def _content(table: Any, folder: Path) -> Any:
    place = table.get("folder") if isinstance(table, Mapping) else None
    if not place or not isinstance(place, str):
        return table
    return {**table, "folder": str(folder / place)}


def _lint(table: Any, folder: Path) -> Any:
    files = table.get("words") if isinstance(table, Mapping) else None
    if not isinstance(files, list):
        return table
    placed = [str(folder / one) if isinstance(one, str) and one else one for one in files]
    return {**table, "words": placed}
