"""Files that go with an email: what may be attached, and how a content holds it.

In `wire.Content.extra` they are a list of tables under `attachments`, with the data in base64:
messages are kept as JSON, and most services of email want base64 too. Nothing is decoded here.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.model import wire
from gateway.model.values import Value

#: Files of one email; the services of email allow more.
MAX_COUNT: Final = 20
#: Octets of all, decoded: in base64 a third more, which most mailboxes take (20 to 25 MB).
MAX_BYTES: Final = 10 * 1024 * 1024
#: Characters of a file's name: 255 octets are the limit of file systems and of Amazon SES.
MAX_NAME: Final = 200
#: Amazon SES allows 78.
MAX_TYPE: Final = 78
MAX_CID: Final = 78

_KEYS = frozenset({"name", "type", "data", "inline"})
#: A line of printable characters that is no path; halves of characters cannot be written down.
_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff/\\]+")
#: RFC 6838 §4.2, without parameters: services of email refuse those.
_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*")
#: What stands behind `cid:` in HTML and needs no quoting there (RFC 2392 §2).
CID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._+-]*[A-Za-z0-9])?(?:@[A-Za-z0-9][A-Za-z0-9.-]*)?")
#: RFC 4648 §4
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

# What runs when it is opened: mailboxes refuse the whole mail
# (https://support.google.com/mail/answer/6590), so that it would be lost.
_RUNS = {
    "a program": "apk app appx appxbundle bin cmd com cpl dll dmg ex ex_ exe gadget msi msix"
    " msixbundle msp mst nsh pif scr sys vxd xll",
    "a script": "ade adp bat chm hta js jse jar jnlp lib mde mjs ps1 ps2 psc1 psc2 sct shb vb"
    " vbe vbs vbscript ws wsc wsf wsh",
    "a shortcut or a setting of the system": "diagcab diagcfg diagpack ins inf isp lnk msc"
    " reg scf url",
    "a disk image or package": "cab img iso vhd vhdx",
}
REFUSED: Mapping[str, str] = {
    extension: kind for kind, extensions in _RUNS.items() for extension in extensions.split()
}


class Attachment(Value):
    """One file."""

    name: str
    type: str
    #: base64 without line breaks, padded (RFC 4648 §4)
    data: str
    #: the id by which the HTML shows it, as `cid:logo`; empty: it stands beside the text
    inline: str = ""

    @property
    def size_bytes(self) -> int:
        """Decoded."""
        return len(self.data) * 3 // 4 - self.data.count("=", -2)


class AttachmentFault(ValueError):
    """`field`, such as `attachments[0].name`, cannot be sent; the reason holds no value."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


def of(content: wire.Content) -> tuple[Attachment, ...]:
    """Those of a checked content. Raises ValueError for another, as a template's may be."""
    value = content.extra.get("attachments")
    return read(value) if value else ()


def read(value: Any) -> tuple[Attachment, ...]:
    """Raises AttachmentFault."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise AttachmentFault("attachments", "not a list")
    if len(value) > MAX_COUNT:
        raise AttachmentFault("attachments", f"more than {MAX_COUNT} files")
    found = tuple(_read(f"attachments[{place}]", one) for place, one in enumerate(value))
    if sum(one.size_bytes for one in found) > MAX_BYTES:
        raise AttachmentFault("attachments", f"more than {MAX_BYTES} bytes together")
    ids = Counter(one.inline for one in found if one.inline)
    for place, one in enumerate(found):
        if ids[one.inline] > 1:
            raise AttachmentFault(f"attachments[{place}].inline", "another file has this id")
    return found


def _read(where: str, value: Any) -> Attachment:
    if not isinstance(value, Mapping):
        raise AttachmentFault(where, "not an object")
    if value.keys() - _KEYS:
        raise AttachmentFault(where, "has other fields than name, type, data and inline")
    texts = {key: value.get(key, "") for key in _KEYS}
    for key, text in texts.items():
        if not isinstance(text, str):
            raise AttachmentFault(f"{where}.{key}", "not a text")
        if reason := _CHECKS[key](text):
            raise AttachmentFault(f"{where}.{key}", reason)
    return Attachment(**texts)


def _name_fault(name: str) -> str:
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME or not name.strip(" ."):
        return f"not a file name of 1 to {MAX_NAME} printable characters without / and \\"
    if name != name.strip():
        return "begins or ends with a blank, which some mail programs drop"
    # Windows drops dots and blanks at the end, and would run the rest
    extension = name.rstrip(" .").rpartition(".")[2].lower() if "." in name else ""
    kind = REFUSED.get(extension)
    return f"ends with .{extension}: {kind}, which mailboxes refuse" if kind else ""


def _type_fault(value: str) -> str:
    if len(value) > MAX_TYPE or not _TYPE.fullmatch(value):
        return "not a media type such as application/pdf, without parameters"
    if value.lower().startswith(("multipart/", "message/")):
        return "multipart and message types hold other parts and cannot be attached"
    return ""


def _data_fault(value: str) -> str:
    if len(value) > MAX_BYTES // 3 * 4 + 4:
        return f"more than {MAX_BYTES} bytes"
    if not _is_base64(value):
        return "not base64 (RFC 4648 §4), with padding and without line breaks, of 1 byte or more"
    return ""


def _is_base64(value: str) -> bool:
    """Ten times as fast as a regular expression, which counts at these lengths."""
    if len(value) % 4 or not value.isascii():
        return False
    digits = value.removesuffix("=").removesuffix("=").encode("ascii")
    return bool(digits) and not digits.translate(None, _BASE64)


def _inline_fault(value: str) -> str:
    if value and (len(value) > MAX_CID or not CID.fullmatch(value)):
        return "not an id such as logo or logo@example.com, of up to 78 letters and digits"
    return ""


_CHECKS = {
    "name": _name_fault,
    "type": _type_fault,
    "data": _data_fault,
    "inline": _inline_fault,
}
