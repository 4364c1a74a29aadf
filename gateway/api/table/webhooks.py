"""The part of the URL table about webhooks."""

from collections.abc import Sequence

from gateway.api import examples, shapes, webhook_schema, webhooks
from gateway.api.spec import Answer, Route
from gateway.api.table.entries import BODY, JSON, for_callers
from gateway.model.submission import Scope

ROUTES: Sequence[Route] = (
    for_callers(
        "GET",
        "/v1/webhooks",
        "List webhooks",
        webhooks.list_webhooks,
        Scope.ADMIN,
        answers={200: Answer(description="All endpoints", shape=shapes.WebhookList)},
    ),
    for_callers(
        "PUT",
        "/v1/webhooks",
        "Make a webhook",
        webhooks.create,
        Scope.ADMIN,
        bodies={JSON: webhook_schema.NewWebhook},
        examples=examples.WEBHOOK,
        answers={201: Answer(description="The new endpoint", shape=shapes.Webhook)},
        problems=(*BODY, 409),
    ),
    for_callers(
        "PUT",
        "/v1/webhooks/{id}",
        "Replace a webhook",
        webhooks.replace,
        Scope.ADMIN,
        bodies={JSON: webhook_schema.NewWebhook},
        examples=examples.WEBHOOK,
        answers={200: Answer(description="The endpoint", shape=shapes.Webhook)},
        problems=(*BODY, 404, 409),
    ),
    for_callers(
        "DELETE",
        "/v1/webhooks/{id}",
        "Remove a webhook",
        webhooks.delete,
        Scope.ADMIN,
        answers={204: Answer(description="It is gone")},
        problems=(404, 409),
    ),
    for_callers(
        "POST",
        "/v1/webhooks/{id}/replay",
        "Send reports again",
        webhooks.replay,
        Scope.ADMIN,
        bodies={JSON: webhook_schema.ReplayRequest},
        examples=examples.REPLAY,
        answers={202: Answer(description="Queued", shape=shapes.Replayed)},
        problems=(*BODY, 404, 409),
    ),
)
