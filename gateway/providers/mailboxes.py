"""What mail providers share: senders as configured, and headers of a message as texts.

RFC 5322 §3.4 (mailboxes), RFC 5890 (domain names), RFC 2369 and RFC 8058 (List-Unsubscribe),
RFC 3834 §5 (Auto-Submitted).
"""

import re
from collections.abc import Sequence
from urllib.parse import quote

import idna

from gateway.content import mime
from gateway.model import wire

_MAILBOX = re.compile(r"(?:(?P<name>[^<>]*)<(?P<inner>[^<>]+)>|(?P<bare>[^<>\s]+))")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
#: What a URI in angle brackets may hold as it is: printable ASCII but for the brackets.
_URI_SAFE = "!\"#$%&'()*+,/:;=?@[\\]^`{|}~"


def read(value: str) -> mime.Mailbox | None:
    """The mailbox with its domain in ASCII; None if it is none."""
    match = _MAILBOX.fullmatch(value.strip())
    if match is None:
        return None
    name = (match["name"] or "").strip()
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    try:
        address = ascii_domain(match["inner"] or match["bare"])
        mailbox = mime.Mailbox(name=name, address=address)
        mime.mailbox(mailbox, indent=0)
    except ValueError:
        return None
    return mailbox


def faults(*, required: dict[str, str], optional: dict[str, str]) -> list[str]:
    """What is wrong with settings that hold a mailbox, by key."""
    wrong = [key for key, value in required.items() if read(value) is None]
    wrong += [key for key, value in optional.items() if value and read(value) is None]
    return [f"{key}: not a mailbox such as Example <no-reply@example.com>" for key in wrong]


def ascii_domain(address: str) -> str:
    """The address with A-labels, which every server takes. Raises ValueError."""
    if address.isascii():
        return address
    local, at, domain = address.rpartition("@")
    return local + at + idna.encode(domain, uts46=True).decode("ascii")


def one_line(text: str) -> str:
    """Text for a header that a service builds: control characters, which none can hold, as blanks.

    Line breaks are refused where messages come in, so that nothing else is lost here.
    """
    return _CONTROL.sub(" ", text)


def unsubscribe_uris(content: wire.Content) -> Sequence[str]:
    """`content.extra["list_unsubscribe"]`: a URI, or a list of them."""
    uris = content.extra.get("list_unsubscribe")
    if isinstance(uris, str):
        return [uris] if uris else []
    if not isinstance(uris, list | tuple):
        return []
    return [uri for uri in uris if isinstance(uri, str)]


def is_automatic(message: wire.Message) -> bool:
    """Whether nobody's vacation notice should answer it: it is no post of a list (RFC 3834 §5)."""
    return message.category != "marketing" and not unsubscribe_uris(message.content)


def headers(message: wire.Message) -> Sequence[tuple[str, str]]:
    """Those that services do not write themselves."""
    if is_automatic(message):
        return [("Auto-Submitted", "auto-generated")]
    return list_headers(message.content)


def list_headers(content: wire.Content) -> Sequence[tuple[str, str]]:
    """Headers by which a list is left, see `mime.is_one_click`.

    What a URI cannot hold is percent-encoded, so that none can end its brackets or its header.
    """
    uris = [quote(uri, safe=_URI_SAFE, errors="replace") for uri in unsubscribe_uris(content)]
    if not uris:
        return ()
    joined = ", ".join(f"<{uri}>" for uri in uris)
    headers = [("List-Unsubscribe", joined)]
    if mime.is_one_click(uris):
        headers.append(("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))
    return headers
