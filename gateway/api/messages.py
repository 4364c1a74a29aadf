"""Accept, preview, read, list, cancel and redrive messages."""

import re
from collections.abc import Sequence
from typing import NotRequired

from aiohttp import web

from gateway.api import batches, bodies, preview_shapes, problems, queries, shapes, submissions
from gateway.api.edge import REQUEST_ID, answer
from gateway.api.services import SERVICES
from gateway.model import errors
from gateway.model.submission import Caller, Reading, Ticket, Verdict

_KEY_HEADER = "Idempotency-Key"
_KEY = re.compile(r"[\x20-\x7e]{1,200}")


async def submit(request: web.Request, caller: Caller) -> web.Response:
    """Take one message. 202 means that it is on disk.

    With an Idempotency-Key, repeating the request with the same body gives the same id for at
    least 24 hours; with another body it is refused.
    """
    intake = request.app[SERVICES].intake
    (verdict,) = await intake.accept(caller, [await _read(request, caller)])
    if isinstance(verdict, errors.RequestError):
        raise verdict
    return answer(shapes.ticket(verdict), 202)


async def _read(request: web.Request, caller: Caller) -> Reading:
    try:
        await request.app[SERVICES].keys.admit(caller, 1)
        key = _read_key(request)
        return submissions.read_message(await bodies.read_json(request), key)
    except errors.RequestError as error:
        return error


def _read_key(request: web.Request) -> str:
    keys = request.headers.getall(_KEY_HEADER, [])
    if not keys:
        return ""
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        detail = f"{_KEY_HEADER} is given once and has 1 to 200 printable ASCII characters."
        raise problems.InvalidRequest(detail)
    return keys[0]


async def submit_batch(request: web.Request, caller: Caller) -> web.Response:
    """Take up to 1,000 messages, as a JSON array or as NDJSON.

    Each is judged for itself: the results stand in the order given, each an id or a problem whose
    faults count from the message's own root. 422 if none was accepted.
    """
    intake = request.app[SERVICES].intake
    try:
        items = await _read_batch(request)
        await request.app[SERVICES].keys.admit(caller, len(items))
    except errors.RequestError as error:
        await intake.accept(caller, [error])
        raise
    return _answer_batch(request, await intake.accept(caller, [_read_item(one) for one in items]))


async def _read_batch(request: web.Request) -> Sequence[batches.Item]:
    """The messages of a batch, none of them looked at. Raises RequestError for the whole."""
    if _KEY_HEADER in request.headers:
        raise problems.InvalidRequest("In a batch, each message carries its own idempotency_key.")
    return await batches.read(request, "messages")


def _read_item(item: batches.Item) -> Reading:
    return batches.read_item(item, submissions.read_batch_message)


def _answer_batch(request: web.Request, verdicts: Sequence[Verdict]) -> web.Response:
    results: list[shapes.Accepted | shapes.BatchRefusal] = [
        shapes.ticket(one) if isinstance(one, Ticket) else {"problem": problems.of_error(one)}
        for one in verdicts
    ]
    if any(isinstance(one, Ticket) for one in verdicts):
        return answer({"results": results}, 202)
    refusal = errors.InvalidMessage("Every message of the batch was refused; see results.")
    body: BatchProblem = {**problems.of_error(refusal), "results": results}
    return problems.response(body, request[REQUEST_ID])


class BatchProblem(problems.Problem):
    """No message of a batch was accepted; `results` says why, if the body as a whole could be
    used."""

    results: NotRequired[list[shapes.Accepted | shapes.BatchRefusal]]


async def preview(request: web.Request, caller: Caller) -> web.Response:
    """Say what would become of a message: chain, texts, the gate's decision. Sends nothing."""
    services = request.app[SERVICES]
    await services.keys.admit(caller, 1)
    submission = submissions.read_message(await bodies.read_json(request), "")
    return answer(preview_shapes.preview(await services.intake.preview(caller, submission)))


async def read(request: web.Request, caller: Caller) -> web.Response:
    """State and timeline of one message: every attempt, receipt and decision with its reason."""
    found = await request.app[SERVICES].desk.read(caller, queries.message_id(request))
    return answer(shapes.message(found))


async def list_messages(request: web.Request, caller: Caller) -> web.Response:
    """Messages of the tenant, newest first."""
    page = await request.app[SERVICES].desk.list(caller, queries.message_filter(request))
    return answer(shapes.page(page))


async def cancel(request: web.Request, caller: Caller) -> web.Response:
    """Stop a message that is not being sent yet; 409 once it is."""
    found = await request.app[SERVICES].desk.cancel(caller, queries.message_id(request))
    return answer(shapes.message(found))


async def redrive(request: web.Request, caller: Caller) -> web.Response:
    """Send a dead letter (failed, expired, unknown) again, from the first step of its chain."""
    found = await request.app[SERVICES].desk.redrive(caller, queries.message_id(request))
    return answer(shapes.message(found))
