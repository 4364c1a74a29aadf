"""One test message by one account's real transport, without a gateway and without a store."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta

from gateway.app.senders import build_sender
from gateway.clock import Clock, SystemClock, to_datetime
from gateway.dispatch.senders import Sender
from gateway.dispatch.smpp_sender import SmppSender
from gateway.metrics import Metrics
from gateway.model import entropy, wire
from gateway.model.errors import StoreUnavailable
from gateway.model.message import new_id, reference
from gateway.providers import registry
from gateway.settings import Settings
from gateway.transport.base import HttpOptions
from gateway.transport.guard import AddressGuard
from gateway.transport.http import AiohttpTransport
from gateway.transport.lean import LeanHttpTransport

_LIFE = timedelta(minutes=5)


async def probe(
    settings: Settings,
    account: str,
    *,
    to: wire.Address,
    content: wire.Content,
    clock: Clock | None = None,
) -> wire.AttemptResult:
    """What came of it, once. Receipts are not waited for."""
    clock = clock if clock is not None else SystemClock()
    own = settings.providers[account]
    provider = registry.build(account, own.kind, own.options, clock)
    if objection := provider.objection(content, to):
        return wire.Rejected(code="unfit", detail=objection, scope=wire.Scope.PROVIDER)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(LeanHttpTransport(HttpOptions(limit=1)))
        guard = AddressGuard(
            [str(network) for network in settings.webhooks.allow_private],
            only_loopback=settings.webhooks.only_loopback,
        )
        guarded = await stack.enter_async_context(
            AiohttpTransport(HttpOptions(limit=1), guard=guard)
        )
        sender = await build_sender(
            provider,
            own,
            http=http,
            guarded=guarded,
            stack=stack,
            clock=clock,
            metrics=Metrics(),
        )
        if isinstance(sender, SmppSender):
            sender.begin(_leave, _leave)
        return await _send(sender, _message(provider.channel, to, content, clock))


async def _send(sender: Sender, message: wire.Message) -> wire.AttemptResult:
    try:
        (call,) = sender.plan([message])
    except ValueError as error:
        return wire.Rejected(code="unfit", detail=str(error), scope=wire.Scope.PROVIDER)
    (result,) = await call.make(None)
    return result


async def _leave(account: str, brought: Sequence[object]) -> None:
    """What a centre delivers meanwhile may be about real messages: it keeps it for the gateway."""
    raise StoreUnavailable("a test keeps nothing")


def _message(
    channel: wire.Channel, to: wire.Address, content: wire.Content, clock: Clock
) -> wire.Message:
    now_ms = clock.now_ms()
    id_ = new_id(now_ms, entropy.draw(10))
    return wire.Message(
        id=id_,
        reference=reference(id_, redrive=0, step=0, part=0),
        channel=channel,
        category="service",
        to=to,
        content=content,
        expires_at=to_datetime(now_ms) + _LIFE,
        priority=1,
    )
