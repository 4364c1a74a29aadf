"""Entries of the URL table, by who may use them."""

from collections.abc import Mapping
from typing import Any

from gateway.api import edge
from gateway.api.spec import Answer, Route
from gateway.model.submission import Scope

JSON, NDJSON = "application/json", "application/x-ndjson"
#: Statuses of a body that cannot be used.
BODY = (400, 408, 413, 415, 422)


def for_callers(
    method: str,
    path: str,
    summary: str,
    handler: edge.CallerHandler,
    scope: Scope,
    *,
    is_counted: bool = False,
    **more: Any,
) -> Route:
    """One for callers with a key of this scope. is_counted: each request counts as a message
    against the tenant's rate; where messages are posted, they count. more: fields of `Route`."""
    tag = path.split("/")[2]
    return Route(
        method=method,
        path=path,
        summary=summary,
        tag={"preview": "messages"}.get(tag, tag),
        handler=edge.guard(handler, scope, is_counted=is_counted),
        documented=handler,
        scope=scope,
        **more,
    )


def for_all(
    method: str,
    path: str,
    summary: str,
    tag: str,
    handler: edge.Handler,
    answers: Mapping[int, Answer],
    problems: tuple[int, ...] = (),
) -> Route:
    """One without a key."""
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
