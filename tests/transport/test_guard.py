"""Which targets a webhook may have: the special ranges, and every way to disguise them."""

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.transport.guard import NOT_ALLOWED, NOT_HERE, AddressGuard, AddressRefused

#: Registries of special-purpose addresses, with the ways that IPv6 has to carry IPv4.
FORBIDDEN = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.254",
    "127.0.0.1",
    "127.255.255.255",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::10.0.0.1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:0808:0808::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456:789a::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "localhost",
    "",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "223.255.255.254",
    "2606:4700:4700::1111",
    "2a00:1450:4001:81b::200e",
    "240e::1",
]
PRIVATE4 = st.sampled_from(["10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16"])


@pytest.mark.parametrize("address", FORBIDDEN)
def test_special_address_is_refused(address: str) -> None:
    assert AddressGuard().check_address(address, port=443, encrypted=True) == NOT_ALLOWED


@pytest.mark.parametrize("address", PUBLIC)
def test_public_address_takes_https_on_the_usual_ports_only(address: str) -> None:
    guard = AddressGuard()

    assert guard.check_address(address, port=443, encrypted=True) == ""
    assert guard.check_address(address, port=8443, encrypted=True) == ""
    assert guard.check_address(address, port=5432, encrypted=True) == "port not allowed"
    assert guard.check_address(address, port=443, encrypted=False) == "scheme not allowed"


def test_listed_network_takes_http_and_any_port_but_its_neighbours_do_not() -> None:
    guard = AddressGuard(["10.20.0.0/16", "fd00:20::/32"])

    assert guard.check_address("10.20.255.1", port=8080, encrypted=False) == ""
    assert guard.check_address("fd00:20::1", port=8080, encrypted=False) == ""
    assert guard.check_address("10.21.0.1", port=443, encrypted=True) == NOT_ALLOWED
    assert guard.check_address("::ffff:10.20.0.1", port=443, encrypted=True) == NOT_ALLOWED


def test_listed_translation_prefix_still_leads_to_public_hosts_only() -> None:
    guard = AddressGuard(["64:ff9b::/96", "10.20.0.0/16"])

    assert guard.check_address("64:ff9b::8.8.8.8", port=443, encrypted=True) == ""
    assert guard.check_address("64:ff9b::10.20.0.1", port=443, encrypted=True) == ""
    assert guard.check_address("64:ff9b::10.0.0.1", port=443, encrypted=True) == NOT_ALLOWED
    assert guard.check_address("64:ff9b::7f00:1", port=443, encrypted=True) == NOT_ALLOWED


def test_network_that_is_none_is_a_mistake_to_report() -> None:
    with pytest.raises(ValueError, match="host bits"):
        AddressGuard(["10.20.0.1/16"])


@given(network=PRIVATE4, offset=st.integers(0, 2**16 - 1))
def test_no_disguise_of_a_private_address_gets_through(network: str, offset: int) -> None:
    inner = int(ipaddress.IPv4Network(network)[offset])
    disguises = [
        (0xFFFF << 32) | inner,  # mapped
        inner,  # compatible
        (0x0064FF9B << 96) | inner,  # NAT64
        (0x0064FF9B0001 << 80) | inner,  # NAT64, local
        (0x2002 << 112) | (inner << 80) | 1,  # 6to4
        (0x20010000 << 96) | (inner << 64),  # Teredo server
        (0x20010000 << 96) | (0x08080808 << 64) | (inner ^ 0xFFFFFFFF),  # Teredo client
    ]

    for value in disguises:
        address = str(ipaddress.IPv6Address(value))
        assert AddressGuard().check_address(address, port=443, encrypted=True) == NOT_ALLOWED
        listed = AddressGuard(["::/0"])  # whoever lists all of IPv6 has not listed IPv4
        if value != inner or inner >> 24:
            assert listed.check_address(address, port=443, encrypted=True) == NOT_ALLOWED


