"""What nodes ask of the store that they share."""

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from gateway.model.tokens import Demand, Grant


class Fleet(Protocol):
    """What nodes that share a store owe each other. Times go by the store's clock."""

    async def beat(self) -> None:
        """Prove to the other nodes that this one lives."""
        ...

    async def hint(self, lanes: Collection[str]) -> None:
        """Tell the other nodes that these lanes have work. It may be lost."""
        ...

    async def listen(self, heard: Callable[[str], None]) -> None:
        """Call `heard` with each lane that another node hints at, until cancelled. Raises
        StoreUnavailable when it cannot hear any more."""
        ...

    async def take_tokens(self, account: str, demand: Demand) -> Grant:
        """Take from an account's bucket, in one atomic step. A new bucket is empty."""
        ...

    async def give_tokens_back(self, account: str, tokens: int, *, capacity: float) -> None:
        """Tokens that were taken and not used, up to the capacity."""
        ...

    async def pause_account(self, account: str, *, seconds: float, reason: str) -> None:
        """Let all nodes know that nothing may be sent for so long. Never shortens a pause."""
        ...

    async def paused_accounts(self) -> Mapping[str, tuple[float, str]]:
        """(seconds left, reason) by account."""
        ...

    async def read_access_token(self, account: str) -> tuple[str, float, float] | None:
        """(sealed token, seconds left, seconds when it was new)."""
        ...

    async def put_access_token(self, account: str, sealed: str, *, life: float) -> None:
        """In place of the former one. life: seconds from now."""
        ...

    async def begin_refresh(self, account: str, *, seconds: float) -> bool:
        """Whether this node alone may refresh the account's token, for so long."""
        ...

    async def end_refresh(self, account: str) -> None:
        """Another node may, if this one was at it."""
        ...
