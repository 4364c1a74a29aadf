"""The description for programs (`/openapi.json`) and for people (`/docs`, one page, no network)."""

import base64
import hashlib
import re
from http import HTTPStatus
from importlib import resources
from typing import Any

import orjson
from aiohttp import web

_PLACE = "/*OPENAPI*/"
_CACHE = "max-age=300"


class Pages:
    """Both pages as bytes, made once."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.openapi = orjson.dumps(document)
        template = resources.files("gateway.api").joinpath("docs.html").read_text("utf-8")
        # `</` would end the element that holds the document.
        embedded = self.openapi.decode().replace("</", "<\\/")
        self.html = template.replace(_PLACE, embedded).encode()
        self.policy = _policy(template)


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
        body=request.app[PAGES].openapi,
        content_type="application/json",
        headers={"Cache-Control": _CACHE},
    )


async def home(request: web.Request) -> web.Response:
    """Who opens the bare address wants to know what this is."""
    return web.Response(status=HTTPStatus.FOUND, headers={"Location": "/docs"})


async def page(request: web.Request) -> web.Response:
    """The same for people: a page that needs nothing from elsewhere."""
    pages = request.app[PAGES]
    headers = {
        "Content-Security-Policy": pages.policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": _CACHE,
    }
    return web.Response(body=pages.html, content_type="text/html", charset="utf-8", headers=headers)
