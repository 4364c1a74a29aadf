"""The URL table: each address with its handler, its scope and its description."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from gateway.api import (
    docs,
    edge,
    examples,
    messages,
    operations,
    permission_table,
    queries,
    receipts,
    recipients,
    registration,
    schema,
    shapes,
    subscriptions,
    webhooks,
)
from gateway.api.spec import Answer, Query, Route
from gateway.model.submission import Scope

_JSON = "application/json"
_TEXT = "text/plain"
#: Statuses of a body that cannot be used.
_BODY = (400, 408, 413, 415, 422)

_KEY = Query(
    name="Idempotency-Key",
    description="The same key and body: the same message, for 24 hours",
    schema={"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[ -~]*$"},
)


def _for_callers(
    method: str, path: str, summary: str, handler: edge.CallerHandler, scope: Scope, **more: Any
) -> Route:
    tag = path.split("/")[2]
    return Route(
        method=method,
        path=path,
        summary=summary,
        tag={"preview": "messages"}.get(tag, tag),
        handler=edge.guard(handler, scope),
        documented=handler,
        scope=scope,
        **more,
    )


def _open(
    method: str,
    path: str,
    summary: str,
    tag: str,
    handler: edge.Handler,
    answers: Mapping[int, Answer],
    problems: tuple[int, ...] = (),
) -> Route:
    return Route(
        method=method,
        path=path,
        summary=summary,
        tag=tag,
        handler=handler,
        documented=handler,
        answers=answers,
        problems=problems,
    )


_STATUS = {
    200: Answer(description="The message", shape=shapes.MessageStatus, example=examples.STATUS)
}

_MESSAGES = (
    _for_callers(
        "POST",
        "/v1/messages",
        "Send a message",
        messages.submit,
        Scope.SEND,
        bodies={_JSON: schema.NewMessage},
        examples=examples.MESSAGES,
        headers=(_KEY,),
        answers={
            202: Answer(
                description="Accepted, and on disk",
                shape=shapes.Accepted,
                example=examples.ACCEPTED,
            )
        },
        problems=(*_BODY, 409),
    ),
    _for_callers(
        "POST",
        "/v1/messages/batch",
        "Send up to 1,000 messages",
        messages.submit_batch,
        Scope.SEND,
        bodies={_JSON: schema.Batch, "application/x-ndjson": str},
        examples=examples.BATCH,
        answers={
            202: Answer(
                description="At least one was accepted",
                shape=shapes.BatchResult,
                example=examples.BATCH_RESULT,
            ),
            422: Answer(
                description="None was accepted, or the batch as a whole cannot be used",
                shape=messages.BatchProblem,
                content_type="application/problem+json",
            ),
        },
        problems=_BODY[:-1],
    ),
    _for_callers(
        "GET",
        "/v1/messages",
        "List messages",
        messages.list_messages,
        Scope.READ,
        queries=queries.FILTERS,
        answers={200: Answer(description="A page", shape=shapes.MessageList)},
        problems=(400,),
    ),
    _for_callers(
        "GET",
        "/v1/messages/{id}",
        "Read a message",
        messages.read,
        Scope.READ,
        answers=_STATUS,
        problems=(404,),
    ),
    _for_callers(
        "POST",
        "/v1/messages/{id}/cancel",
        "Cancel a message",
        messages.cancel,
        Scope.SEND,
        answers=_STATUS,
        problems=(404, 409),
    ),
    _for_callers(
        "POST",
        "/v1/messages/{id}/redrive",
        "Send a dead letter again",
        messages.redrive,
        Scope.ADMIN,
        answers=_STATUS,
        problems=(404, 409),
    ),
    _for_callers(
        "POST",
        "/v1/preview",
        "Preview a message",
        messages.preview,
        Scope.SEND,
        bodies={_JSON: schema.NewMessage},
        examples=examples.MESSAGES,
        answers={200: Answer(description="What would happen", shape=shapes.PreviewResult)},
        problems=_BODY,
    ),
)

_WEBHOOKS = (
    _for_callers(
        "GET",
        "/v1/webhooks",
        "List webhooks",
        webhooks.list_webhooks,
        Scope.ADMIN,
        answers={200: Answer(description="All endpoints", shape=shapes.WebhookList)},
    ),
    _for_callers(
        "PUT",
        "/v1/webhooks",
        "Make a webhook",
        webhooks.create,
        Scope.ADMIN,
        bodies={_JSON: schema.NewWebhook},
        examples=examples.WEBHOOK,
        answers={201: Answer(description="The new endpoint", shape=shapes.Webhook)},
        problems=(*_BODY, 409),
    ),
    _for_callers(
        "PUT",
        "/v1/webhooks/{id}",
        "Replace a webhook",
        webhooks.replace,
        Scope.ADMIN,
        bodies={_JSON: schema.NewWebhook},
        examples=examples.WEBHOOK,
        answers={200: Answer(description="The endpoint", shape=shapes.Webhook)},
        problems=(*_BODY, 404, 409),
    ),
    _for_callers(
        "DELETE",
        "/v1/webhooks/{id}",
        "Remove a webhook",
        webhooks.delete,
        Scope.ADMIN,
        answers={204: Answer(description="It is gone")},
        problems=(404, 409),
    ),
    _for_callers(
        "POST",
        "/v1/webhooks/{id}/replay",
        "Send reports again",
        webhooks.replay,
        Scope.ADMIN,
        bodies={_JSON: schema.ReplayRequest},
        examples=examples.REPLAY,
        answers={202: Answer(description="Queued", shape=shapes.Replayed)},
        problems=(*_BODY, 404, 409),
    ),
)

_KEPT = Answer(
    description="The recipient", shape=registration.Recipient, example=examples.RECIPIENT_READ
)

_RECIPIENTS = (
    _for_callers(
        "PUT",
        "/v1/recipients/{id}",
        "Keep a recipient",
        recipients.put_recipient,
        Scope.RECIPIENTS,
        bodies={_JSON: registration.NewRecipient},
        examples=examples.RECIPIENT,
        answers={200: _KEPT, 201: replace(_KEPT, description="The new recipient")},
        problems=_BODY,
    ),
    _for_callers(
        "GET",
        "/v1/recipients/{id}",
        "Read a recipient",
        recipients.read_recipient,
        Scope.RECIPIENTS,
        answers={200: _KEPT},
        problems=(404,),
    ),
    _for_callers(
        "DELETE",
        "/v1/recipients/{id}",
        "Erase a recipient",
        recipients.erase_recipient,
        Scope.RECIPIENTS,
        answers={200: Answer(description="Nothing is left", shape=registration.RecipientErased)},
        problems=(404,),
    ),
    _for_callers(
        "GET",
        "/v1/recipients",
        "List recipients",
        recipients.list_recipients,
        Scope.RECIPIENTS,
        queries=queries.PAGE,
        answers={200: Answer(description="A page", shape=registration.RecipientList)},
        problems=(400,),
    ),
    _for_callers(
        "POST",
        "/v1/recipients/bulk",
        "Keep many recipients",
        recipients.put_recipients,
        Scope.RECIPIENTS,
        bodies={"application/x-ndjson": str, "text/csv": str},
        examples=examples.RECIPIENTS,
        answers={
            200: Answer(
                description="All rows were read",
                shape=registration.BulkResult,
                example=examples.BULK_RESULT,
            )
        },
        problems=_BODY,
    ),
)

_RECEIPT = {200: Answer(description="What the provider wants to hear", content_type="*/*")}
_RECEIPT_PROBLEMS = (400, 403, 404, 408, 413, 415)

#: The link of a mail, and what can go wrong with a form there.
_LINK, _FORM = "/u/{token}", (400, 408, 413, 415, 503)
_PAGES = {
    200: Answer(description="A page", content_type="text/html"),
    404: Answer(description="A page: the link is nobody's", content_type="text/html"),
}

PUBLIC: Sequence[Route] = (
    *_MESSAGES,
    *_RECIPIENTS,
    *_WEBHOOKS,
    *permission_table.ROUTES,
    _for_callers(
        "GET",
        "/v1/providers",
        "Providers' health",
        operations.providers,
        Scope.ADMIN,
        answers={200: Answer(description="All accounts", shape=shapes.ProviderList)},
    ),
    *(
        _open(
            method,
            "/v1/receipts/{provider}",
            summary,
            "receipts",
            receipts.take,
            _RECEIPT,
            _RECEIPT_PROBLEMS,
        )
        for method, summary in (("POST", "Take delivery receipts"), ("GET", "Prove the address"))
    ),
    _open(
        "POST",
        "/v1/receipts/{provider}/{path}",
        "Take delivery receipts below an address",
        "receipts",
        receipts.take_below,
        _RECEIPT,
        _RECEIPT_PROBLEMS,
    ),
    *(
        _open(
            method,
            path,
            summary,
            "subscriptions",
            handler,
            _PAGES,
            problems,
        )
        for method, path, summary, handler, problems in (
            ("GET", _LINK, "Ask before leaving", subscriptions.ask, ()),
            ("POST", _LINK, "Leave a category", subscriptions.leave, _FORM),
            ("GET", f"{_LINK}/preferences", "What you get", subscriptions.preferences, (503,)),
            ("POST", f"{_LINK}/preferences", "Choose what you get", subscriptions.choose, _FORM),
        )
    ),
    _open(
        "GET",
        "/openapi.json",
        "This description",
        "documentation",
        docs.openapi_json,
        {200: Answer(description="OpenAPI 3.1", content_type=_JSON)},
    ),
    _open(
        "GET",
        "/docs",
        "This description, to read",
        "documentation",
        docs.page,
        {200: Answer(description="A page", content_type="text/html")},
    ),
)

INTERNAL: Sequence[Route] = (
    _open(
        "GET",
        "/metrics",
        "Metrics",
        "operations",
        operations.metrics,
        {200: Answer(description="Prometheus exposition", content_type=_TEXT)},
    ),
    _open(
        "GET",
        "/healthz",
        "Liveness",
        "operations",
        operations.alive,
        {200: Answer(description="Alive", content_type=_TEXT)},
    ),
    _open(
        "GET",
        "/readyz",
        "Readiness",
        "operations",
        operations.ready,
        {200: Answer(description="Ready", content_type=_TEXT)},
    ),
)
