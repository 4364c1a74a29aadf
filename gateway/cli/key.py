"""`gateway key`: API keys that are kept in the store, beside those of the configuration."""

from typing import Annotated

import typer

from gateway import settings
from gateway.cli import exits, options, output, stores, tables
from gateway.clock import SystemClock, isoformat
from gateway.dispatch import keys
from gateway.model.errors import SettingsError
from gateway.model.submission import Scope
from gateway.store import base

app = typer.Typer(no_args_is_help=True, help="Create, list and revoke API keys.")

#: What a key may do unless told otherwise, as in the configuration.
_SCOPES = [Scope.SEND, Scope.READ]


@app.command()
def create(
    tenant: Annotated[str, typer.Argument(help="Tenant of the configuration that it belongs to.")],
    config: options.Config,
    scope: Annotated[
        list[Scope] | None,
        typer.Option(help="What it may do; repeatable.", show_default="send, read"),
    ] = None,
    json: options.Json = False,
) -> None:
    """Make a key and show it, this once: only its hash is kept.

    A running gateway takes it within two seconds.

    \b
    gateway key create billing --config gateway.toml
    gateway key create ops --scope read --scope admin
    """

    async def work(found: settings.Settings, store: base.Store) -> tuple[str, base.TenantKey]:
        if tenant not in found.tenants:
            raise SettingsError([f"{config}: there is no tenant {tenant}; add [tenants.{tenant}]"])
        key, kept = keys.new_key(tenant, frozenset(scope or _SCOPES), SystemClock())
        await store.put_key(kept)
        return key, kept

    with exits.explained():
        key, kept = stores.run(config, work)
    if json:
        output.show_json({"key": key, **_as_json(kept)})
        return
    output.say(key)
    output.say("This is the key; it is not shown again.")
    output.say(f"id {kept.id}, tenant {tenant}, scopes {', '.join(sorted(kept.scopes))}.")


@app.command()
def revoke(
    id: Annotated[str, typer.Argument(help="Id of the key, as `gateway key list` shows it.")],
    config: options.Config,
) -> None:
    """Revoke a key. A running gateway turns it away within two seconds.

    \b
    gateway key revoke 01989f3c-7b1e-7a52-9d0f-3c1d5f6b8a21
    """

    async def work(found: settings.Settings, store: base.Store) -> bool:
        return await store.revoke_key(id, now_ms=SystemClock().now_ms())

    with exits.explained():
        done = stores.run(config, work)
    if not done:
        output.complain("no key in use has this id; those of the configuration are revoked there")
        raise typer.Exit(exits.FAILED)
    output.say(f"{id} is revoked.")


@app.command("list")
def list_keys(config: options.Config, json: options.Json = False) -> None:
    """List keys made here, without the keys themselves.

    \b
    gateway key list --json
    """

    async def work(found: settings.Settings, store: base.Store) -> list[base.TenantKey]:
        return sorted(await store.keys(), key=lambda one: one.created_ms)

    with exits.explained():
        kept = stores.run(config, work)
    if json:
        output.show_json([_as_json(one) for one in kept])
        return
    rows = [
        (
            one.id,
            one.tenant,
            ", ".join(sorted(one.scopes)),
            tables.moment(one.created_ms),
            "" if one.revoked_ms is None else tables.moment(one.revoked_ms),
        )
        for one in kept
    ]
    columns = ("id", "tenant", "scopes", "created (UTC)", "revoked (UTC)")
    tables.show(columns, rows, empty="There are no keys but those of the configuration.")


def _as_json(key: base.TenantKey) -> dict[str, object]:
    return {
        "id": key.id,
        "tenant": key.tenant,
        "scopes": sorted(key.scopes),
        "created_at": isoformat(key.created_ms),
        "revoked_at": None if key.revoked_ms is None else isoformat(key.revoked_ms),
    }
