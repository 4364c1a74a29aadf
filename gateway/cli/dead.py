"""`gateway dead`: messages whose chain is spent, and sending them again."""

from collections.abc import Sequence
from typing import Annotated

import typer

from gateway import settings
from gateway.cli import exits, options, output, stores, tables
from gateway.clock import SystemClock, isoformat
from gateway.dispatch import desk, webhooks
from gateway.dispatch.endpoints import EndpointBook
from gateway.dispatch.finisher import Finisher
from gateway.dispatch.lanes import Bells
from gateway.metrics import Metrics
from gateway.model import view
from gateway.model.case import Case
from gateway.model.message import MessageId
from gateway.model.state import DEAD
from gateway.store import base

app = typer.Typer(no_args_is_help=True, help="List dead letters and send them again.")

#: Dead letters read from the store at once.
_PAGE = 200

#: (tenant, message)
Letter = tuple[str, view.MessageView]

Tenant = Annotated[str, typer.Option(help="Only this tenant's.", show_default=False)]


@app.command("list")
def list_dead(
    config: options.Config,
    tenant: Tenant = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many, oldest first.")] = 50,
    json: options.Json = False,
) -> None:
    """List messages that are failed, expired or unknown.

    \b
    gateway dead list --tenant billing
    gateway dead list --limit 1000 --json
    """

    async def work(found: settings.Settings, store: base.Store) -> Sequence[Letter]:
        return await _letters(store, tenant, limit)

    with exits.explained():
        letters = stores.run(config, work)
    if json:
        output.show_json([_as_json(*letter) for letter in letters])
        return
    rows = [
        (one.id, owner, one.state, one.category, tables.moment(one.created_ms))
        for owner, one in letters
    ]
    columns = ("id", "tenant", "state", "category", "accepted (UTC)")
    tables.show(columns, rows, empty="There are no dead letters.")


@app.command()
def redrive(
    config: options.Config,
    ids: Annotated[list[str] | None, typer.Argument(help="Messages.", show_default=False)] = None,
    every: Annotated[bool, typer.Option("--all", help="All dead letters there are now.")] = False,
    tenant: Tenant = "",
    json: options.Json = False,
) -> None:
    """Send dead letters again from their first step, with as long a life as at first.

    A running gateway takes them up within a second or two, else the next one
    does. Ends with 1 when one of the ids is no dead letter.

    \b
    gateway dead redrive 01989f3c-7b1e-7a52-9d0f-3c1d5f6b8a21
    gateway dead redrive --all --tenant billing
    """
    if every == bool(ids):
        raise typer.BadParameter("give ids, or --all")

    async def work(found: settings.Settings, store: base.Store) -> tuple[list[str], list[str]]:
        wanted = ids or await _all_ids(store, tenant)
        return await _redrive(found, store, wanted, tenant)

    with exits.explained():
        done, refused = stores.run(config, work)
    if json:
        output.show_json({"redriven": done, "refused": refused})
    else:
        for id_ in refused:
            output.complain(f"{id_} is no dead letter")
        output.say(f"{len(done)} redriven.")
    if refused:
        raise typer.Exit(exits.FAILED)


async def _letters(store: base.Store, tenant: str, limit: int) -> Sequence[Letter]:
    found: list[Letter] = []
    cursor = ""
    while len(found) < limit:
        room = min(_PAGE, limit - len(found))
        page = await store.dead(tenant=tenant or None, cursor=cursor, limit=room)
        found += page
        if len(page) < room:
            break
        cursor = page[-1][1].id
    return found


async def _all_ids(store: base.Store, tenant: str) -> list[str]:
    """Fixed before the first is sent again, so that one which dies anew is not taken twice."""
    return [one.id for _, one in await _letters(store, tenant, limit=10**9)]


async def _redrive(
    found: settings.Settings, store: base.Store, ids: Sequence[str], tenant: str
) -> tuple[list[str], list[str]]:
    """(redriven, refused). Page by page, as cases hold whole messages."""
    done: list[str] = []
    refused: list[str] = []
    finisher = await _finisher(found, store)
    for start in range(0, len(ids), _PAGE):
        page = ids[start : start + _PAGE]
        cases = await store.cases([MessageId(id_) for id_ in page])
        for id_ in page:
            case = cases.get(MessageId(id_))
            if case is None or not _is_dead(case, tenant):
                refused.append(id_)
                continue
            await desk.redrive(finisher, case)
            done.append(id_)
    return done, refused


async def _finisher(found: settings.Settings, store: base.Store) -> Finisher:
    """What changes messages outside of a gateway, reports to tenants included."""
    clock, metrics = SystemClock(), Metrics()
    book = EndpointBook(store, clock, metrics, disable_after=found.webhooks.disable_after)
    await book.refresh()
    return Finisher(
        store,
        clock,
        metrics,
        Bells(),
        webhooks=webhooks.Reporter(book.of),
        weights={name: tenant.weight for name, tenant in found.tenants.items()},
    )


def _is_dead(case: Case, tenant: str) -> bool:
    """Whether it is a dead letter, of this tenant if one is named."""
    ours = not case.internal and tenant in ("", case.tenant)
    return ours and not case.live and case.state in DEAD and not case.message.erased


def _as_json(tenant: str, message: view.MessageView) -> dict[str, object]:
    return {
        "id": message.id,
        "tenant": tenant,
        "state": message.state,
        "category": message.category,
        "created_at": isoformat(message.created_ms),
        "expires_at": isoformat(message.expires_ms),
        "metadata": message.metadata,
    }
