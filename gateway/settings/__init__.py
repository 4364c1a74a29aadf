"""What the configuration file says, read once and checked as a whole.

`load` reads a TOML file, `parse` the same tables from a program; both raise SettingsError with
every fault found. `warnings` tells what is legal and probably not meant. Never prints a secret.
"""

from gateway.settings.advice import warnings
from gateway.settings.caps import CapSettings, Over
from gateway.settings.lint import LintSettings
from gateway.settings.load import CheckProvider, load, parse
from gateway.settings.models import (
    ApiSettings,
    BreakerSettings,
    ContentSettings,
    DispatchSettings,
    RetrySettings,
    Settings,
    StoreSettings,
    Tenant,
    TenantWebhook,
    WebhookSettings,
)
from gateway.settings.reference import ReferenceRow, reference
from gateway.settings.routing import (
    Category,
    DedupeSettings,
    Lane,
    LaneMatch,
    LaneOrder,
    LaneSms,
    ProviderAccount,
    RateUnit,
    Rewrite,
    StepSettings,
    Template,
)
from gateway.settings.values import read_duration, show_duration
from gateway.settings.yielding import yielded_to

__all__ = [
    "ApiSettings",
    "BreakerSettings",
    "CapSettings",
    "Category",
    "CheckProvider",
    "ContentSettings",
    "DedupeSettings",
    "DispatchSettings",
    "Lane",
    "LaneMatch",
    "LaneOrder",
    "LaneSms",
    "LintSettings",
    "Over",
    "ProviderAccount",
    "RateUnit",
    "ReferenceRow",
    "RetrySettings",
    "Rewrite",
    "Settings",
    "StepSettings",
    "StoreSettings",
    "Template",
    "Tenant",
    "TenantWebhook",
    "WebhookSettings",
    "load",
    "parse",
    "read_duration",
    "reference",
    "show_duration",
    "warnings",
    "yielded_to",
]
