"""What no service can carry by SMS, whoever it is: nothing, and more parts than can be numbered."""

from typing import Final

from gateway.content import sms
from gateway.model import wire

#: 3GPP TS 23.040 §9.2.3.24.1: one octet numbers the parts.
MOST_PARTS: Final = 255
#: Characters that surely fit: 67 units a part, two of them for what is outside the BMP.
_SURELY: Final = MOST_PARTS * 33


def objection(content: wire.Content, *, longest: int | None = None) -> str:
    """As `base.Provider.objection`. longest: characters that the service takes."""
    text = content.text
    if not text:
        return "there is no text"
    if longest is not None and len(text) > longest:
        return f"the text is longer than {longest} characters"
    if len(text) > _SURELY and sms.count(text) > MOST_PARTS:
        return f"the text takes more than {MOST_PARTS} segments"
    return ""
