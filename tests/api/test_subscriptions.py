"""The link of a mail by which a recipient leaves: pages for people, one click for mail programs."""

import asyncio
import urllib.error
import urllib.parse
import urllib.request
from html.parser import HTMLParser
from typing import Any

import aiohttp
import pytest

from gateway.model import errors


class Page(HTMLParser):
    """What matters of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.languages: set[str] = set()
        self.form: dict[str, str | None] = {}
        self.fields: dict[str, str] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        if language := found.get("lang"):
            self.languages.add(language)
        if tag == "form":
            self.form = found
        if tag == "input":
            self.fields[found["name"] or ""] = found["value"] or ""


async def test_page_asks_and_changes_nothing(edge: Any, fakes: Any) -> None:
    async with aiohttp.ClientSession() as stranger:
        for _ in range(2):
            async with stranger.get(f"{edge.url}/u/good-1") as response:
                page = Page(await response.text())
                assert response.status == 200
                assert response.content_type == "text/html"

    assert page.form == {"method": "post"}
    assert page.fields == {"List-Unsubscribe": "One-Click"}
    assert page.tags.count("button") == 1
    assert page.languages == {"en", "zh"}
    assert not {"script", "link", "img", "iframe", "style"} & set(page.tags)
    assert fakes.subscriptions.left == []


async def test_page_is_kept_by_nobody_and_may_load_nothing(edge: Any) -> None:
    async with aiohttp.ClientSession() as stranger, stranger.get(f"{edge.url}/u/good-1") as answer:
        headers = answer.headers

    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; form-action 'self'")


async def test_head_of_a_scanner_changes_nothing(edge: Any, fakes: Any) -> None:
    async with aiohttp.ClientSession() as stranger, stranger.head(f"{edge.url}/u/good-1") as answer:
        assert answer.status == 200

    assert fakes.subscriptions.left == []


async def test_button_does_what_the_page_says(edge: Any, fakes: Any) -> None:
    async with aiohttp.ClientSession() as stranger:
        async with stranger.get(f"{edge.url}/u/good-1") as response:
            page = Page(await response.text())
        async with stranger.post(f"{edge.url}/u/good-1", data=page.fields) as response:
            text = await response.text()

    assert response.status == 200
    assert "Done" in text
    assert "已退订" in text
    assert fakes.subscriptions.left == ["good-1"]


@pytest.mark.parametrize("multipart", [False, True], ids=["urlencoded", "multipart"])
async def test_one_click_of_a_mail_program_is_taken(edge: Any, fakes: Any, multipart: bool) -> None:
    """RFC 8058 §3.2: either form, without cookies or keys, and no redirect for an answer."""
    form = aiohttp.FormData({"List-Unsubscribe": "One-Click"}, default_to_multipart=multipart)

    async with (
        aiohttp.ClientSession() as program,
        program.post(f"{edge.url}/u/good-1", data=form, allow_redirects=False) as answer,
    ):
        assert answer.status == 200
    assert fakes.subscriptions.left == ["good-1"]


async def test_one_click_by_another_library(edge: Any, fakes: Any) -> None:
    body = urllib.parse.urlencode({"List-Unsubscribe": "One-Click"}).encode()
    request = urllib.request.Request(f"{edge.url}/u/good-1", data=body)

    def click() -> int:
        with urllib.request.urlopen(request, timeout=10) as answer:
            status: int = answer.status
            return status

    assert len(body) == 26  # as RFC 8058 §8.1 shows it
    assert await asyncio.to_thread(click) == 200
    assert fakes.subscriptions.left == ["good-1"]


async def test_second_click_is_harmless(edge: Any) -> None:
    statuses = []
    async with aiohttp.ClientSession() as program:
        for _ in range(2):
            async with program.post(f"{edge.url}/u/good-1") as answer:
                statuses.append(answer.status)

    assert statuses == [200, 200]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("token", ["bad", "%00", "..%2f..%2fv1", "x" * 4000, "%E7%A0%81", "a%3Cb"])
async def test_link_of_nobodys_is_not_found(edge: Any, fakes: Any, method: str, token: str) -> None:
    async with (
        aiohttp.ClientSession() as stranger,
        stranger.request(method, f"{edge.url}/u/{token}") as answer,
    ):
        text = await answer.text()

    assert answer.status == 404
    assert token not in text
    assert fakes.subscriptions.left == []


async def test_person_is_told_to_come_back_while_the_store_is_away(edge: Any, fakes: Any) -> None:
    fakes.subscriptions.failure = errors.StoreUnavailable("gone")

    async with aiohttp.ClientSession() as program, program.post(f"{edge.url}/u/good-1") as answer:
        assert answer.status == 503
        assert "Retry-After" in answer.headers
