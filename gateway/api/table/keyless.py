"""The part of the URL table that needs no key: providers' receipts, links in messages, documents;
and what the internal port shows."""

from collections.abc import Sequence

from gateway.api import docs, operations, receipts, subscriptions
from gateway.api.spec import Answer, Route
from gateway.api.table.entries import JSON, for_all

_RECEIPT = {200: Answer(description="What the provider wants to hear", content_type="*/*")}
_RECEIPT_PROBLEMS = (400, 403, 404, 408, 413, 415)

#: The link of a mail, and what can go wrong with a form there.
_LINK, _FORM = "/u/{token}", (400, 408, 413, 415, 503)
_PAGES = {
    200: Answer(description="A page", content_type="text/html"),
    404: Answer(description="A page: the link is nobody's", content_type="text/html"),
}

PUBLIC: Sequence[Route] = (
    *(
        for_all(
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
    for_all(
        "POST",
        "/v1/receipts/{provider}/{path}",
        "Take delivery receipts below an address",
        "receipts",
        receipts.take_below,
        _RECEIPT,
        _RECEIPT_PROBLEMS,
    ),
    *(
        for_all(
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
    for_all(
        "GET",
        "/openapi.json",
        "This description",
        "documentation",
        docs.openapi_json,
        {200: Answer(description="OpenAPI 3.1", content_type=JSON)},
    ),
    for_all(
        "GET",
        "/docs",
        "This description, to read",
        "documentation",
        docs.page,
        {200: Answer(description="A page", content_type="text/html")},
    ),
)

INTERNAL: Sequence[Route] = (
    for_all(
        "GET",
        "/metrics",
        "Metrics",
        "operations",
        operations.metrics,
        {200: Answer(description="Prometheus exposition", content_type="text/plain")},
    ),
    for_all(
        "GET",
        "/healthz",
        "Liveness",
        "operations",
        operations.alive,
        {200: Answer(description="Alive", content_type="text/plain")},
    ),
    for_all(
        "GET",
        "/readyz",
        "Readiness",
        "operations",
        operations.ready,
        {200: Answer(description="Ready", content_type="text/plain")},
    ),
)
