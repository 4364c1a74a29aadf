"""Mails by which recipients leave a category: the address that stands in List-Unsubscribe beside
the one-click link, and what comes to it.

RFC 2369 §3.2 and RFC 6068 (`mailto:`), RFC 3834 (answers of machines). Whom and what a mail is
about is said by the tag of the address alone, see `verp`: sender, subject and text count for
nothing, as mail programs and services write them for their users.
"""

from urllib.parse import quote

from gateway.content import mail_parts
from gateway.providers import bounces, verp


def uri(address: str) -> str:
    """With a subject, as some programs send none without."""
    return f"mailto:{quote(address, safe='@+')}?subject=unsubscribe"


def read(raw: bytes, *, envelope_to: str, addresses: verp.Addresses) -> str:
    """The reference of the message whose recipient leaves; '' where none does."""
    try:
        whole = mail_parts.read(raw)
    except ValueError:
        return ""
    if whole.type == "multipart/report" or _is_answer(whole):
        return ""
    try:
        for text in (envelope_to, *bounces.came_to(whole)):
            if reference := addresses.read(text):
                return reference
    except verp.Forged:
        return ""
    return ""


def _is_answer(mail: mail_parts.Part) -> bool:
    """Of a machine, to some other mail."""
    return mail.headers.get("auto-submitted", "").strip().lower().startswith("auto-replied")
