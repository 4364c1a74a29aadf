"""What a route is: where it is found, who may use it, and what it takes and gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.api.edge import Handler
from gateway.model.submission import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query parameter."""

    name: str
    description: str
    #: JSON Schema
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A good answer."""

    description: str
    #: a typed dict; None: no JSON
    shape: type[Any] | None = None
    content_type: str = "application/json"
    example: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method of one address. The handler's docstring describes it to callers."""

    method: str
    path: str
    summary: str
    tag: str
    #: with a scope it takes the caller as well; see `caller_route`
    handler: Handler
    #: the documented function; `handler` may be wrapped
    documented: object
    #: None: open to all
    scope: Scope | None = None
    #: by content type, what the body is
    bodies: Mapping[str, Any] = field(default_factory=dict)
    #: by name, bodies to show
    examples: Mapping[str, Any] = field(default_factory=dict)
    queries: tuple[Query, ...] = ()
    #: header parameters, the same way
    headers: tuple[Query, ...] = ()
    answers: Mapping[int, Answer] = field(default_factory=dict)
    #: statuses of problems beside those that any request may meet
    problems: tuple[int, ...] = ()
