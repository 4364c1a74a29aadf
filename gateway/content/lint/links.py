"""Links: where they may lead, and what hides where they do."""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from gateway.content.lint.lists import Lists
from gateway.content.lint.sample import Sample
from gateway.model.lint import Finding, Rule, Severity

#: What phones may make a link of: letters of a host with a dot among them. Only where they begin,
#: or a run without a dot would be read once for each of its letters.
_RUN = re.compile(r"(?<![A-Za-z0-9.-])[A-Za-z0-9-]+\.[A-Za-z0-9.-]+")
_BARE = re.compile(r"(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}", re.I)
_HOST = re.compile(r"[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,8}")

#: Endings of hosts that stand in texts without `https://`; others may be file names.
_COMMON = frozenset({"cn", "co", "com", "gl", "io", "ly", "me", "net", "org"})

#: `mailto:` and `cid:`, but not a host with its port.
_OPAQUE = re.compile(r"[a-z][a-z0-9+-]{0,31}:(?!\d)", re.I)
_AFTER_HOST = re.compile(r"[/?#\\]")
_SCHEME_MARKS = ("http://", "https://")
_SCHEMES = frozenset({"", "http", "https"})

#: Links of one field that are looked at.
_MOST = 1000


class Link(NamedTuple):
    field: str
    #: by its place in the field, from 1 on
    number: int
    #: empty for one without `https://`
    scheme: str
    #: in lower case, without port and user
    host: str


def links(sample: Sample) -> list[Link]:
    """All links in order: of the text that is read, of HTML's tags, of the channel's own fields."""
    found: list[Link] = []
    for field in sample.read:
        urls = [*islice(sample.urls(field), _MOST)]
        urls += _bare_hosts(sample.unlinked[field])
        if field == "html":
            tags = (one for one in sample.markup.addresses() if one.startswith(_SCHEME_MARKS))
            urls = [*islice(tags, _MOST), *urls]
        found += _numbered(field, urls)
    for field, target in sample.targets.items():
        found += _numbered(field, [target])
    return found


def check(sample: Sample, lists: Lists) -> Iterator[Finding]:
    """What each of `_RULES` finds in each link."""
    minded: dict[tuple[str, str], Sequence[_Mind]] = {}
    for link in links(sample):
        place = link.scheme, link.host
        rules = minded.get(place)
        if rules is None:  # most links of a mail lead to the same few places
            rules = minded[place] = [one for one in _RULES if one.judge(link, sample, lists)]
        for one in rules:
            said = f"link {link.number} {one.message}"
            yield sample.find(one.rule, link.field, one.severity, said, one.hint)


def _leads_astray(link: Link, sample: Sample, lists: Lists) -> bool:
    return bool(sample.domains) and not _is_within(link.host, sample.domains)


def _is_shortened(link: Link, sample: Sample, lists: Lists) -> bool:
    return _is_within(link.host, lists.shorteners)


def _is_disguised(link: Link, sample: Sample, lists: Lists) -> bool:
    return not link.host.isascii() or link.host.startswith("xn--") or ".xn--" in link.host


def _is_insecure(link: Link, sample: Sample, lists: Lists) -> bool:
    return link.scheme == "http"


def _is_within(host: str, domains: frozenset[str]) -> bool:
    """Whether the host is one of the domains or below one."""
    labels = host.split(".")
    return any(".".join(labels[at:]) in domains for at in range(len(labels) - 1))


def _bare_hosts(rest: str) -> Sequence[str]:
    """Hosts with a path or a common ending. rest: a text without its URLs."""
    hosts: list[str] = []
    for found in _RUN.finditer(rest) if "." in rest else ():
        run, after = found[0].rstrip(".-"), rest[found.end() : found.end() + 1]
        before = rest[found.start() - 1] if found.start() else ""
        if before in ("@", "/", "_"):
            continue
        named = run.startswith("www.") or run.rpartition(".")[2].lower() in _COMMON
        if (named or after == "/") and after != "@" and _BARE.fullmatch(run):
            hosts.append(run)
            if len(hosts) == _MOST:
                break
    return hosts


def _numbered(field: str, urls: list[str]) -> Iterator[Link]:
    for number, url in enumerate(urls[:_MOST], 1):
        scheme, host = _split(url)
        if scheme in _SCHEMES and (host if scheme else "." in host):  # others open apps
            yield Link(field, number, scheme, host)


def _split(url: str) -> tuple[str, str]:
    """(scheme, host), as a browser reads them; an empty host where there is none."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        if _OPAQUE.match(url):
            return "", ""
        scheme, rest = "", url
    authority = _AFTER_HOST.split(rest, maxsplit=1)[0]
    host = authority.rpartition("@")[2].partition(":")[0].lower().strip(".")
    plain = _HOST.match(host)
    if plain is not None and not host.isascii() and "." not in host[plain.end() :]:
        host = plain[0]  # Chinese text goes on where the link ends
    return scheme.lower(), host[:253]


class _Mind(NamedTuple):
    rule: Rule
    #: whether it minds a link; by its scheme and host alone
    judge: Callable[[Link, Sample, Lists], bool]
    severity: Severity
    message: str
    hint: str


_RULES: Sequence[_Mind] = (
    _Mind(
        Rule.LINK_DOMAIN,
        _leads_astray,
        Severity.ERROR,
        "leads to a domain that is not allowed",
        "see lint.domains and lint_domains of the category",
    ),
    _Mind(
        Rule.LINK_SHORTENER,
        _is_shortened,
        Severity.WARNING,
        "is a shortened one, which carriers and filters distrust",
        "use a short link on a domain of your own",
    ),
    _Mind(
        Rule.LINK_PUNYCODE,
        _is_disguised,
        Severity.WARNING,
        "has a host of letters that can be mistaken for others",
        "use a domain of plain letters",
    ),
    _Mind(
        Rule.LINK_HTTP,
        _is_insecure,
        Severity.WARNING,
        "is http, which browsers warn of",
        "use https",
    ),
)
