"""Keep, read, list and erase recipients, one by one or a million in a stream."""

import asyncio
from collections.abc import Sequence

from aiohttp import web

from gateway.api import bodies, problems, queries, registration, rows
from gateway.api.edge import REQUEST_ID, answer
from gateway.api.limits import MAX_FAULTY_ROWS, MAX_LINE, MAX_LINES, MAX_ROWS
from gateway.api.services import SERVICES, Recipients, Services
from gateway.content.recipients import check_recipient_id
from gateway.model import errors
from gateway.model.recipient import Recipient, Upserted
from gateway.model.submission import Caller

CSV = frozenset({"text/csv"})

#: Rows that share a commit, which takes some 50 ms: more of them would hold up who waits for it.
_BATCH = 1_000
#: Seconds that a batch waits for the tenant's rate: callers give up on what takes much longer.
_PATIENCE = 30.0

_TOO_LONG = f"is longer than {MAX_LINE} bytes"


async def put_recipient(request: web.Request, caller: Caller) -> web.Response:
    """Keep a recipient, in place of the one with this id: what is left out is unknown from then on.

    A device that is given without `reason` lives, also if its provider said once that it is gone.
    """
    id_ = request.match_info["id"]
    people = request.app[SERVICES].recipients
    posted = registration.read_recipient(await bodies.read_json(request), id_)
    (verdict,) = await people.put(caller, [people.check(posted)])
    kept = registration.shape(await people.read(caller, id_))
    return answer(kept, 201 if verdict is Upserted.NEW else 200)


async def read_recipient(request: web.Request, caller: Caller) -> web.Response:
    """One recipient; devices that no provider knows any more show since when, and why."""
    return answer(
        registration.shape(await request.app[SERVICES].recipients.read(caller, _id(request)))
    )


async def list_recipients(request: web.Request, caller: Caller) -> web.Response:
    """Recipients of the tenant, by id."""
    after, limit = queries.recipient_page(request)
    found = await request.app[SERVICES].recipients.list(caller, after=after, limit=limit + 1)
    page: registration.RecipientList = {
        "recipients": [registration.shape(one) for one in found[:limit]]
    }
    if len(found) > limit:
        page["next_cursor"] = found[limit - 1].recipient.id
    return answer(page)


async def erase_recipient(request: web.Request, caller: Caller) -> web.Response:
    """Forget a person: the recipient, and of all messages that named it or went to its addresses
    the addresses, content and metadata, and what they agreed to. Messages that wait are cancelled;
    states and attempts stay, and so do bans and refusals.

    It takes the longer the more messages are kept. If it is cut off, ask for it again.
    """
    erased = await request.app[SERVICES].recipients.erase(caller, _id(request))
    return answer({"messages": erased.messages, "cancelled": erased.cancelled})


def _id(request: web.Request) -> str:
    try:
        return check_recipient_id(request.match_info["id"])
    except ValueError:
        raise errors.NotFound("There is no such recipient.") from None


async def put_recipients(request: web.Request, caller: Caller) -> web.Response:
    """Keep up to 1,000,000 recipients, as NDJSON or as CSV in UTF-8, of any length together.

    Each row is judged for itself; a line has 64 KiB at most. The header of a CSV file names its
    columns, such as `id,phone,email,zone`; `push` holds `app:token`, separated by blanks,
    `quiet_hours` is such as `22:00-08:00`, and there are `attributes.<name>` and
    `preferences.<category>`. Sending the same again is harmless. Each 1,000 rows count as one
    message against the tenant's rate; beyond it they are taken more slowly.
    """
    register = _Register(request.app[SERVICES], caller)
    is_csv = request.content_type in CSV
    lines = rows.Lines(MAX_LINE)
    reader: rows.ReadRow | None = None if is_csv else rows.read_json
    try:
        async for chunk in bodies.stream(request, CSV | bodies.NDJSON):
            reader = await register.take(lines.feed(chunk), reader)
        await register.take(lines.end(), reader)
        await register.flush()
    except problems.SlowBody as error:
        await register.flush()
        detail = f"{error.detail} {register.stored} rows are stored. Send all of them again."
        raise problems.SlowBody(detail) from None
    except errors.StoreUnavailable:
        detail = f"{register.stored} rows are stored, the others are not. Send all of them again."
        return problems.unavailable(request[REQUEST_ID], detail)
    finally:
        await register.close()
    if is_csv and not register.has_header:
        raise errors.InvalidMessage("The file has no header, which names its columns.")
    return answer(register.result())


