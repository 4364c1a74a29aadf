"""Where requests go, and what stands in their header lists."""

import pytest

from gateway.model import errors, wire
from gateway.transport.http2_request import Preparer
from gateway.transport.lean_request import Origin


def placed(preparer: Preparer, url: str) -> tuple[Origin, str, str]:
    origin, fields = preparer.prepare(wire.HttpRequest(method="POST", url=url))
    named = {name: value.decode() for name, value in fields}
    return origin, named[b":authority"], named[b":path"]


@pytest.mark.parametrize(
    ("url", "host", "port", "authority", "path"),
    [
        (
            "https://push.example/3/device/00ff",
            "push.example",
            443,
            "push.example",
            "/3/device/00ff",
        ),
        (
            "https://push.example:2197/a?b=%2F",
            "push.example",
            2197,
            "push.example:2197",
            "/a?b=%2F",
        ),
        ("https://push.example", "push.example", 443, "push.example", "/"),
        ("https://push.example?a=/b", "push.example", 443, "push.example", "/?a=/b"),
        ("https://push.example/a#b", "push.example", 443, "push.example", "/a"),
        ("https://push.example/\u00e9", "push.example", 443, "push.example", "/%C3%A9"),
        ("https://[::1]:8443/a/../b", "::1", 8443, "[::1]:8443", "/a/../b"),
        ("https://push.example./a", "push.example", 443, "push.example", "/a"),
    ],
)
def test_url_leads_to_the_same_place_each_time(
    url: str, host: str, port: int, authority: str, path: str
) -> None:
    preparer = Preparer()

    found = [placed(preparer, url) for _ in range(3)]

    assert found == [(Origin(True, host, port), authority, path)] * 3


def test_one_url_does_not_change_where_another_leads() -> None:
    preparer = Preparer()
    placed(preparer, "https://push.example/a")
    placed(preparer, "https://push.example?x=/a")

    assert placed(preparer, "https://push.example?x=/b")[2] == "/?x=/b"
    assert placed(preparer, "https://push.example/b")[2] == "/b"


@pytest.mark.parametrize(
    "url", ["http://push.example/a", "https://u:p@push.example/a", "https://", "https:///a", "x"]
)
def test_url_that_leads_nowhere_is_refused_also_after_a_good_one(url: str) -> None:
    preparer = Preparer()
    placed(preparer, "https://push.example/a")

    for _ in range(2):
        with pytest.raises(errors.NotSent):
            placed(preparer, url)
