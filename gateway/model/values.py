"""How plain values are declared: frozen for the type checker, not at run time.

Setting the fields of a frozen dataclass goes through `object.__setattr__`: making one of ten fields
took 4.4 times as long as without (10.7 against 2.5 µs on a busy 2-core box), and a message is made
of some twenty values. mypy refuses assignments all the same, see PEP 681.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def value(*, kw_only: bool = True) -> Callable[[type[T]], type[T]]:
    """A slotted dataclass with a hash, whose fields are not to be assigned."""
    return dataclass(slots=True, kw_only=kw_only, unsafe_hash=True)
