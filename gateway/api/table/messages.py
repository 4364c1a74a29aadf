"""The part of the URL table about messages."""

from collections.abc import Sequence

from gateway.api import examples, messages, preview_shapes, queries, schema, shapes
from gateway.api.spec import Answer, Query, Route
from gateway.api.table.entries import BODY, JSON, NDJSON, for_callers
from gateway.model.submission import Scope

_KEY = Query(
    name="Idempotency-Key",
    description="The same key and body: the same message, for 24 hours",
    schema={"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[ -~]*$"},
)

_STATUS = {
    200: Answer(description="The message", shape=shapes.MessageStatus, example=examples.STATUS)
}

ROUTES: Sequence[Route] = (
    for_callers(
        "POST",
        "/v1/messages",
        "Send a message",
        messages.submit,
        Scope.SEND,
        bodies={JSON: schema.NewMessage},
        examples=examples.MESSAGES,
        headers=(_KEY,),
        answers={
            202: Answer(
                description="Accepted, and on disk",
                shape=shapes.Accepted,
                example=examples.ACCEPTED,
            )
        },
        problems=(*BODY, 409),
    ),
    for_callers(
        "POST",
        "/v1/messages/batch",
        "Send up to 1,000 messages",
        messages.submit_batch,
        Scope.SEND,
        bodies={JSON: schema.Batch, NDJSON: str},
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
        problems=BODY[:-1],
    ),
    for_callers(
        "GET",
        "/v1/messages",
        "List messages",
        messages.list_messages,
        Scope.READ,
        queries=queries.FILTERS,
        answers={200: Answer(description="A page", shape=shapes.MessageList)},
        problems=(400,),
    ),
    for_callers(
        "GET",
        "/v1/messages/{id}",
        "Read a message",
        messages.read,
        Scope.READ,
        answers=_STATUS,
        problems=(404,),
    ),
    for_callers(
        "POST",
        "/v1/messages/{id}/cancel",
        "Cancel a message",
        messages.cancel,
        Scope.SEND,
        answers=_STATUS,
        problems=(404, 409),
    ),
    for_callers(
        "POST",
        "/v1/messages/{id}/redrive",
        "Send a dead letter again",
        messages.redrive,
        Scope.ADMIN,
        answers=_STATUS,
        problems=(404, 409),
    ),
    for_callers(
        "POST",
        "/v1/preview",
        "Preview a message",
        messages.preview,
        Scope.SEND,
        bodies={JSON: schema.NewMessage},
        examples=examples.MESSAGES,
        answers={200: Answer(description="What would happen", shape=preview_shapes.PreviewResult)},
        problems=BODY,
    ),
)
