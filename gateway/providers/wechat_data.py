"""Values of a WeChat template, by the template's names for them.

https://developers.weixin.qq.com/doc/service/api/notify/template/api_sendtemplatemessage

Templates of a category name their values by kind (`thing1`, `character_string3`), and each kind has
a length: what is longer, or empty, is refused with 47003. `cut` in the content's table names those
that may be shortened instead, with an ellipsis.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

#: Characters of a value by its kind.
LENGTHS: Mapping[str, int] = {
    "thing": 20,
    "const": 20,
    "character_string": 32,
    "phone_number": 17,
    "car_number": 8,
}
_NAME = re.compile(rf"({'|'.join(LENGTHS)})[0-9]+")
_ELLIPSIS = "…"


def read(table: Mapping[str, Any]) -> Mapping[str, Any]:
    """`data` of a content's table as the API wants it: a bare value is wrapped. Raises ValueError,
    which names the value."""
    given, cuts = table.get("data", {}), table.get("cut", ())
    if not isinstance(given, Mapping):
        raise ValueError("wechat.data: not values by name")
    if not isinstance(cuts, list | tuple) or not all(isinstance(one, str) for one in cuts):
        raise ValueError("wechat.cut: not a list of names")
    return {str(name): _value(str(name), value, cuts) for name, value in given.items()}


def _value(name: str, given: Any, cuts: Collection[str]) -> Mapping[str, Any]:
    whole = given if isinstance(given, Mapping) else {"value": str(given)}
    kind = _NAME.fullmatch(name)
    if kind is None:
        return whole
    text, most = str(whole.get("value", "")), LENGTHS[kind[1]]
    if not text.strip():
        raise ValueError(f"wechat.data.{name}: is empty")
    if len(text) <= most:
        return whole
    if name not in cuts:
        raise ValueError(f"wechat.data.{name}: longer than {most} characters")
    return {**whole, "value": text[: most - 1].rstrip() + _ELLIPSIS}
