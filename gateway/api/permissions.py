"""Consent and suppression: record, look up, take back, list."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, NotRequired, TypeAlias, TypeVar

from aiohttp import web
from pydantic import Field
from typing_extensions import TypedDict

from gateway.api import batches, bodies, permission_schema, problems, queries
from gateway.api.edge import REQUEST_ID, answer
from gateway.api.services import SERVICES
from gateway.api.shapes import Time
from gateway.clock import isoformat
from gateway.model import errors, permission
from gateway.model.permission import RECIPIENT, Outcome
from gateway.model.submission import Caller

T = TypeVar("T")


class Recorded(TypedDict):
    """An item that was taken."""

    state: Annotated[
        Outcome,
        Field(
            description="recorded; refused: a later refusal stands, nothing has changed; "
            "superseded: something later is recorded"
        ),
    ]


class LiftedCount(TypedDict):
    """An item that was taken."""

    lifted: Annotated[int, Field(description="Records that it took")]


class Refused(TypedDict):
    """An item that was not taken."""

    problem: problems.Problem


class Results(TypedDict):
    """One result for each item, in the order given."""

    results: list[Recorded | Refused]


class LiftResults(TypedDict):
    """One result for each item, in the order given."""

    results: list[LiftedCount | Refused]


class AllRefused(problems.Problem):
    """No item was taken; `results` says why, if the body as a whole could be used."""

    results: NotRequired[list[Recorded | LiftedCount | Refused]]


class Consent(TypedDict):
    """A recorded permission. No address is shown, for none is kept."""

    channel: Annotated[str, Field(description="Empty: all, of a recipient")]
    recipient: Annotated[bool, Field(description="By your own id, not by address")]
    category: str
    source: str
    proof: str
    at: Time
    expires_at: NotRequired[Time]


class Suppression(TypedDict):
    """A recorded ban. No address is shown, for none is kept."""

    id: str
    channel: Annotated[str, Field(description="Empty: all, of a recipient")]
    recipient: Annotated[bool, Field(description="By your own id, not by address")]
    hash: Annotated[str, Field(description="The first digits of a keyed hash of the address")]
    reason: permission.Reason
    detail: Annotated[str, Field(description="The provider's own word for it")]
    category: Annotated[str, Field(description="Empty: all that the reason holds for")]
    account: Annotated[str, Field(description="The only provider account that may not; empty: all")]
    source: str
    at: Time
    expires_at: NotRequired[Time]
    everybody: Annotated[bool, Field(description="For all tenants")]


class Found(TypedDict):
    """What is recorded of somebody."""

    consents: list[Consent]
    suppressions: list[Suppression]


class SuppressionList(TypedDict):
    """A page, the last recorded first."""

    suppressions: list[Suppression]
    next_cursor: NotRequired[
        Annotated[str, Field(description="Pass it as `cursor` to read on; absent at the end")]
    ]


#: What an item of a request came to.
_Result: TypeAlias = Recorded | LiftedCount | Refused

#: Digits of a hash that are shown: 48 bits, enough to tell records apart.
_PREFIX = 12


async def put_consents(request: web.Request, caller: Caller) -> web.Response:
    """Record that people have agreed, up to 1,000, as a JSON array or as NDJSON.

    Of a permission and a refusal of the same, the later by its own time holds; at the same time
    the refusal. So lists may be sent again and again: old dates undo nothing.
    """
    service = request.app[SERVICES].permissions
    return await _batch(
        request, caller, "consents", permission_schema.read_consent, service.put_consents
    )


async def withdraw(request: web.Request, caller: Caller) -> web.Response:
    """Record that people want no more of a category, up to 1,000.

    It counts within five seconds on all nodes, also for messages that wait already.
    """
    service = request.app[SERVICES].permissions
    return await _batch(
        request, caller, "withdrawals", permission_schema.read_withdrawal, service.withdraw
    )


async def suppress(request: web.Request, caller: Caller) -> web.Response:
    """Record whom not to write to, up to 1,000.

    It holds for your own messages, or with `everybody` (scope `admin`) for those of all tenants,
    and counts within five seconds on all nodes, also for messages that wait already.
    """
    service = request.app[SERVICES].permissions
    return await _batch(
        request, caller, "suppressions", permission_schema.read_suppression, service.suppress
    )


async def lift(request: web.Request, caller: Caller) -> web.Response:
    """Forget suppressions, up to 1,000 items, each by the id of a record or by address.

    Your own ones; with `everybody` (scope `admin`) those that hold for all tenants.
    """
    service = request.app[SERVICES].permissions
    return await _batch(request, caller, "lifts", permission_schema.read_lift, service.lift)


async def lookup(request: web.Request, caller: Caller) -> web.Response:
    """What is recorded of an address or of a recipient: your own, and bans for everybody."""
    whom = permission_schema.read_lookup(await bodies.read_json(request))
    recorded = await request.app[SERVICES].permissions.lookup(caller, whom)
    found: Found = {
        "consents": [_consent(one) for one in recorded.consents],
        "suppressions": [suppression_shape(one) for one in recorded.suppressions],
    }
    return answer(found)


async def list_suppressions(request: web.Request, caller: Caller) -> web.Response:
    """Your suppressions, or with `everybody` (scope `admin`) those that hold for all tenants."""
    wanted = queries.suppression_filter(request, caller.tenant)
    found = await request.app[SERVICES].permissions.list(caller, wanted)
    page: SuppressionList = {"suppressions": [suppression_shape(one) for one in found]}
    if len(found) == wanted.limit:
        page["next_cursor"] = str(found[-1].id)
    return answer(page)


async def _batch(
    request: web.Request,
    caller: Caller,
    what: str,
    read: Callable[[bodies.Parsed], T],
    take: Callable[
        [Caller, Sequence[T | errors.RequestError]],
        Awaitable[Sequence[Outcome | int | errors.RequestError]],
    ],
) -> web.Response:
    items = [batches.read_item(one, read) for one in await batches.read(request, what)]
    results = [_result(one) for one in await take(caller, items)]
    if all("problem" in one for one in results):
        refusal = errors.InvalidMessage("Every item was refused; see results.")
        body: AllRefused = {**problems.of_error(refusal), "results": results}
        return problems.response(body, request[REQUEST_ID])
    return answer({"results": results})


def _result(one: Outcome | int | errors.RequestError) -> _Result:
    if isinstance(one, errors.RequestError):
        return {"problem": problems.of_error(one)}
    return {"state": one} if isinstance(one, Outcome) else {"lifted": one}


def _consent(one: permission.Consent) -> Consent:
    channel, is_recipient = _channel(one.channel)
    out: Consent = {
        "channel": channel,
        "recipient": is_recipient,
        "category": one.category,
        "source": one.source,
        "proof": one.proof,
        "at": isoformat(one.at_ms),
    }
    if one.until_ms is not None:
        out["expires_at"] = isoformat(one.until_ms)
    return out


def suppression_shape(one: permission.Suppression) -> Suppression:
    """A ban as it is shown."""
    channel, is_recipient = _channel(one.channel)
    out: Suppression = {
        "id": str(one.id),
        "channel": channel,
        "recipient": is_recipient,
        "hash": one.hash[:_PREFIX],
        "reason": one.reason,
        "detail": one.detail,
        "category": one.category,
        "account": one.sender,
        "source": one.source,
        "at": isoformat(one.at_ms),
        "everybody": not one.tenant,
    }
    if one.until_ms is not None:
        out["expires_at"] = isoformat(one.until_ms)
    return out


def _channel(stored: str) -> tuple[str, bool]:
    """(channel, whether it is about a recipient)."""
    kind, _, channel = stored.partition(":")
    return (channel, True) if kind == RECIPIENT else (stored, False)
