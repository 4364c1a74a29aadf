"""Requests as bytes, as a parser for servers reads them."""

import base64

import httptools
import pytest

from gateway import __version__
from gateway.model import errors
from gateway.transport import lean_request


class Seen:
    """One request as a parser sees it."""

    def __init__(self, data: bytes) -> None:
        self.url = self.body = b""
        self.headers: list[tuple[str, str]] = []
        self.is_whole = False
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(data)
        self.method = parser.get_method()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode().lower(), value.decode()))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.is_whole = True


def see(method: str, url: str, *headers: tuple[str, str], body: bytes = b"") -> Seen:
    seen = Seen(b"".join(lean_request.Heads().prepare(method, url, headers).write(body)))
    assert seen.is_whole
    return seen


def test_request_says_what_was_given_and_no_more_than_it_must() -> None:
    seen = see("POST", "http://ex.com:81/a%2fb?c=d+e#f", ("X-A", "b"), body=b"body")

    assert (seen.method, seen.url, seen.body) == (b"POST", b"/a%2fb?c=d+e", b"body")
    assert dict(seen.headers) == {
        "host": "ex.com:81",
        "x-a": "b",
        "accept": "*/*",
        "accept-encoding": "identity",
        "user-agent": f"gateway/{__version__}",
        "content-length": "4",
    }
    assert len(seen.headers) == 6


def test_given_headers_replace_ours_whatever_their_case() -> None:
    given = (
        ("ACCEPT", "a/b"),
        ("accept-encoding", "gzip"),
        ("User-Agent", "me"),
        ("Host", "there"),
    )

    seen = see("GET", "http://ex.com/", *given)

    assert seen.headers == [(name.lower(), value) for name, value in given]


@pytest.mark.parametrize(
    ("method", "length"), [("POST", "0"), ("PUT", "0"), ("GET", None), ("DELETE", None)]
)
def test_length_of_no_body_is_stated_where_one_is_expected(method: str, length: str | None) -> None:
    seen = see(method, "http://ex.com/")

    assert dict(seen.headers).get("content-length") == length


def test_length_is_the_bodys_own() -> None:
    seen = see("POST", "http://ex.com/", ("Content-Length", "1"), body=b"body")

    assert [value for name, value in seen.headers if name == "content-length"] == ["4"]


def test_long_body_is_not_copied() -> None:
    body = bytes(1_000_000)

    first, rest = lean_request.Heads().prepare("POST", "http://ex.com/", ()).write(body)

    assert rest is body
    assert Seen(first + rest).body == body


@pytest.mark.parametrize(
    ("url", "origin", "host"),
    [
        ("http://ex.com/", (False, "ex.com", 80), "ex.com"),
        ("https://EX.com:443?a", (True, "ex.com", 443), "ex.com"),
        ("https://[::1]:8443/", (True, "::1", 8443), "[::1]:8443"),
        ("https://bücher.example/", (True, "xn--bcher-kva.example", 443), "xn--bcher-kva.example"),
        ("https://ex.com./", (True, "ex.com", 443), "ex.com"),
    ],
)
def test_origin_and_host(url: str, origin: tuple[bool, str, int], host: str) -> None:
    head = lean_request.Heads().prepare("POST", url, ())

    assert (head.origin.encrypted, head.origin.host.lower(), head.origin.port) == origin
    assert dict(see("POST", url).headers)["host"].lower() == host


def test_credentials_in_the_url_become_basic_authorization() -> None:
    seen = see("GET", "http://us%3Aer:p%40ss@ex.com/")

    scheme, _, code = dict(seen.headers)["authorization"].partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(code) == b"us:er:p@ss"
    assert dict(seen.headers)["host"] == "ex.com"


def test_url_that_is_not_ascii_is_quoted() -> None:
    assert see("GET", "http://ex.com/ä?b=ö x").url == b"/%C3%A4?b=%C3%B6+x"


@pytest.mark.parametrize(
    ("method", "url", "header"),
    [
        ("PO ST", "http://ex.com/", ("a", "b")),
        ("", "http://ex.com/", ("a", "b")),
        ("POST", "http://ex.com/", ("a\n", "b")),
        ("POST", "http://ex.com/", ("", "b")),
        ("POST", "http://ex.com/", ("a b", "c")),
        ("POST", "http://ex.com/", ("a", "b\rc")),
        ("POST", "http://ex.com/", ("a", "b\n")),
        ("POST", "http://ex.com/", ("a", "\0")),
        ("POST", "http://ex.com/", ("a", "\ud800")),
        ("POST", "http://ex.com/", ("Transfer-Encoding", "chunked")),
        ("POST", "http://ex.com:0/", ("a", "b")),
        ("POST", "http://ex.com:99999/", ("a", "b")),
        ("POST", "ftp://ex.com/", ("a", "b")),
        ("POST", "//ex.com/", ("a", "b")),
        ("POST", "", ("a", "b")),
    ],
)
def test_what_would_break_the_framing_is_not_sent(
    method: str, url: str, header: tuple[str, str]
) -> None:
    with pytest.raises(errors.NotSent, match=r"^invalid (request|url)$"):
        lean_request.Heads().prepare(method, url, (header,))


@pytest.mark.parametrize("bad", ["\r", "\n", "\0", " ", "\t", "\x7f", "\x85"])
def test_blanks_in_a_url_reach_no_request_line(bad: str) -> None:
    try:
        head = lean_request.Heads().prepare("GET", f"http://ex.com/a{bad}b", ())
    except errors.NotSent:
        return

    line, _, _ = head.start.partition(b" HTTP/1.1\r\n")
    assert line.removeprefix(b"GET ").decode("ascii").isprintable()
    assert b" " not in line.removeprefix(b"GET ")
