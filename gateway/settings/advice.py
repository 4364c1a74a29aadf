"""What the file may say and probably does not mean. Nothing here stops the gateway."""

from collections.abc import Iterator, Sequence

from gateway.model.wire import Channel
from gateway.settings.faults import show_path
from gateway.settings.models import Settings
from gateway.settings.values import show_duration

#: 64 bits at the most, if a key is written in hexadecimal.
_SHORTEST_KEY = 16


def warnings(settings: Settings) -> Sequence[str]:
    """One line each, beginning with the key's path; never a secret."""
    return tuple(_warnings(settings))


def _warnings(settings: Settings) -> Iterator[str]:
    if not settings.lanes:
        yield "lanes: there are none, so no message can be sent"
    yield from _keys(settings)
    yield from _accounts(settings)
    kinds = {account.kind for account in settings.providers.values()}
    for name, template in settings.templates.items():
        for kind in template.providers:
            if kind not in kinds:
                path = show_path(("templates", name, kind))
                yield f"{path}: no provider account is of this kind"
    yield from _unsubscribe(settings)
    if settings.store.retention < 180 * 86400:
        yield "store.retention: under six months, shorter than some laws ask for proof of consent"


def _unsubscribe(settings: Settings) -> Iterator[str]:
    """One click needs https (RFC 8058 §3.1), and somebody to answer it."""
    if settings.api.public_url.startswith("https://"):
        return
    for name, category in settings.categories.items():
        by_mail = any(step.channel is Channel.EMAIL for step in category.chain)
        if category.unsubscribe and by_mail:
            path = show_path(("categories", name, "unsubscribe"))
            yield f"{path}: email gets no link, as api.public_url is not https"


def _keys(settings: Settings) -> Iterator[str]:
    for name, tenant in settings.tenants.items():
        for place, key in enumerate(tenant.keys):
            if len(key.get_secret_value()) < _SHORTEST_KEY:
                path = show_path(("tenants", name, "keys", place))
                yield f"{path}: short enough to be guessed; `gateway key create` makes good ones"


def _accounts(settings: Settings) -> Iterator[str]:
    used = {name for lane in settings.lanes.values() for name in lane.providers}
    shortest = min((one.expires_in for one in settings.categories.values()), default=None)
    for name, account in settings.providers.items():
        path = show_path(("providers", name))
        if name not in used:
            yield f"{path}: in no lane, so it is never used"
        if account.timeout > settings.dispatch.drain:
            drain = show_duration(settings.dispatch.drain)
            yield f"{path}.timeout: longer than dispatch.drain ({drain}), so a stop may cut it"
        if shortest is not None and account.timeout >= shortest:
            yield f"{path}.timeout: as long as the shortest expires_in of a category"
