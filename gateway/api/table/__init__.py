"""The URL table: each address with its handler, its scope and its description."""

from collections.abc import Sequence

from gateway.api import operations, shapes
from gateway.api.spec import Answer, Route
from gateway.api.table import keyless, messages, permissions, recipients, webhooks
from gateway.api.table.entries import for_callers
from gateway.model.submission import Scope

__all__ = ["INTERNAL", "PUBLIC"]

PUBLIC: Sequence[Route] = (
    *messages.ROUTES,
    *recipients.ROUTES,
    *webhooks.ROUTES,
    *permissions.ROUTES,
    for_callers(
        "GET",
        "/v1/providers",
        "Providers' health",
        operations.providers,
        Scope.ADMIN,
        answers={200: Answer(description="All accounts", shape=shapes.ProviderList)},
    ),
    *keyless.PUBLIC,
)

INTERNAL = keyless.INTERNAL
