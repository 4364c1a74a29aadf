"""What a message to a chat or a member of WeCom says beside its texts: one vocabulary, whichever
service carries it.

| Field | Value |
|---|---|
| `title`, `text` | what is shown |
| `link` | what a tap opens |
| `image` | URL of a picture, for cards |
| `card` | true: as a card, where the service has cards |
| `cut` | which texts may be shortened, with an ellipsis, where all of it is too long: `["text"]` |

A service that has no use for a field leaves it out, and its own table goes before all of them.
Templates make texts: `card = "{{ wide }}"` is true or false all the same.
"""

from collections.abc import Mapping
from typing import Any, Final

from gateway.content import pushes

#: Of the vocabulary of pushes, what means the same here.
_SHARED: Final = frozenset({"link", "image", "cut"})
_WORDS: Final = {"true": True, "false": False}


def check(extra: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same with every value of its type and without empty ones. Raises PushFault. Names that
    are not ours pass as they are."""
    checked = dict(extra)
    for name in _SHARED & extra.keys():
        del checked[name]
    checked |= pushes.check({name: extra[name] for name in extra if name in _SHARED})
    if "card" in extra:
        checked["card"] = _card(extra["card"])
    return checked


def _card(value: Any) -> bool:
    if isinstance(value, str):
        value = _WORDS.get(value.strip().lower(), value or False)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise pushes.PushFault("card", "neither true nor false")
