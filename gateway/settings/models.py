"""The sections of the file. Each field says its unit, default and effect."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr
from pydantic.networks import IPvAnyNetwork

from gateway.model.submission import Scope
from gateway.settings.caps import CapSettings
from gateway.settings.lint import LintSettings
from gateway.settings.routing import Category, Lane, Model, ProviderAccount, Template
from gateway.settings.timing import TimingSettings
from gateway.settings.values import Duration, Kind, Listen, Name, Period, Rate, Size


def _check_store_url(value: str) -> str:
    if not value.startswith(("sqlite:", "postgresql://", "postgres://")):
        raise ValueError('begins with "sqlite:///" or "postgresql://"')
    return value


def _check_public_url(value: str) -> str:
    if value and not value.startswith(("https://", "http://")):
        raise ValueError('begins with "https://"')
    return value.rstrip("/")


class StoreSettings(Model):
    url: Annotated[str, AfterValidator(_check_store_url)] = Field(
        default="sqlite:///var/lib/gateway/gateway.db",
        repr=False,
        description="where messages are kept: SQLite for one process, PostgreSQL for many",
    )
    retention: Period = Field(
        default=180 * 86400.0, description="how long events and payloads are kept"
    )
    idempotency: Annotated[Period, Field(ge=60)] = Field(
        default=86400.0, description="how long idempotency keys are kept"
    )
    early_receipts: Period = Field(
        default=900.0, description="how long a receipt waits for the message it is about"
    )


class ApiSettings(Model):
    listen: Listen = Field(
        default=("127.0.0.1", 8080), description="public port: /v1, /docs, /openapi.json"
    )
    internal: Listen = Field(
        default=("127.0.0.1", 9090), description="internal port: /metrics, /healthz, /readyz"
    )
    max_body: Size = Field(default=4 * 2**20, description="largest body, after decompression")
    public_url: Annotated[str, AfterValidator(_check_public_url)] = Field(
        default="",
        description="how providers reach the public port, for their receipts, and recipients, to "
        "unsubscribe (https only); empty: they cannot",
    )
    head_timeout: Period = Field(default=10.0, description="time to send a request's head")
    body_timeout: Period = Field(default=30.0, description="time to send a request's body")
    connections_per_address: int = Field(
        default=1000, ge=0, description="open at once; 0: no bound, as behind a proxy"
    )


class DispatchSettings(Model):
    drain: Duration = Field(
        default=30.0, description="time to finish what is in flight after SIGTERM"
    )


class RetrySettings(Model):
    attempts: int = Field(default=5, ge=1, le=100, description="at most so many in one step")
    base: Period = Field(default=1.0, description="back-off before the second attempt, at most")
    factor: float = Field(
        default=4.0, ge=1, le=100, description="by which the back-off grows each time"
    )
    cap: Period = Field(default=600.0, description="longest back-off")


class BreakerSettings(Model):
    failures: float = Field(
        default=0.5, gt=0, le=1, description="share of failed attempts that opens the breaker"
    )
    minimum: int = Field(default=20, ge=1, description="attempts before the share counts")
    window: Period = Field(default=10.0, description="over which attempts are counted")
    connects: int = Field(
        default=5, ge=1, description="failed connects in a row that open it as well"
    )
    probe_after: Period = Field(default=5.0, description="time to the first probe; doubles")
    probe_cap: Period = Field(default=60.0, description="longest time between probes")


class WebhookSettings(Model):
    allow_private: tuple[IPvAnyNetwork, ...] = Field(
        default=(), description="networks of your own receivers; others must be public https"
    )
    only_loopback: bool = Field(
        default=False, description="no receiver but on this machine, as in sandbox mode"
    )
    in_flight: int = Field(default=2, ge=1, le=1000, description="requests at once per endpoint")
    timeout: Annotated[Period, Field(le=120)] = Field(
        default=15.0, description="longest wait for a receiver's answer"
    )
    disable_after: Period = Field(
        default=5 * 86400.0, description="an endpoint that fails for so long is switched off"
    )


class ContentSettings(Model):
    folder: str = Field(
        default="",
        description="templates as files, `<template>/<channel>.<field>.j2`, relative to this file",
    )


class TenantWebhook(Model):
    url: Annotated[str, Field(min_length=1, max_length=2048)] = Field(
        description="where states of the tenant's messages are reported"
    )
    secret: Annotated[SecretStr, Kind("secret")] = Field(
        description="signs the reports: whsec_ and 24 to 64 bytes in base64"
    )
    events: tuple[Annotated[str, Field(pattern=r"^message\.[a-z]+$")], ...] = Field(
        default=(), description="such as message.failed; empty: all"
    )


class Tenant(Model):
    keys: tuple[Annotated[SecretStr, Kind("secret")], ...] = Field(
        default=(), description="API keys, beside those made by `gateway key create`"
    )
    scopes: frozenset[Scope] = Field(
        default=frozenset({Scope.SEND, Scope.READ}), description="what these keys may do"
    )
    rate: Rate | None = Field(
        default=None,
        description="messages a second it may submit, and requests about recipients, "
        "consents and suppressions; absent: no bound",
    )
    weight: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] = Field(
        default=1.0, description="share of a contended lane, against other tenants'"
    )
    webhook: TenantWebhook | None = Field(
        default=None, description="default endpoint; absent: those set by API only"
    )


class Settings(Model):
    """Everything, complete with defaults. Build it with `load` or `parse`, which check it."""

    store: StoreSettings = StoreSettings()
    api: ApiSettings = ApiSettings()
    dispatch: DispatchSettings = DispatchSettings()
    retry: RetrySettings = RetrySettings()
    breaker: BreakerSettings = BreakerSettings()
    webhooks: WebhookSettings = WebhookSettings()
    content: ContentSettings = ContentSettings()
    lint: LintSettings = LintSettings()
    tenants: dict[Name, Tenant] = Field(default_factory=dict)
    categories: dict[Name, Category] = Field(default_factory=dict)
    timing: dict[Name, TimingSettings] = Field(default_factory=dict)
    caps: dict[Name, CapSettings] = Field(default_factory=dict)
    lanes: dict[Name, Lane] = Field(default_factory=dict)
    providers: dict[Name, ProviderAccount] = Field(default_factory=dict)
    templates: dict[Name, Template] = Field(default_factory=dict)
