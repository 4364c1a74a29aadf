"""The transport that a provider speaks through: which one follows from its protocol."""

from contextlib import AsyncExitStack

from gateway.app.shelf import FleetShelf
from gateway.clock import Clock
from gateway.dispatch.senders import HttpSender, Sender, SmtpSender
from gateway.dispatch.smpp_sender import SmppSender
from gateway.dispatch.targets import GuardedSender, Targets
from gateway.limits.breaker import BreakerRules
from gateway.metrics import Metrics
from gateway.model.errors import SettingsError
from gateway.providers import base as providers
from gateway.settings import ProviderAccount
from gateway.store.fleet import Fleet
from gateway.transport.base import HttpOptions, HttpTransport
from gateway.transport.http2 import Http2Transport
from gateway.transport.lean import LeanHttpTransport
from gateway.transport.smpp import PooledSmppTransport
from gateway.transport.smtp import PooledSmtpTransport

#: To one service over HTTP/2, of which each carries many requests at once.
_OWN_CONNECTIONS = 4
#: What of an account's slots one host may have that recipients name: a share, and two at least.
_SHARE, _LEAST_SLOTS = 8, 2
_USUAL_BREAKER = BreakerRules()


async def build_sender(
    provider: providers.Provider,
    account: ProviderAccount,
    *,
    http: HttpTransport,
    guarded: HttpTransport,
    stack: AsyncExitStack,
    clock: Clock,
    metrics: Metrics,
    fleet: Fleet | None = None,
    breaker: BreakerRules = _USUAL_BREAKER,
) -> Sender:
    """http: what all accounts with an HTTP API share. guarded: the same for addresses that
    recipients name. stack: closes what is opened for this one.
    fleet: shares its access token with other nodes. breaker: of each host that recipients name."""
    if isinstance(provider, providers.HttpProvider):
        if provider.guarded:
            slots = max(_LEAST_SLOTS, account.concurrency // _SHARE)
            targets = Targets(breaker, slots=slots, knows=provider.knows)
            return GuardedSender(provider, guarded, clock, timeout=account.timeout, targets=targets)
        shelf = None if fleet is None else FleetShelf(fleet, provider.account, account.options)
        road = await _road(provider, http, stack)
        return HttpSender(provider, road, clock, timeout=account.timeout, shelf=shelf)
    if isinstance(provider, providers.SmtpProvider):
        relay = provider.settings
        smtp = await stack.enter_async_context(
            PooledSmtpTransport(
                host=relay.host,
                port=relay.port,
                clock=clock,
                security=relay.security,
                username=relay.username,
                password=relay.password,
                connections=account.concurrency,
                messages_per_connection=relay.messages_per_connection,
                local_hostname=relay.local_hostname,
            )
        )
        return SmtpSender(provider, smtp, timeout=account.timeout)
    if isinstance(provider, providers.SmppProvider):
        smpp = await stack.enter_async_context(PooledSmppTransport(provider.options, clock=clock))
        return SmppSender(provider, smpp, metrics, timeout=account.timeout)
    raise SettingsError([f"providers.{provider.account}.kind: has no transport"])


async def _road(
    provider: providers.HttpProvider, usual: HttpTransport, stack: AsyncExitStack
) -> HttpTransport:
    """What the provider says it needs."""
    if provider.http_version == "2":
        own = HttpOptions(limit_per_host=_OWN_CONNECTIONS, tls=provider.tls)
        return await stack.enter_async_context(Http2Transport(own))
    if provider.tls is not None:
        own = HttpOptions(limit=0, tls=provider.tls)
        return await stack.enter_async_context(LeanHttpTransport(own))
    return usual
