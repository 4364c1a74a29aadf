"""What nodes share: who lives, tokens and pauses of provider accounts, all by one clock."""

from collections.abc import Callable, Collection, Mapping

import orjson

from gateway.model.tokens import Demand, Grant
from gateway.store.postgres.claim import Claims
from gateway.store.postgres.engine import Engine
from gateway.store.postgres.literals import original
from gateway.store.postgres.session import Session


class PostgresFleet:
    """Implements store.fleet.Fleet."""

    def __init__(self, engine: Engine, owner: str, claims: Claims) -> None:
        self._engine = engine
        self._owner = owner
        self._claims = claims

    async def beat(self) -> None:
        await self._engine.run(lambda session: session.run("beat", owner=self._owner))
        await self._claims.settle()

    async def leave(self) -> None:
        """This node is gone; what it still holds is anybody's."""
        await self._engine.run(lambda session: session.run("leave", owner=self._owner))

    async def hint(self, lanes: Collection[str]) -> None:
        """By NOTIFY; what it tells is its sender's name and the lanes."""
        words = orjson.dumps([self._owner, *lanes]).decode()
        await self._engine.run(lambda session: session.run("hint", words=words))

    async def listen(self, heard: Callable[[str], None]) -> None:
        def take(connection: object, process: int, channel: str, words: object) -> None:
            sender, *lanes = orjson.loads(str(words))
            if sender != self._owner:
                for lane in lanes:
                    heard(lane)

        await self._engine.listen("gateway_hint", take)

    async def take_tokens(self, account: str, demand: Demand) -> Grant:
        async def work(session: Session) -> Grant:
            ((tokens, delay, wait),) = await session.rows(
                "take_tokens",
                account=account,
                rate=demand.rate,
                capacity=demand.capacity,
                most=demand.most,
                least=demand.least,
                floor=demand.floor,
                ahead=demand.ahead,
            )
            return Grant(tokens=tokens, delay=delay, wait=wait)

        return await self._engine.run(work)

    async def give_tokens_back(self, account: str, tokens: int, *, capacity: float) -> None:
        async def work(session: Session) -> None:
            await session.run("give_tokens_back", account=account, tokens=tokens, capacity=capacity)

        await self._engine.run(work)

    async def pause_account(self, account: str, *, seconds: float, reason: str) -> None:
        async def work(session: Session) -> None:
            await session.run("pause_account", account=account, seconds=seconds, reason=reason)

        await self._engine.run(work)

    async def paused_accounts(self) -> Mapping[str, tuple[float, str]]:
        found = await self._engine.run(lambda session: session.rows("paused_accounts"))
        return {account: (seconds, original(reason)) for account, seconds, reason in found}

    async def read_access_token(self, account: str) -> tuple[str, float, float] | None:
        rows = await self._engine.run(
            lambda session: session.rows("read_access_token", account=account)
        )
        return next(((sealed, left, life) for sealed, left, life in rows), None)

    async def put_access_token(self, account: str, sealed: str, *, life: float) -> None:
        async def work(session: Session) -> None:
            await session.run("put_access_token", account=account, sealed=sealed, life=life)

        await self._engine.run(work)

    async def begin_refresh(self, account: str, *, seconds: float) -> bool:
        async def work(session: Session) -> bool:
            values = {"account": account, "seconds": seconds, "owner": self._owner}
            return await session.run("begin_refresh", **values) > 0

        return await self._engine.run(work)

    async def end_refresh(self, account: str) -> None:
        async def work(session: Session) -> None:
            await session.run("end_refresh", account=account, owner=self._owner)

        await self._engine.run(work)
