"""`gateway suppressions`: whom not to write to, read in from files, listed and lifted."""

import io
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import IO, Annotated

import typer

from gateway import settings
from gateway.api import batches, bodies, permission_schema
from gateway.api.permissions import suppression_shape
from gateway.cli import exits, options, output, stores, suppression_rows, tables
from gateway.cli.suppression_rows import Tally
from gateway.clock import SystemClock
from gateway.dispatch.bans import Bans
from gateway.dispatch.permissions import Permissions
from gateway.model.errors import RequestError, SettingsError
from gateway.model.permission import Reason, Suppression, SuppressionFilter
from gateway.model.recording import Lift, NewSuppression, Whom
from gateway.model.submission import Caller, Scope, To
from gateway.model.values import replace
from gateway.store import base

app = typer.Typer(no_args_is_help=True, help="Import, list and lift suppressions.")

#: Rows that share a transaction, and rows between two lines about the progress.
_AT_ONCE, _NOTE_EVERY = 500, 10_000
#: Refused rows that are shown.
_SHOWN = 20
#: Records read from the store at once.
_PAGE = 200


class Format(StrEnum):
    """How a file is written."""

    CSV = "csv"
    NDJSON = "ndjson"


Tenant = Annotated[
    str, typer.Option(help="For this tenant; for all tenants if absent.", show_default=False)
]
Category = Annotated[str, typer.Option(help="For this category alone.", show_default=False)]


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV or NDJSON; - for standard input.")],
    config: options.Config,
    tenant: Tenant = "",
    reason: Annotated[
        Reason, typer.Option(help="Of rows that name none.", show_default="import")
    ] = Reason.IMPORT,
    category: Category = "",
    source: Annotated[
        str, typer.Option(help="Of rows that name none.", show_default="the file's name")
    ] = "",
    format: Annotated[
        Format | None, typer.Option(help="Of the file.", show_default="by its name")
    ] = None,
    json: options.Json = False,
) -> None:
    """Read in a list of whom not to write to, row by row.

    CSV names its columns in the first line: email, phone, … or recipient, and
    if need be channel, reason, category, source, at, expires_at. NDJSON has
    items as PUT /v1/suppressions takes them. Rows that cannot be used are
    reported, and the others count; then it ends with 1. The same file again
    does no harm. A running gateway heeds the list within five seconds.

    \b
    gateway suppressions import bounces.csv --reason hard_bounce
    gateway suppressions import - --tenant billing < left.ndjson
    """
    usual = {"reason": str(reason), "source": (source or _name_of(file))[:128]}
    if category:
        usual["category"] = category

    async def work(found: settings.Settings, store: base.Store) -> Tally:
        _check_tenant(found, tenant, config)
        service, tally = await _service(found, store), Tally()
        with _opened(file) as opened:
            rows = _rows(opened, format or _format_of(file))
            while some := list(islice(rows, _AT_ONCE)):
                await _record(service, tenant, some, usual, tally)
                if not json and tally.read % _NOTE_EVERY == 0:
                    typer.echo(f"{tally.read:,} rows, {tally.refused:,} refused", err=True)
        return tally

    with exits.explained():
        tally = stores.run(config, work)
    _report(tally, json=json)


async def _record(
    service: Permissions,
    tenant: str,
    rows: Sequence[suppression_rows.Row],
    usual: dict[str, str],
    tally: Tally,
) -> None:
    def read(parsed: bodies.Parsed) -> NewSuppression:
        if isinstance(parsed.value, dict):
            parsed = bodies.Parsed({**usual, **parsed.value}, parsed.suspect)
        return replace(permission_schema.read_suppression(parsed), everybody=not tenant)

    items = [batches.read_item(item, read) for _, item in rows]
    verdicts = await service.suppress(_caller(tenant), items)
    tally.read += len(rows)
    for (line, _), verdict in zip(rows, verdicts, strict=True):
        if isinstance(verdict, RequestError):
            tally.refuse(line, verdict)
        else:
            tally.recorded += 1


def _report(tally: Tally, *, json: bool) -> None:
    if json:
        shown = {"read": tally.read, "recorded": tally.recorded, "refused": tally.refused}
        output.show_json({**shown, "faults": tally.faults})
    else:
        for one in tally.faults[:_SHOWN]:
            where = f"{one['field']}: " if one["field"] else ""
            output.complain(f"line {one['line']}: {where}{one['detail']}")
        if tally.refused > _SHOWN:
            output.complain(f"… and {tally.refused - _SHOWN:,} more")
        output.say(f"{tally.recorded:,} recorded, {tally.refused:,} refused.")
    if tally.refused:
        raise typer.Exit(exits.FAILED)


