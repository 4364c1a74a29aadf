"""What providers of email over HTTP share: mailboxes, headers, and who may share a call.

RFC 5322 §3.4 (mailboxes), RFC 5890 (domain names), RFC 2369 and RFC 8058 (List-Unsubscribe),
RFC 3463 (status codes). Knows no provider by name, does no I/O.

Services that carry many messages in one call want them to be equal but for what they fill in, and
refuse all for the fault of one. So an address that a service might doubt gets a call of its own.
"""

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256

from gateway.content import attachments, mime
from gateway.content.attachments import Attachment
from gateway.model import errors, wire
from gateway.model.values import Value
from gateway.providers import auth, base, mailboxes

#: Addresses about which no two services disagree: dot-atoms of ASCII at a domain with a dot.
_PLAIN = re.compile(
    r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]*[A-Za-z0-9]"
)
#: RFC 5321 §4.5.3.1: octets of a local part and of a whole address.
_MAX_LOCAL, _MAX_ADDRESS = 64, 254
_STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")
#: Seconds since the epoch that a datetime can surely hold.
_LATEST = 2**33
_DAY = 86_400.0


def mailbox(value: str) -> mime.Mailbox:
    """The same, of settings that `faults` has seen. Raises SettingsError."""
    found = mailboxes.read(value)
    if found is None:
        raise errors.SettingsError(["from: not a mailbox"])
    return found


def reports(*, signed: bool, tracking: bool | None) -> frozenset[wire.ReceiptEvent]:
    """What an account's receipts can tell. signed: there is a key to believe them by."""
    if not signed:
        return frozenset()
    opens = () if tracking is False else (wire.ReceiptEvent.READ,)
    return frozenset({wire.ReceiptEvent.DELIVERED, *opens})


def ascii_domain(address: str) -> str:
    """The address with A-labels, or as it stands when it has none: its service will refuse it."""
    try:
        return clean(mailboxes.ascii_domain(address))
    except ValueError:
        return clean(address)


def clean(text: str) -> str:
    """The same with lone surrogates, which no encoding has, replaced."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


class Letter(Value):
    """A message as services of this sort want it."""

    message: wire.Message
    to: str
    #: one line, as headers are
    subject: str
    text: str
    html: str
    unsubscribe: str
    files: tuple[Attachment, ...]
    #: may go in one call with others
    sociable: bool

    @property
    def common(self) -> Hashable:
        """What must be equal of messages in one call, whatever the service."""
        return self.text, self.html, self.files, self.message.category, bool(self.unsubscribe)

    def headers(self) -> dict[str, str]:
        """Those that services do not write themselves, by name."""
        return dict(mailboxes.headers(self.message))


def letter(message: wire.Message) -> Letter:
    """One message must not spoil a call for others: breaks of lines become blanks, and what no text
    can hold is replaced. Raises ValueError for files that cannot be attached."""
    content = message.content
    to = ascii_domain(message.to.email)
    unsubscribe = dict(mailboxes.list_headers(content)).get("List-Unsubscribe", "")
    return Letter(
        message=message,
        to=to,
        subject=mailboxes.one_line(clean(content.subject)),
        text=clean(content.text),
        html=clean(content.html),
        unsubscribe=unsubscribe,
        files=attachments.of(content),
        sociable=_is_plain(to),
    )


def _is_plain(address: str) -> bool:
    return (
        len(address) <= _MAX_ADDRESS
        and address.find("@") <= _MAX_LOCAL
        and _PLAIN.fullmatch(address) is not None
    )


def check_size(letter: Letter, *, most: int) -> None:
    """Raises ValueError for a mail with files of more octets than its service takes, encoded."""
    if letter.files and encoded_size(letter.files) + len(letter.text) + len(letter.html) > most:
        raise ValueError("the attachments are larger than the service takes")


def encoded_size(files: Iterable[Attachment]) -> int:
    """Octets of files as a mail carries them: in base64, with CRLF after each 76, and headers."""
    return sum(len(one.data) * 78 // 76 + 1000 for one in files)


def share(letters: Iterable[tuple[Letter, Hashable]], *, limit: int) -> Sequence[Sequence[Letter]]:
    """Calls of at most `limit`: equal keys together, an address once a call, in their order.

    letters: each with what must be equal in one call.
    """
    calls: dict[Hashable, list[Letter]] = {}
    copies: Counter[Hashable] = Counter()
    for index, (one, key) in enumerate(letters):
        place: Hashable = index
        if one.sociable:
            mailbox = (key, one.to.lower())
            place = (key, copies[mailbox])
            copies[mailbox] += 1
        calls.setdefault(place, []).append(one)
    return [
        call[start : start + limit]
        for call in calls.values()
        for start in range(0, len(call), limit)
    ]


def provider_id(call: str, address: str) -> str:
    """A name for one message of a call, as services give ids to calls only; empty without one.

    The same from the address as we wrote it and as a report gives it back.
    """
    digest = sha256(ascii_domain(address).strip().lower().encode()).hexdigest()
    return f"{call}/{digest[:16]}" if call else ""


def pause(response: wire.HttpResponse, *, now_ms: int) -> float | None:
    """Seconds until a limit ends, by Retry-After, else by X-RateLimit-Reset: one to a day."""
    wait = base.retry_after(response, now_ms=now_ms)
    if wait is not None:
        return wait
    value = response.headers.get("x-ratelimit-reset", "").strip()
    if not (value.isascii() and value.isdecimal() and len(value) <= 12):
        return None
    return min(max(1.0, int(value) - now_ms / 1000), _DAY)


def is_recent(timestamp: str, *, now_ms: int, max_age: float) -> bool:
    """Whether these are seconds since the epoch, at most `max_age` ago and hardly in the future."""
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12):
        return False
    return -auth.TOLERANCE <= now_ms / 1000 - int(timestamp) <= max_age


def status_code(value: object) -> str:
    """An enhanced status code (RFC 3463 §2) such as `5.1.1`; empty when it is something else."""
    text = value.strip() if isinstance(value, str) else ""
    return text if _STATUS.fullmatch(text) else ""


def moment(value: object) -> datetime | None:
    """Seconds since the epoch as services report them; None when it is something else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _LATEST:
        return None
    return datetime.fromtimestamp(value, UTC)


def text_of(table: Mapping[str, object], name: str) -> str:
    """The string of that name; empty when there is none."""
    value = table.get(name)
    return value if isinstance(value, str) else ""


def table_of(table: Mapping[str, object], name: str) -> Mapping[str, object]:
    """The object of that name; empty when there is none."""
    value = table.get(name)
    return value if isinstance(value, dict) else {}


def tables_of(table: Mapping[str, object], name: str) -> Sequence[Mapping[str, object]]:
    """The objects in the array of that name; empty when there are none."""
    value = table.get(name)
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
