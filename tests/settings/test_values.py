"""Durations, sizes, addresses and names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.settings import values


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("20s", 20),
        ("1.5s", 1.5),
        ("5m", 300),
        ("2h", 7200),
        ("180d", 15552000),
        (10, 10),
        (0.5, 0.5),
        ("0s", 0),
    ],
)
def test_durations_are_seconds(text: object, seconds: float) -> None:
    assert values.read_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "5", "5 m", "m", "-5s", "5M", "1h30m", "5m\n", True, None, []]
)
def test_other_durations_are_refused(text: object) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        values.read_duration(text)


@given(st.integers(0, 10**9))
def test_a_duration_that_was_shown_reads_back(milliseconds: int) -> None:
    seconds = milliseconds / 1000

    shown = values.show_duration(seconds)

    assert values.read_duration(shown) == pytest.approx(seconds, rel=1e-5)


@pytest.mark.parametrize(
    ("text", "size"), [("4MiB", 4194304), ("512 KiB", 524288), ("1kB", 1000), ("7B", 7), (9, 9)]
)
def test_sizes_are_bytes(text: object, size: int) -> None:
    assert values.read_size(text) == size


@pytest.mark.parametrize("text", ["", "4", "4M", "4mib", "-1B", 1.5, True])
def test_other_sizes_are_refused(text: object) -> None:
    with pytest.raises(ValueError, match="not a size"):
        values.read_size(text)


@given(st.integers(1, 2**40))
def test_a_size_that_was_shown_reads_back(size: int) -> None:
    assert values.read_size(values.show_size(size)) == size


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("[::1]:8080", ("::1", 8080)),
        ("localhost:0", ("localhost", 0)),
        (("h", 1), ("h", 1)),
    ],
)
def test_addresses_have_a_host_and_a_port(text: object, address: tuple[str, int]) -> None:
    assert values.read_address(text) == address


@pytest.mark.parametrize("text", ["", "8080", ":8080", "::1:8080", "h:", "h:65536", "h:x", 8080])
def test_other_addresses_are_refused(text: object) -> None:
    with pytest.raises(ValueError, match="not an address"):
        values.read_address(text)


@pytest.mark.parametrize("name", ["a", "sms.cn", "relay-bulk", "A_1"])
def test_names_are_plain(name: str) -> None:
    assert values.check_name(name) == name


@pytest.mark.parametrize("name", ["", ".a", "a/b", "a b", "a\n", "ä", "a" * 65])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="a name is"):
        values.check_name(name)