@given(st.ip_addresses(v=4))
def test_what_is_let_through_is_global_for_the_standard_library_too(
    address: ipaddress.IPv4Address,
) -> None:
    let_through = not AddressGuard().check_address(str(address), port=443, encrypted=True)

    assert not let_through or (address.is_global and not address.is_multicast)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://example.com/hook?a=b", ""),
        ("https://example.com:8443/", ""),
        ("https://EXAMPLE.com./", ""),
        ("https://例え.jp/hook", ""),
        ("https://8.8.8.8/", ""),
        ("https://[2606:4700::1]/", ""),
        ("http://example.com/", "scheme not allowed"),
        ("ftp://example.com/", "scheme not allowed"),
        ("file:///etc/passwd", "scheme not allowed"),
        ("gopher://example.com/", "scheme not allowed"),
        ("//example.com/", "scheme not allowed"),
        ("example.com", "scheme not allowed"),
        ("", "scheme not allowed"),
        ("https://example.com:22/", "port not allowed"),
        ("https://example.com:0/", "invalid url"),
        ("https://example.com:99999/", "invalid url"),
        ("https://user:password@example.com/", "credentials in url"),
        ("https://user@example.com/", "credentials in url"),
        ("https://@example.com/", ""),
        ("https:///hook", "invalid url"),
        ("https://[::1/", "invalid url"),
        ("https://exa mple.com/", "invalid url"),
        ("https://example.com/\r\nX: y", "invalid url"),
        ("https://example.com\\@localhost/", "invalid url"),
        ("https://127.0.0.1/", NOT_ALLOWED),
        ("https://127.1/", NOT_ALLOWED),
        ("https://2130706433/", NOT_ALLOWED),
        ("https://0x7f000001/", NOT_ALLOWED),
        ("https://0x7f.0.0.1/", NOT_ALLOWED),
        ("https://017700000001/", NOT_ALLOWED),
        ("https://127.0.0.1./", NOT_ALLOWED),
        ("https://[::1]/", NOT_ALLOWED),
        ("https://[::ffff:127.0.0.1]/", NOT_ALLOWED),
        ("https://[64:ff9b::7f00:1]/", NOT_ALLOWED),
        ("https://[fe80::1%25eth0]/", NOT_ALLOWED),
        ("https://169.254.169.254/latest/meta-data/", NOT_ALLOWED),
    ],
)
def test_url_is_judged_by_what_it_shows(url: str, reason: str) -> None:
    assert AddressGuard().check_url(url) == reason


def test_url_with_a_name_may_yet_lie_in_a_listed_network() -> None:
    guard = AddressGuard(["10.20.0.0/16"])

    assert guard.check_url("http://hooks.internal:8080/") == ""
    assert guard.check_url("http://10.20.1.2:8080/") == ""
    assert guard.check_url("http://10.21.1.2:8080/") == NOT_ALLOWED
    assert guard.check_url("http://8.8.8.8/") == "scheme not allowed"
    assert guard.check_url("https://8.8.8.8:22/") == "port not allowed"
    assert guard.check_url("http://user@10.20.1.2/") == "credentials in url"


@given(st.text())
def test_any_text_is_judged_without_an_exception(url: str) -> None:
    AddressGuard(["10.0.0.0/8"]).check_url(url)
    AddressGuard().check_url("https://" + url)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://localhost:9000/hooks", ""),
        ("http://receiver.localhost./hooks", ""),
        ("http://127.1.2.3:9000/hooks", ""),
        ("https://[::1]/hooks", ""),
        ("https://billing.example.com/hooks", NOT_HERE),
        ("https://localhost.example.com/hooks", NOT_HERE),
        ("https://8.8.8.8/hooks", NOT_HERE),
        ("https://10.20.1.2/hooks", NOT_HERE),
        ("https://[::ffff:8.8.8.8]/hooks", NOT_HERE),
    ],
)
def test_nothing_but_this_machine_where_that_is_asked(url: str, reason: str) -> None:
    assert AddressGuard(["10.20.0.0/16"], only_loopback=True).check_url(url) == reason


def test_name_that_leads_elsewhere_gets_no_socket_where_only_this_machine_is_allowed() -> None:
    guard = AddressGuard(["10.20.0.0/16"], only_loopback=True)
    kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")

    for address in ("8.8.8.8", "10.20.1.2"):
        with pytest.raises(AddressRefused, match="not on this machine"):
            guard.open_socket((*kind, (address, 443)), encrypted=True)
    guard.open_socket((*kind, ("127.0.0.1", 9000)), encrypted=False).close()


def test_socket_is_opened_for_listed_addresses_only() -> None:
    guard = AddressGuard(["127.0.0.0/8"])
    inside = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 80))
    outside = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("10.0.0.1", 443))

    with guard.open_socket(inside, encrypted=False) as opened:
        assert opened.family is socket.AF_INET
    with pytest.raises(AddressRefused, match=NOT_ALLOWED):
        guard.open_socket(outside, encrypted=True)
