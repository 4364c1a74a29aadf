"""The description for programs (`/openapi.json`) and for people (`/docs`, one page, no network)."""

import asyncio
import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from importlib import resources
from typing import Any

import orjson
from aiohttp import web

_PLACE = "/*OPENAPI*/"
_CACHE = "max-age=300"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    openapi: bytes
    html: bytes
    #: of the second, as `Content-Security-Policy` has it
    policy: str


class Pages:
    """Both pages as bytes, made when somebody first asks: that takes as long as all the rest of a
    start, and few gateways are ever asked."""

    def __init__(self, describe: Callable[[], dict[str, Any]]) -> None:
        self._describe = describe
        self._made: _Made | None = None

    async def get(self) -> _Made:
        """In a thread, as messages come in meanwhile."""
        if self._made is None:
            self._made = await asyncio.to_thread(_make, self._describe)
        return self._made


def _make(describe: Callable[[], dict[str, Any]]) -> _Made:
    document = orjson.dumps(describe())
    template = resources.files("gateway.api").joinpath("docs.html").read_text("utf-8")
    # `</` would end the element that holds the document.
    embedded = document.decode().replace("</", "<\\/")
    html = template.replace(_PLACE, embedded).encode()
    return _Made(openapi=document, html=html, policy=_policy(template))


def _policy(html: str) -> str:
    """Nothing may load or run but this page's own style and script (CSP 3 §2.3.1)."""
    style = _hash(r"<style>(.*?)</style>", html)
    script = _hash(r"<script>(.*?)</script>", html)
    return (
        f"default-src 'none'; style-src '{style}'; script-src '{script}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _hash(pattern: str, html: str) -> str:
    (text,) = re.findall(pattern, html, re.DOTALL)
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


PAGES = web.AppKey("pages", Pages)


async def openapi_json(request: web.Request) -> web.Response:
    """The OpenAPI 3.1 document."""
    return web.Response(
        body=(await request.app[PAGES].get()).openapi,
        content_type="application/json",
        headers={"Cache-Control": _CACHE},
    )


async def home(request: web.Request) -> web.Response:
    """Who opens the bare address wants to know what this is."""
    return web.Response(status=HTTPStatus.FOUND, headers={"Location": "/docs"})


async def page(request: web.Request) -> web.Response:
    """The same for people: a page that needs nothing from elsewhere."""
    made = await request.app[PAGES].get()
    headers = {
        "Content-Security-Policy": made.policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": _CACHE,
    }
    return web.Response(body=made.html, content_type="text/html", charset="utf-8", headers=headers)
