"""Which addresses a webhook may be sent to, so that a tenant cannot aim us at our own network.

What a URL alone shows is checked by `check_url`; what its name resolves to is checked again for
every socket that is opened (`open_socket`), because a name may resolve to something else a
moment later, and because aiohttp asks no resolver about IP literals.

Address ranges: IANA special-purpose registries (RFC 6890), RFC 6052 and RFC 8215 (NAT64),
RFC 3056 (6to4), RFC 4380 (Teredo), RFC 6598 (carrier-grade NAT).
"""

import functools
import ipaddress
import re
import socket
from collections.abc import Sequence
from typing import TypeAlias

from yarl import URL

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
#: as `socket.getaddrinfo` gives it: family, type, protocol, canonical name, socket address
AddrInfo: TypeAlias = tuple[
    int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[object, ...]
]

NOT_ALLOWED = "address not allowed"
NOT_HERE = "not on this machine: use localhost, 127.0.0.1 or [::1]"

#: Parsers disagree about what these do in a URL.
_BLANK = re.compile(r"[\x00-\x20\x7f]")

#: Ports of public receivers. Anything else is more likely somebody's database than a webhook.
PORTS = frozenset({443, 8443})

#: The only IPv6 space that is assigned to public hosts (RFC 4291 §2.4).
_UNICAST6 = ipaddress.IPv6Network("2000::/3")

#: Not for webhooks, though some Python versions call parts of it global.
_SPECIAL: tuple[IPNetwork, ...] = tuple(
    ipaddress.ip_network(block)
    for block in (
        "100.64.0.0/10",  # carrier-grade NAT
        "192.0.0.0/24",  # protocol assignments
        "192.88.99.0/24",  # 6to4 relays, withdrawn by RFC 7526
        "198.18.0.0/15",  # benchmarks
        "2001::/23",  # protocol assignments, with Teredo and ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
)

_LOOPBACK6 = ipaddress.IPv6Address("::1")
_LOOPBACK: tuple[IPNetwork, ...] = (
    ipaddress.IPv4Network("127.0.0.0/8"),
    ipaddress.IPv6Network(_LOOPBACK6),
)

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = ipaddress.IPv6Network("64:ff9b:1::/48")
_COMPATIBLE = ipaddress.IPv6Network("::/96")


class AddressRefused(OSError):
    """The address is not one that we may connect to; no packet was sent."""


class AddressGuard:
    """Lets through public https, and anything that lies in the networks of the allow-list."""

    def __init__(self, allow_private: Sequence[str] = (), *, only_loopback: bool = False) -> None:
        """allow_private: networks such as `10.20.0.0/16`. Raises ValueError for anything else.

        only_loopback: nothing but this machine, whatever the networks.
        """
        listed = tuple(ipaddress.ip_network(block) for block in allow_private)
        self._allowed = _LOOPBACK if only_loopback else listed
        self._only_loopback = only_loopback
        # The same few endpoints are asked about for every webhook; judging one costs 50 µs.
        self._judgement = functools.lru_cache(maxsize=4096)(self._judge)

    def check_url(self, url: str) -> str:
        """Why this URL can never be a target, or "" if that is for its address to decide.

        Names are not resolved here. With an allow-list, plain http and other ports are left to
        the check of the address, for a name may lie within it.
        """
        return self._judgement(url)

    def _judge(self, url: str) -> str:
        if _BLANK.search(url):
            return "invalid url"
        try:
            target = URL(url)
        except ValueError:
            return "invalid url"
        return self._check_parts(target) or self._check_host(target)

    def _check_parts(self, target: URL) -> str:
        if target.scheme not in ("https", "http"):
            return "scheme not allowed"
        if not target.raw_host or not target.port:
            return "invalid url"
        if target.raw_user is not None or target.raw_password is not None:
            return "credentials in url"
        if not self._allowed and target.scheme != "https":
            return "scheme not allowed"
        if not self._allowed and target.port not in PORTS:
            return "port not allowed"
        return ""

    def _check_host(self, target: URL) -> str:
        host = target.raw_host or ""
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return NOT_ALLOWED if _looks_numeric(host) else self._check_name(host)
        encrypted = target.scheme == "https"
        return self.check_address(host, port=target.port or 0, encrypted=encrypted)

    def _check_name(self, host: str) -> str:
        if self._only_loopback and not _is_localhost(host):
            return NOT_HERE
        return ""

    def check_address(self, address: str, *, port: int, encrypted: bool) -> str:
        """Why we may not connect there, or "". `address` is an IP address, not a name."""
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return NOT_ALLOWED
        if self._is_allowed(ip):
            return ""
        if self._only_loopback:
            return NOT_HERE
        if not _is_public(ip):
            return NOT_ALLOWED
        if not encrypted:
            return "scheme not allowed"
        return "" if port in PORTS else "port not allowed"

    def _is_allowed(self, ip: IPAddress) -> bool:
        """In the allow-list, and so is what it stands for, if it is a translated address."""
        if not any(ip in network for network in self._allowed):
            return False
        inner = _embedded(ip)
        return all(_is_public(one) or self._is_allowed(one) for one in inner)

    def open_socket(self, info: AddrInfo, *, encrypted: bool) -> socket.socket:
        """A socket for exactly this address. Raises AddressRefused."""
        family, kind, protocol, _, address = info
        port = address[1]
        assert isinstance(port, int)
        if reason := self.check_address(str(address[0]), port=port, encrypted=encrypted):
            raise AddressRefused(reason)
        return socket.socket(family, kind, protocol)


def _is_public(ip: IPAddress) -> bool:
    """A host on the Internet that is reached at its own address, without translation."""
    if not ip.is_global or ip.is_multicast or ip.is_reserved or ip.is_unspecified:
        return False
    if ip.version == 6 and ip not in _UNICAST6:
        return False
    return not any(ip in network for network in _SPECIAL)


def _embedded(ip: IPAddress) -> list[IPAddress]:
    """IPv4 addresses that an IPv6 address leads to by translation or tunnel."""
    if isinstance(ip, ipaddress.IPv4Address) or ip == _LOOPBACK6:
        return []
    found = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
    if any(ip in network for network in (_NAT64, _NAT64_LOCAL, _COMPATIBLE)):
        found.append(ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF))
    return [one for one in found if one is not None]


def _is_localhost(host: str) -> bool:
    """By RFC 6761 §6.3; what it resolves to is checked all the same."""
    return ("." + host.rstrip(".").lower()).endswith(".localhost")


def _looks_numeric(host: str) -> bool:
    """Forms such as `127.1`, `0x7f000001` and `2130706433`, which resolvers take for addresses."""
    last = host.rstrip(".").rpartition(".")[2].lower()
    return last.isdecimal() or last.startswith("0x")