@app.command("list")
def list_suppressions(
    config: options.Config,
    tenant: Tenant = "",
    channel: Annotated[str, typer.Option(help="On this channel.", show_default=False)] = "",
    reason: Annotated[
        Reason | None, typer.Option(help="For this reason.", show_default=False)
    ] = None,
    category: Category = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the last first.")] = 50,
    json: options.Json = False,
) -> None:
    """List suppressions. Addresses are not shown: only hashes of them are kept.

    \b
    gateway suppressions list --reason complaint
    gateway suppressions list --tenant billing --limit 1000 --json
    """
    wanted = SuppressionFilter(
        tenant=tenant, channel=channel, category=category, reason=str(reason or "")
    )

    async def work(found: settings.Settings, store: base.Store) -> Sequence[Suppression]:
        return await _list(await _service(found, store), wanted, limit)

    with exits.explained():
        found = stores.run(config, work)
    shapes = [suppression_shape(one) for one in found]
    if json:
        output.show_json(shapes)
        return
    columns = ("id", "channel", "hash", "reason", "category", "account", "source", "since (UTC)")
    rows = [
        (
            one["id"],
            f"recipient {one['channel']}".rstrip() if one["recipient"] else one["channel"],
            one["hash"],
            one["reason"],
            one["category"],
            one["account"],
            one["source"],
            tables.moment(kept.at_ms),
        )
        for one, kept in zip(shapes, found, strict=True)
    ]
    tables.show(columns, rows, empty="There are no such suppressions.")


async def _list(
    service: Permissions, wanted: SuppressionFilter, limit: int
) -> Sequence[Suppression]:
    found: list[Suppression] = []
    cursor = 0
    while len(found) < limit:
        room = min(_PAGE, limit - len(found))
        page = await service.list(
            _caller(wanted.tenant), replace(wanted, cursor=cursor, limit=room)
        )
        found += page
        if len(page) < room:
            break
        cursor = page[-1].id
    return found


@app.command()
def lift(
    config: options.Config,
    id: Annotated[
        int, typer.Option(min=0, help="One record, as the list shows it.", show_default=False)
    ] = 0,
    email: Annotated[str, typer.Option(help="All of this address.", show_default=False)] = "",
    phone: Annotated[str, typer.Option(help="All of this number.", show_default=False)] = "",
    recipient: Annotated[
        str, typer.Option(help="All of a tenant's own id of somebody.", show_default=False)
    ] = "",
    tenant: Tenant = "",
    category: Category = "",
    reason: Annotated[
        Reason | None, typer.Option(help="For this reason alone.", show_default=False)
    ] = None,
) -> None:
    """Forget suppressions: one record, or all of an address that fit.

    Ends with 1 when there is none.

    \b
    gateway suppressions lift --id 4711
    gateway suppressions lift --tenant billing --email li@example.com
    """
    named = [one for one in (email, phone, recipient) if one]
    if bool(id) + len(named) != 1:
        raise typer.BadParameter("give one of --id, --email, --phone and --recipient")
    wanted = Lift(
        id=id,
        whom=Whom(to=To(email=email, phone=phone, recipient=recipient)) if named else None,
        category=category,
        reason=str(reason or ""),
        everybody=not tenant,
    )

    async def work(found: settings.Settings, store: base.Store) -> int | RequestError:
        service = await _service(found, store)
        (lifted,) = await service.lift(_caller(tenant), [wanted])
        return lifted

    with exits.explained():
        lifted = stores.run(config, work)
        if isinstance(lifted, RequestError):
            raise lifted
    output.say(f"{lifted:,} lifted.")


# What the commands share


def _caller(tenant: str) -> Caller:
    """Who has the store may do all."""
    return Caller(tenant=tenant, scopes=frozenset(Scope))


async def _service(found: settings.Settings, store: base.Store) -> Permissions:
    clock = SystemClock()
    bans = Bans(store, clock, await store.secret("addresses"))
    return Permissions(store, bans, clock, found.categories)


def _check_tenant(found: settings.Settings, tenant: str, config: Path) -> None:
    if tenant and tenant not in found.tenants:
        raise SettingsError([f"{config}: there is no tenant {tenant}; add [tenants.{tenant}]"])


@contextmanager
def _opened(file: Path) -> Iterator[IO[str]]:
    """What is no UTF-8 spoils its row, not the file."""
    with ExitStack() as stack:
        if str(file) == "-":
            raw = typer.get_binary_stream("stdin")
        else:
            raw = stack.enter_context(file.open("rb"))
        text = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")
        stack.callback(text.detach)  # standard input is not ours to close
        yield text


def _name_of(file: Path) -> str:
    return "import" if str(file) == "-" else file.name


def _format_of(file: Path) -> Format:
    return Format.CSV if file.suffix.lower() == ".csv" else Format.NDJSON


def _rows(file: IO[str], format: Format) -> Iterator[suppression_rows.Row]:
    if format is Format.CSV:
        return suppression_rows.read_csv(file)
    return suppression_rows.read_ndjson(file)
