"""Checks of settings against each other; each yields every fault that it finds.

Entries that do not fit their model are no longer in the settings, but `Names` still knows them.
"""

import base64
import binascii
import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import jinja2

from gateway.model.message import Priority
from gateway.model.wire import Channel
from gateway.settings import timing
from gateway.settings.answers import answer_faults
from gateway.settings.caps import cap_faults
from gateway.settings.faults import Fault, KeyPath, unknown
from gateway.settings.models import Settings, Tenant, TenantWebhook
from gateway.settings.routing import Category, Lane, LaneSms, ProviderAccount
from gateway.settings.shape import lane_channels
from gateway.settings.values import show_duration
from gateway.settings.yielding import yield_faults

#: `send_at` lies within retention less this (design §5), so something must be left.
RETENTION_MARGIN = 7 * 86400.0
#: Lane of our own webhooks; it needs no configuration.
WEBHOOK_LANE = "webhook"
#: More than an hour's worth of tokens at once is a quota, not a burst.
_BURST_LIMIT_SECONDS = 3600.0
#: Standard Webhooks 1.0.0, symmetric secrets.
_SECRET_PREFIX, _SECRET_BYTES = "whsec_", range(24, 65)
_PHONE_CHANNELS = frozenset({Channel.SMS, Channel.RCS})
_TEXT_FIELDS = ("text", "subject", "title", "html")


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What the file defines, well or badly."""

    providers: frozenset[str]
    categories: frozenset[str]
    channels: frozenset[str]
    timing: frozenset[str]

    @classmethod
    def of(cls, tables: Mapping[str, Any]) -> "Names":
        return cls(
            providers=_names_in(tables.get("providers")),
            categories=_names_in(tables.get("categories")),
            channels=lane_channels(tables.get("lanes")),
            timing=_names_in(tables.get("timing")),
        )


def _names_in(table: object) -> frozenset[str]:
    return frozenset(table) if isinstance(table, Mapping) else frozenset()


def faults(settings: Settings, names: Names) -> Iterator[Fault]:
    """Everything that is wrong between settings which are right by themselves."""
    yield from _ports(settings)
    yield from _times(settings)
    yield from _tenants(settings)
    for name, lane in settings.lanes.items():
        yield from _lane(name, lane, names)
    yield from _ambiguous_lanes(settings.lanes)
    yield from _shared_accounts(settings.lanes)
    for name, category in settings.categories.items():
        yield from _category(name, category, names)
    yield from timing.faults(settings.timing, settings.categories, names.timing)
    yield from cap_faults(
        settings.caps, categories=names.categories, channels=names.channels | {Channel.WEBHOOK}
    )
    yield from yield_faults(settings.categories, names.categories)
    yield from answer_faults(settings.lanes, settings.categories, names.categories)
    for name, account in settings.providers.items():
        yield from _account(("providers", name), account)
    yield from _templates(settings, names)


def _ports(settings: Settings) -> Iterator[Fault]:
    port = settings.api.listen[1]
    if port and port == settings.api.internal[1]:
        yield Fault(("api", "internal"), "the same port as api.listen")


def _times(settings: Settings) -> Iterator[Fault]:
    store = settings.store
    longest = max((one.expires_in for one in settings.categories.values()), default=0.0)
    needed = RETENTION_MARGIN + longest
    if store.retention < needed:
        yield Fault(
            ("store", "retention"),
            f"must be at least {show_duration(needed)}, seven days more than any expires_in",
        )
    if store.idempotency > store.retention:
        yield Fault(("store", "idempotency"), "longer than store.retention")
    if settings.retry.cap < settings.retry.base:
        yield Fault(("retry", "cap"), "shorter than retry.base")
    if settings.breaker.probe_cap < settings.breaker.probe_after:
        yield Fault(("breaker", "probe_cap"), "shorter than breaker.probe_after")


def _tenants(settings: Settings) -> Iterator[Fault]:
    owners: dict[str, str] = {}
    for name, tenant in settings.tenants.items():
        yield from _keys_of(name, tenant, owners)
        if tenant.webhook is not None:
            yield from _webhook(("tenants", name, "webhook"), tenant.webhook, settings)


def _keys_of(name: str, tenant: Tenant, owners: dict[str, str]) -> Iterator[Fault]:
    for place, secret in enumerate(tenant.keys):
        key, path = secret.get_secret_value(), ("tenants", name, "keys", place)
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            yield Fault(path, "a key is printable ASCII without blanks, and not empty")
        elif key in owners:
            yield Fault(path, f"the same key as one of tenants.{owners[key]}")
        else:
            owners[key] = name


def _webhook(path: KeyPath, webhook: TenantWebhook, settings: Settings) -> Iterator[Fault]:
    if not _is_webhook_secret(webhook.secret.get_secret_value()):
        yield Fault((*path, "secret"), "not whsec_ and the base64 of 24 to 64 bytes")
    if reason := _bad_target(webhook.url, settings):
        yield Fault((*path, "url"), reason)


def _is_webhook_secret(value: str) -> bool:
    try:
        key = base64.b64decode(value.removeprefix(_SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return False
    return value.startswith(_SECRET_PREFIX) and len(key) in _SECRET_BYTES


def _bad_target(url: str, settings: Settings) -> str:
    """Why a webhook can never go there; what a name resolves to is checked when connecting."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("https", "http"):
        return "not an https URL"
    if settings.webhooks.only_loopback:
        return "" if _is_loopback(host) else "not on this machine, see webhooks.only_loopback"
    allowed = settings.webhooks.allow_private
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "" if parts.scheme == "https" or allowed else "must be https, see webhooks"
    if any(address in network for network in allowed):
        return ""
    if not address.is_global:
        return "a private address outside webhooks.allow_private"
    return "" if parts.scheme == "https" else "must be https"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _lane(name: str, lane: Lane, names: Names) -> Iterator[Fault]:
    path: KeyPath = ("lanes", name)
    if name == WEBHOOK_LANE and lane.channel is not Channel.WEBHOOK:
        yield Fault((*path, "channel"), "the lane of this name carries webhooks")
    for place, provider in enumerate(lane.providers):
        where = (*path, "providers", place)
        if provider not in names.providers:
            yield Fault(where, unknown("provider", provider, names.providers))
        elif provider in lane.providers[:place]:
            yield Fault(where, f'"{provider}" stands here twice')
    for place, category in enumerate(lane.match.category):
        if category not in names.categories:
            where = (*path, "match", "category", place)
            yield Fault(where, unknown("category", category, names.categories))
    if lane.channel is not Channel.SMS and lane.sms != LaneSms():
        yield Fault((*path, "sms"), f"says nothing of {lane.channel}")
    if lane.match.phone_prefix and lane.channel not in _PHONE_CHANNELS:
        yield Fault((*path, "match", "phone_prefix"), f"recipients of {lane.channel} have none")


