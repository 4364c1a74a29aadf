"""The part of the URL table about consent and suppression."""

from collections.abc import Sequence
from typing import Any

from gateway.api import edge, permission_schema, permissions, queries
from gateway.api.spec import Answer, Route
from gateway.api.table.entries import BODY, JSON, NDJSON, for_callers
from gateway.model.submission import Scope


def _batch(
    method: str,
    path: str,
    summary: str,
    handler: edge.CallerHandler,
    body: Any,
    example: Any,
    shape: Any = permissions.Results,
) -> Route:
    return for_callers(
        method,
        path,
        summary,
        handler,
        Scope.SEND,
        is_counted=True,
        bodies={JSON: body, NDJSON: str},
        examples={"one": [example]},
        answers={
            200: Answer(description="At least one was taken", shape=shape),
            422: Answer(
                description="None was taken, or the body as a whole cannot be used",
                shape=permissions.AllRefused,
                content_type="application/problem+json",
            ),
        },
        problems=BODY[:-1],
    )


ROUTES: Sequence[Route] = (
    _batch(
        "PUT",
        "/v1/consents",
        "Record consent",
        permissions.put_consents,
        permission_schema.Consents,
        {
            "to": {"email": "li@example.com"},
            "category": "marketing",
            "source": "signup-form",
            "at": "2026-11-01T09:30:00+08:00",
            "proof": "form-8812",
        },
    ),
    _batch(
        "POST",
        "/v1/consents/withdraw",
        "Take consent back",
        permissions.withdraw,
        permission_schema.Withdrawals,
        {"to": {"email": "li@example.com"}, "category": "marketing", "source": "hotline"},
    ),
    for_callers(
        "POST",
        "/v1/consents/lookup",
        "What is recorded of somebody",
        permissions.lookup,
        Scope.READ,
        is_counted=True,
        bodies={JSON: permission_schema.Lookup},
        examples={"address": {"to": {"email": "li@example.com"}}},
        answers={200: Answer(description="All there is", shape=permissions.Found)},
        problems=BODY,
    ),
    for_callers(
        "GET",
        "/v1/suppressions",
        "List suppressions",
        permissions.list_suppressions,
        Scope.READ,
        is_counted=True,
        queries=queries.SUPPRESSIONS,
        answers={200: Answer(description="A page", shape=permissions.SuppressionList)},
        problems=(400,),
    ),
    _batch(
        "PUT",
        "/v1/suppressions",
        "Record suppressions",
        permissions.suppress,
        permission_schema.Suppressions,
        {"to": {"phone": "+8613800138000"}, "reason": "manual", "source": "hotline"},
    ),
    _batch(
        "POST",
        "/v1/suppressions/lift",
        "Lift suppressions",
        permissions.lift,
        permission_schema.Lifts,
        {"to": {"phone": "+8613800138000"}, "reason": "manual"},
        permissions.LiftResults,
    ),
)
