"""What simulators of chat services share: magic addresses, and one way from a call to its answer.

Magic addresses are those that begin with one of `MAGIC` and `-`. A service that knows its robots
by their tokens takes such a token for one of its own, whatever the knobs say.
"""

import hmac
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from aiohttp import web

from gateway.sandbox import base, control
from gateway.sandbox.log import Arrival, find_reference
from gateway.sandbox.magic import ORDINARY, Fate, Magic

MAGIC: Mapping[str, Magic] = {
    "gone": Magic(fate=Fate.RECIPIENT),
    "rejected": Magic(fate=Fate.PERMANENT),
    "throttled": Magic(fate=Fate.THROTTLED),
    "trouble": Magic(fate=Fate.TEMPORARY),
    "denied": Magic(fate=Fate.CREDENTIAL),
    "lost": Magic(fate=Fate.LOST),
    "silent": Magic(fate=Fate.HUNG),
}


def magic_of(address: str) -> Magic:
    return MAGIC.get(address.lstrip("@").partition("-")[0], ORDINARY)


class ChatSimulator(base.HttpSimulator):
    """Judges calls of one message each, which its kind has found to be in order."""

    @abstractmethod
    def error(self, fate: Fate, request: web.Request) -> web.Response:
        """What the service says instead of taking a message."""

    @abstractmethod
    def success(self, id: str) -> web.Response:
        """What it says to a message that it took."""

    async def judge_one(
        self,
        request: web.Request,
        *,
        to: str,
        content: Mapping[str, Any],
        id: str,
        taken: Callable[[], None] = lambda: None,
    ) -> web.StreamResponse:
        """The answer to a call that is in order. taken: called before it is given."""
        fate = self.judge.decide(magic_of(to))
        is_taken = fate in (Fate.TAKEN, Fate.LOST)
        answer = self.success(id) if is_taken or fate is Fate.HUNG else self.error(fate, request)
        self.record(to, content, fate=fate, answer=str(answer.status), id=id if is_taken else "")
        if is_taken:
            taken()
        return await self.conclude(request, fate, answer)

    def refuse(
        self, answer: web.Response, *, to: str = "", content: Mapping[str, Any] | None = None
    ) -> web.Response:
        """The answer to a call that breaks the rules, which is remembered."""
        self.record(to, content or {}, fate=Fate.INVALID, answer=str(answer.status))
        return answer

    def record(
        self, to: str, content: Mapping[str, Any], *, fate: Fate, answer: str, id: str = ""
    ) -> None:
        self.log.add(
            Arrival(
                at=self.now(),
                id=id,
                reference=find_reference(orjson.dumps(content).decode()),
                to=to,
                fate=fate,
                answer=answer,
                content=content,
            )
        )


async def read_object(request: web.Request) -> dict[str, Any] | None:
    """The JSON object that was posted; None when it is none."""
    try:
        value = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def is_text(value: object) -> bool:
    """Whether there is something in it to read."""
    return isinstance(value, str) and bool(value.strip())


def same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def errcode(code: int, words: str, **others: Any) -> web.Response:
    """An answer in the manner of WeChat and DingTalk, whose status is 200 always."""
    return control.json_response({"errcode": code, "errmsg": words, **others})
