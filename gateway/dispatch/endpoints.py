"""Tenants' webhook endpoints: kept in the store, held in memory, judged by how they answer."""

import asyncio
import base64
import logging
import os
import secrets as randomness
from collections.abc import Callable, Mapping, Sequence

from gateway.clock import Clock
from gateway.dispatch.change import Change
from gateway.dispatch.finisher import Finisher
from gateway.metrics import Metrics
from gateway.model import view
from gateway.model.errors import Fault, InvalidMessage, NotFound, StateConflict
from gateway.model.message import new_id
from gateway.model.submission import Caller
from gateway.model.values import replace
from gateway.settings import Tenant, TenantWebhook
from gateway.store import base

_log = logging.getLogger(__name__)

#: Endpoints of one tenant, the configured one included.
_MOST = 20

#: Webhooks that one replay may queue again.
_MOST_REPLAYED = 10_000


class EndpointBook:
    """All endpoints, in memory. `refresh` reads what other processes changed."""

    def __init__(
        self, store: base.Store, clock: Clock, metrics: Metrics, *, disable_after: float
    ) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._disable_after_ms = int(disable_after * 1000)
        self._version = ""
        self._records: dict[str, base.EndpointRecord] = {}
        self._by_tenant: dict[str, tuple[view.Endpoint, ...]] = {}
        # One change at a time, from reading the record to keeping it: else news of a delivery that
        # was under way would bring back an endpoint that its tenant has deleted or replaced.
        self._changing = asyncio.Lock()

    async def refresh(self) -> None:
        """Read what has changed, if anything has."""
        async with self._changing:
            version = await self._store.directory_version()
            if version == self._version:
                return
            records = {one.endpoint.id: one for one in await self._store.endpoints()}
            self._index(records)
            self._version = version

    async def configure(self, tenants: Mapping[str, Tenant]) -> None:
        """Make the configured endpoints those of the file, and drop the ones it has no more."""
        await self.refresh()
        wanted = {
            configured_id(name): (name, tenant.webhook)
            for name, tenant in tenants.items()
            if tenant.webhook is not None
        }
        for record in list(self._records.values()):
            if record.endpoint.configured and record.endpoint.id not in wanted:
                await self._store.delete_endpoint(record.endpoint.id)
        records = [self._configured(id_, *one) for id_, one in wanted.items()]
        changed = [one for one in records if not self._is_known(one.endpoint)]
        await asyncio.gather(*map(self._store.put_endpoint, changed))
        await self.refresh()

    def _configured(self, id_: str, tenant: str, webhook: TenantWebhook) -> base.EndpointRecord:
        known = self._records.get(id_)
        endpoint = view.Endpoint(
            id=id_,
            tenant=tenant,
            url=webhook.url,
            secrets=(webhook.secret.get_secret_value(),),
            events=tuple(webhook.events),
            configured=True,
            created_ms=known.endpoint.created_ms if known else self._clock.now_ms(),
        )
        return base.EndpointRecord(endpoint=endpoint)

    def _is_known(self, endpoint: view.Endpoint) -> bool:
        """One that was switched off is not: a start with its configuration is a new beginning."""
        known = self._records.get(endpoint.id)
        return known is not None and known.endpoint == endpoint

    def of(self, tenant: str) -> Sequence[view.Endpoint]:
        return self._by_tenant.get(tenant, ())

    def get(self, endpoint: str) -> view.Endpoint | None:
        record = self._records.get(endpoint)
        return record.endpoint if record is not None else None

    async def put(self, record: base.EndpointRecord) -> None:
        async with self._changing:
            await self._keep(record)

    async def delete(self, endpoint: str) -> None:
        async with self._changing:
            await self._store.delete_endpoint(endpoint)
            self._index({id_: one for id_, one in self._records.items() if id_ != endpoint})

    async def note_success(self, endpoint: str) -> None:
        record = self._records.get(endpoint)
        if record is None or record.failing_ms is None:
            return
        async with self._changing:
            if record := self._records.get(endpoint):
                await self._keep(replace(record, failing_ms=None))

    async def note_failure(self, endpoint: str) -> None:
        """After lasting failure the endpoint is switched off."""
        async with self._changing:
            record = self._records.get(endpoint)
            if record is None or record.endpoint.disabled_ms is not None:
                return
            now_ms = self._clock.now_ms()
            if record.failing_ms is None:
                await self._keep(replace(record, failing_ms=now_ms))
            elif now_ms - record.failing_ms >= self._disable_after_ms:
                await self._switch_off(record, "it failed for too long")

    async def disable(self, endpoint: str, reason: str) -> None:
        """Queue nothing more for it until its tenant puts it again."""
        async with self._changing:
            record = self._records.get(endpoint)
            if record is not None and record.endpoint.disabled_ms is None:
                await self._switch_off(record, reason)

    async def _switch_off(self, record: base.EndpointRecord, reason: str) -> None:
        off = replace(record.endpoint, disabled_ms=self._clock.now_ms(), reason=reason)
        await self._keep(replace(record, endpoint=off))
        _log.warning("webhook_endpoint_disabled endpoint=%s reason=%s", off.id, reason)

    async def _keep(self, record: base.EndpointRecord) -> None:
        await self._store.put_endpoint(record)
        self._index({**self._records, record.endpoint.id: record})

    def _index(self, records: Mapping[str, base.EndpointRecord]) -> None:
        by_tenant: dict[str, list[view.Endpoint]] = {}
        for record in sorted(records.values(), key=_place):
            by_tenant.setdefault(record.endpoint.tenant, []).append(record.endpoint)
        self._records = dict(records)
        self._by_tenant = {tenant: tuple(found) for tenant, found in by_tenant.items()}
        off = sum(one.endpoint.disabled_ms is not None for one in records.values())
        self._metrics.endpoints_disabled.set(off)


