"""The two applications: which routes each has, and what happens around every handler."""

from collections.abc import Sequence
from dataclasses import replace

from aiohttp import web

from gateway.api import docs, edge, examples, openapi, table
from gateway.api.bodies import LIMITS
from gateway.api.limits import Limits
from gateway.api.services import SERVICES, Services
from gateway.api.spec import Route
from gateway.api.throttle import THROTTLE, Throttle


def public_app(services: Services, limits: Limits) -> web.Application:
    """What callers and providers reach."""
    app = _app(table.PUBLIC, services, limits)
    routes = _for_loopback(table.PUBLIC) if services.only_loopback else table.PUBLIC
    app.router.add_get("/", docs.home)
    app[docs.PAGES] = docs.Pages(lambda: openapi.document(routes))
    return app


def _for_loopback(routes: Sequence[Route]) -> Sequence[Route]:
    """With examples that are taken where nothing leaves the machine."""
    return [
        replace(one, examples=examples.LOCAL_WEBHOOK) if one.examples is examples.WEBHOOK else one
        for one in routes
    ]


def internal_app(services: Services) -> web.Application:
    """What operators reach; no key, so it belongs on an internal address."""
    return _app(table.INTERNAL, services, Limits())


def _app(routes: Sequence[Route], services: Services, limits: Limits) -> web.Application:
    app = web.Application(
        middlewares=[edge.identify, edge.explain],
        client_max_size=limits.max_body,
        handler_args={"auto_decompress": False},
    )
    app[SERVICES] = services
    app[LIMITS] = limits
    app[THROTTLE] = Throttle(limits, services.clock)
    for route in routes:
        path = route.path.replace("{path}", "{path:.+}")  # as many segments as there are
        # HEAD goes wherever GET does (RFC 9110 §9.1).
        for method in ("HEAD", "GET") if route.method == "GET" else (route.method,):
            app.router.add_route(method, path, route.handler, expect_handler=edge.no_expectations)
    return app
