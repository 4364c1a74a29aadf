"""The link of a mail by which a recipient leaves: pages for people, one click for mail programs."""

import asyncio
import urllib.error
import urllib.parse
import urllib.request
from html.parser import HTMLParser
from typing import Any

import aiohttp
import httpx
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
        self.links: set[str] = set()
        #: by value, whether it is ticked
        self.boxes: dict[str, bool] = {}
        self.text = ""
        self.feed(html)
        self.close()

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        if language := found.get("lang"):
            self.languages.add(language)
        if tag == "form":
            self.form = found
        if tag == "a":
            self.links.add(found["href"] or "")
        if tag == "input" and found["type"] == "checkbox":
            self.boxes[found["value"] or ""] = "checked" in found
        elif tag == "input":
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


# The page with all categories


async def get(url: str) -> tuple[int, Page]:
    async with aiohttp.ClientSession() as stranger, stranger.get(url) as answer:
        return answer.status, Page(await answer.text())


async def test_both_pages_lead_to_the_one_with_all_categories(edge: Any) -> None:
    link = f"{edge.url}/u/good-1"
    _, asking = await get(link)
    async with aiohttp.ClientSession() as person, person.post(link) as answer:
        done = Page(await answer.text())

    for page in (asking, done):
        (relative,) = page.links
        status, preferences = await get(urllib.parse.urljoin(link, relative))
        assert status == 200
        assert preferences.boxes


async def test_page_shows_what_somebody_gets_in_plain_html(edge: Any, fakes: Any) -> None:
    for _ in range(2):
        status, page = await get(f"{edge.url}/u/good-1/preferences")

    assert status == 200
    assert page.boxes == {"news": True, "tips": False}
    assert page.form == {"method": "post"}
    assert page.fields == {}
    assert page.tags.count("button") == 1
    assert page.tags.count("label") == 2
    assert page.languages == {"en", "zh"}
    assert 'Tips & "tricks" <b>' in page.text
    assert not {"script", "link", "img", "iframe", "style", "b"} & set(page.tags)
    assert fakes.subscriptions.left == []


async def test_form_of_the_page_works_with_another_client(edge: Any, fakes: Any) -> None:
    url = f"{edge.url}/u/good-1/preferences"
    async with httpx.AsyncClient() as browser:
        before = Page((await browser.get(url)).text)
        answer = await browser.post(url, data={"wanted": [*before.boxes]})
        other = await browser.post(url, data={"wanted": ["tips"]})
        none = await browser.post(
            url, content=b"", headers={"content-type": "application/x-www-form-urlencoded"}
        )

    pages = [Page(one.text) for one in (answer, other, none)]
    assert [one.status_code for one in (answer, other, none)] == [200, 200, 200]
    assert [page.boxes for page in pages] == [
        {"news": True, "tips": True},
        {"news": False, "tips": True},
        {"news": False, "tips": False},
    ]
    assert all("Saved" in page.text and "已保存" in page.text for page in pages)
    assert answer.headers["cache-control"] == "no-store"


async def test_page_without_choices_says_so(edge: Any, fakes: Any) -> None:
    fakes.subscriptions.offered = []

    _, page = await get(f"{edge.url}/u/good-1/preferences")

    assert "nothing to choose" in page.text
    assert "form" not in page.tags


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_page_of_nobodys_link_is_not_found(edge: Any, method: str) -> None:
    async with (
        aiohttp.ClientSession() as stranger,
        stranger.request(
            method, f"{edge.url}/u/bad/preferences", data={} if method == "POST" else None
        ) as answer,
    ):
        assert answer.status == 404
        assert "not complete" in await answer.text()


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{}", "application/json", 415),
        (b"wanted=%ff", "application/x-www-form-urlencoded", 400),
        (b"\xff", "application/x-www-form-urlencoded", 400),
        (b"a=b&" * 1_001, "application/x-www-form-urlencoded", 400),
    ],
)
async def test_form_that_cannot_be_read_changes_nothing(
    edge: Any, fakes: Any, body: bytes, content_type: str, status: int
) -> None:
    before = fakes.subscriptions.offered
    async with (
        aiohttp.ClientSession() as stranger,
        stranger.post(
            f"{edge.url}/u/good-1/preferences", data=body, headers={"Content-Type": content_type}
        ) as answer,
    ):
        assert answer.status == status

    assert fakes.subscriptions.offered is before