def _ambiguous_lanes(lanes: Mapping[str, Lane]) -> Iterator[Fault]:
    """Two lanes that match alike: which one serves a recipient must not depend on their order."""
    seen: dict[tuple[str, str, str], str] = {}
    for name, lane in lanes.items():
        for prefix in lane.match.phone_prefix or ("",):
            for category in lane.match.category or ("",):
                other = seen.setdefault((lane.channel, prefix, category), name)
                if other != name:
                    yield Fault(("lanes", name), f'matches the same as lane "{other}"')


def _shared_accounts(lanes: Mapping[str, Lane]) -> Iterator[Fault]:
    channels: dict[str, Channel] = {}
    for name, lane in lanes.items():
        for place, provider in enumerate(lane.providers):
            first = channels.setdefault(provider, lane.channel)
            if first is not lane.channel:
                path = ("lanes", name, "providers", place)
                yield Fault(path, f'"{provider}" already serves a lane of channel {first}')


def _category(name: str, category: Category, names: Names) -> Iterator[Fault]:
    path: KeyPath = ("categories", name, "chain")
    if not category.chain and names.channels:
        yield Fault(path, "is empty")
    for place, step in enumerate(category.chain):
        if step.channel not in names.channels | {Channel.WEBHOOK}:
            yield Fault((*path, place, "channel"), f"no lane carries {step.channel}")
    if sum(step.within or 0.0 for step in category.chain[:-1]) >= category.expires_in:
        yield Fault(path, "its last step would start after expires_in")


def _account(path: KeyPath, account: ProviderAccount) -> Iterator[Fault]:
    if account.rate is None:
        needs_rate = {"burst": account.burst is not None, "reserve": bool(account.reserve)}
        for key in (key for key, given in needs_rate.items() if given):
            yield Fault((*path, key), "means nothing without rate")
    elif (account.burst or 0.0) > max(1.0, account.rate * _BURST_LIMIT_SECONDS):
        yield Fault((*path, "burst"), "more than an hour of rate: use daily_quota")
    if sum(account.reserve.values()) >= 1:
        yield Fault((*path, "reserve"), "shares sum to 1 or more, nothing is left for the rest")
    if Priority.BULK in account.reserve:
        yield Fault((*path, "reserve", "bulk"), "nothing is lower than bulk")


def _templates(settings: Settings, names: Names) -> Iterator[Fault]:
    for name, template in settings.templates.items():
        path: KeyPath = ("templates", name)
        if template.category and template.category not in names.categories:
            yield Fault(
                (*path, "category"), unknown("category", template.category, names.categories)
            )
        if not template.channels and not template.providers:
            yield Fault(path, "says nothing on any channel")
        for channel, table in template.channels.items():
            yield from _texts((*path, channel.value), table)
        for kind, table in template.providers.items():
            yield from _syntax((*path, kind), table)


def _texts(path: KeyPath, table: Mapping[str, Any]) -> Iterator[Fault]:
    for key, value in table.items():
        if key in _TEXT_FIELDS and not isinstance(value, str):
            yield Fault((*path, key), "should be a valid string")
    yield from _syntax(path, table)


def _syntax(path: KeyPath, value: Any) -> Iterator[Fault]:
    """Jinja's complaints about every text in a table."""
    if isinstance(value, str):
        try:
            jinja2.Environment(autoescape=True).parse(value)
        except jinja2.TemplateSyntaxError as error:
            yield Fault(path, f"line {error.lineno} of the template: {error.message}")
        except RecursionError:
            yield Fault(path, "the template nests too deeply")
        return
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        yield from _syntax((*path, key), item)
