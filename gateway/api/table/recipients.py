"""The part of the URL table about recipients."""

from collections.abc import Sequence
from dataclasses import replace

from gateway.api import examples, queries, recipients, registration
from gateway.api.spec import Answer, Route
from gateway.api.table.entries import BODY, JSON, NDJSON, for_callers
from gateway.model.submission import Scope

_KEPT = Answer(
    description="The recipient", shape=registration.Recipient, example=examples.RECIPIENT_READ
)

ROUTES: Sequence[Route] = (
    for_callers(
        "PUT",
        "/v1/recipients/{id}",
        "Keep a recipient",
        recipients.put_recipient,
        Scope.RECIPIENTS,
        is_counted=True,
        bodies={JSON: registration.NewRecipient},
        examples=examples.RECIPIENT,
        answers={200: _KEPT, 201: replace(_KEPT, description="The new recipient")},
        problems=BODY,
    ),
    for_callers(
        "GET",
        "/v1/recipients/{id}",
        "Read a recipient",
        recipients.read_recipient,
        Scope.RECIPIENTS,
        is_counted=True,
        answers={200: _KEPT},
        problems=(404,),
    ),
    for_callers(
        "DELETE",
        "/v1/recipients/{id}",
        "Erase a recipient",
        recipients.erase_recipient,
        Scope.RECIPIENTS,
        is_counted=True,
        answers={200: Answer(description="Nothing is left", shape=registration.RecipientErased)},
        problems=(404,),
    ),
    for_callers(
        "GET",
        "/v1/recipients",
        "List recipients",
        recipients.list_recipients,
        Scope.RECIPIENTS,
        is_counted=True,
        queries=queries.PAGE,
        answers={200: Answer(description="A page", shape=registration.RecipientList)},
        problems=(400,),
    ),
    for_callers(
        "POST",
        "/v1/recipients/bulk",
        "Keep many recipients",
        recipients.put_recipients,
        Scope.RECIPIENTS,
        is_counted=True,
        bodies={NDJSON: str, "text/csv": str},
        examples=examples.RECIPIENTS,
        answers={
            200: Answer(
                description="All rows were read",
                shape=registration.BulkResult,
                example=examples.BULK_RESULT,
            )
        },
        problems=BODY,
    ),
)