def _place(record: base.EndpointRecord) -> tuple[bool, str]:
    """The configured one first, then by age."""
    return not record.endpoint.configured, record.endpoint.id


def configured_id(tenant: str) -> str:
    """The id of a tenant's endpoint from the configuration file."""
    return f"configured.{tenant}"


class Endpoints:
    """What a tenant may do with its endpoints."""

    def __init__(
        self,
        book: EndpointBook,
        store: base.Store,
        finisher: Finisher,
        clock: Clock,
        check_url: Callable[[str], str],
    ) -> None:
        self._book = book
        self._store = store
        self._finisher = finisher
        self._clock = clock
        self._check_url = check_url

    async def list(self, caller: Caller) -> Sequence[view.Endpoint]:
        return self._book.of(caller.tenant)

    async def put(
        self,
        caller: Caller,
        *,
        url: str,
        events: Sequence[str],
        secret: str | None,
        endpoint: str | None,
    ) -> view.Endpoint:
        """Make one, or replace one and switch it on again. Without a secret one is made.

        Raises InvalidMessage, NotFound, StateConflict.
        """
        if reason := self._check_url(url):
            raise InvalidMessage("the URL cannot be used", [Fault("url", reason)])
        if secret is not None and (reason := check_secret(secret)):
            raise InvalidMessage("the secret cannot be used", [Fault("secret", reason)])
        known = self._own(caller, endpoint) if endpoint is not None else None
        if known is None and len(self._book.of(caller.tenant)) >= _MOST:
            raise StateConflict(f"a tenant has at most {_MOST} endpoints")
        now_ms = self._clock.now_ms()
        made = view.Endpoint(
            id=known.id if known is not None else new_id(now_ms, os.urandom(10)),
            tenant=caller.tenant,
            url=url,
            secrets=(secret if secret is not None else new_secret(),),
            events=tuple(events),
            created_ms=known.created_ms if known is not None else now_ms,
        )
        await self._book.put(base.EndpointRecord(endpoint=made))
        return made

    async def delete(self, caller: Caller, endpoint: str) -> None:
        await self._book.delete(self._own(caller, endpoint).id)

    async def replay(
        self, caller: Caller, endpoint: str, *, since_ms: int, only_failed: bool
    ) -> int:
        """Queue webhooks again, at most 10,000; how many."""
        found = self._find(caller, endpoint)
        ids = await self._store.webhooks_of(
            found.id, since_ms=since_ms, only_failed=only_failed, limit=_MOST_REPLAYED
        )
        idle = [case for case in (await self._store.cases(ids)).values() if not case.live]
        await asyncio.gather(*(self._finisher.apply(case, _restart) for case in idle))
        return len(idle)

    def _find(self, caller: Caller, endpoint: str) -> view.Endpoint:
        found = self._book.get(endpoint)
        if found is None or found.tenant != caller.tenant:
            raise NotFound("no such endpoint")
        return found

    def _own(self, caller: Caller, endpoint: str) -> view.Endpoint:
        found = self._find(caller, endpoint)
        if found.configured:
            raise StateConflict("this endpoint is set in the gateway's configuration")
        return found


def _restart(change: Change) -> None:
    if change.is_idle:
        change.restart()


def new_secret() -> str:
    """A signing secret as Standard Webhooks writes it."""
    return "whsec_" + base64.b64encode(randomness.token_bytes(32)).decode()


def check_secret(secret: str) -> str:
    """Why a secret cannot be used; empty when it can."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        return "is not base64"
    if not secret.startswith("whsec_") or not 24 <= len(key) <= 64:
        return "must be whsec_ and the base64 of 24 to 64 bytes"
    return ""
