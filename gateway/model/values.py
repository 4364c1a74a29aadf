"""How plain values are declared: by name, not to be assigned, and cheap.

A message is made of some thirty values on its way, and making one was much of what it cost: ten
fields took 10.7 µs as a frozen dataclass, 1.7 µs as an assignable one and 0.3 µs as a struct of
msgspec, which is made in C (two shared cores). A struct is also written and read as JSON at once,
without dicts in between: see `message.encode` and `store.rows`.
"""

from typing import Any, dataclass_transform

import msgspec
from msgspec import field as field
from msgspec.structs import replace as replace


class _Values(msgspec.StructMeta):
    """Gives all values the same settings."""

    def __new__(
        mcls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        kw_only: bool = True,
        array_like: bool = False,
        frozen: bool = True,
    ) -> "_Values":
        return super().__new__(
            mcls,
            name,
            bases,
            namespace,
            kw_only=kw_only,
            array_like=array_like,
            frozen=frozen,
            omit_defaults=True,
        )


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
class Value(msgspec.Struct, metaclass=_Values, frozen=True):  # said again for type checkers
    """A value with a hash, whose fields are keywords and cannot be assigned.

    In JSON, fields at their defaults are left out; with `array_like=True` it is a list.
    """