class _Register:
    """Takes lines, and keeps what they say. While one batch is being stored, the next is read."""

    def __init__(self, services: Services, caller: Caller) -> None:
        self._people = services.recipients
        self._keys = services.keys
        self._caller = caller
        self._clock = services.clock
        #: the tenant's rate has admitted a batch: the first one, with the request
        self._is_admitted = True
        self._lines = 0
        self._counts = dict.fromkeys(Upserted, 0)
        self._rows = 0
        self._refused = 0
        self._faults: list[registration.RowFault] = []
        #: by id: of two rows for one recipient the later counts
        self._pending: dict[str, Recipient] = {}
        self._writing: asyncio.Task[Sequence[Upserted]] | None = None
        self.has_header = False

    @property
    def stored(self) -> int:
        return sum(self._counts.values())

    async def take(
        self, lines: Sequence[bytes | None], reader: rows.ReadRow | None
    ) -> rows.ReadRow | None:
        """What reads the next lines: of CSV, the first says so. Raises StoreUnavailable, and
        RequestError for what ends the whole."""
        for number, line in rows.numbered(lines, self._lines):
            if reader is None:
                if line is None:
                    raise rows.refuse("header", _TOO_LONG)
                reader, self.has_header = rows.csv_reader(line), True
                continue
            if self._rows == MAX_ROWS:
                await self.flush()
                raise problems.BodyTooLarge(f"{MAX_ROWS} rows were taken, and these are more.")
            self._rows += 1
            self._take_row(number, line, reader)
            if len(self._pending) >= _BATCH:
                await self._store()
        self._lines += len(lines)
        if self._lines > MAX_LINES:  # a few kilobytes of gzip can be gigabytes of empty ones
            await self.flush()
            raise problems.BodyTooLarge(f"A list may have {MAX_LINES} lines, with the empty ones.")
        return reader

    def _take_row(self, number: int, line: bytes | None, reader: rows.ReadRow) -> None:
        try:
            if line is None:
                raise rows.refuse("", _TOO_LONG)
            one = self._people.check(registration.read_row(reader(line)))
        except errors.InvalidMessage as error:
            self._refuse(number, error)
            return
        before = self._pending.get(one.id)
        if before is not None:
            self._counts[Upserted.UNCHANGED if before == one else Upserted.CHANGED] += 1
        self._pending[one.id] = one

    def _refuse(self, number: int, error: errors.InvalidMessage) -> None:
        self._refused += 1
        if len(self._faults) < MAX_FAULTY_ROWS:
            fault = error.faults[0]
            self._faults.append({"row": number, "field": fault.field, "reason": fault.detail})

    async def _store(self) -> None:
        """Begin to write what is pending, when the batch before is written."""
        await self._written()
        await self._admit()
        batch, self._pending = list(self._pending.values()), {}
        self._writing = asyncio.create_task(_put(self._people, self._caller, batch))

    async def _admit(self) -> None:
        """Wait until the tenant's rate allows another batch, if that is soon. Raises
        TooManyRequests."""
        if self._is_admitted:
            self._is_admitted = False
            return
        waited = 0.0
        while wait := await self._wait():
            waited += wait
            if waited > _PATIENCE:
                detail = f"{self.stored} rows are stored; the tenant's rate is used up."
                raise errors.TooManyRequests(detail, wait)
            await self._clock.sleep(wait)

    async def _wait(self) -> float:
        """0 when the tenant's rate has admitted a batch, else seconds until it may."""
        try:
            await self._keys.admit(self._caller, 1)
        except errors.TooManyRequests as error:
            return error.retry_after
        return 0.0

    async def _written(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            for verdict in await writing:
                self._counts[verdict] += 1

    async def flush(self) -> None:
        """Returns when everything is on disk. Raises StoreUnavailable."""
        if self._pending:
            await self._store()
        await self._written()

    async def close(self) -> None:
        """Leave nothing running; what is being written is not cut off."""
        if self._writing is not None:
            await asyncio.gather(self._writing, return_exceptions=True)

    def result(self) -> registration.BulkResult:
        counts = self._counts
        return {
            "rows": self._rows,
            "new": counts[Upserted.NEW],
            "changed": counts[Upserted.CHANGED],
            "unchanged": counts[Upserted.UNCHANGED],
            "refused": self._refused,
            "faults": self._faults,
        }


async def _put(
    people: Recipients, caller: Caller, batch: Sequence[Recipient]
) -> Sequence[Upserted]:
    return await people.put(caller, batch)
