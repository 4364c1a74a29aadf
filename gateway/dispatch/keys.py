"""API keys: who is calling, what the key allows, and how much it may submit.

A key is 256 random bits behind a prefix, `gw_…`, kept as a SHA-256: it cannot be guessed, so a slow
hash would add nothing. Keys of the configuration are hashed the same way when they are read.
"""

import hashlib
import os
import secrets
from collections.abc import Mapping

from gateway.clock import Clock
from gateway.limits.bucket import TokenBucket
from gateway.model.errors import TooManyRequests, Unauthorised
from gateway.model.message import new_id
from gateway.model.submission import Caller, Scope
from gateway.model.tokens import Demand
from gateway.settings import Tenant
from gateway.store import base
from gateway.store.fleet import Fleet

_PREFIX = "gw_"


class Keys:
    """Implements the edge's `Keys`. `refresh` reads what was created or revoked elsewhere."""

    def __init__(self, tenants: Mapping[str, Tenant], store: base.Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._configured = {
            key_hash(key.get_secret_value()): Caller(tenant=name, scopes=tenant.scopes)
            for name, tenant in tenants.items()
            for key in tenant.keys
        }
        self._callers = dict(self._configured)
        self._version = ""
        now = clock.monotonic()
        self._buckets = {
            name: TokenBucket(rate=tenant.rate, burst=max(tenant.rate, 1.0), now=now - 1.0)
            for name, tenant in tenants.items()
            if tenant.rate is not None
        }

    async def refresh(self) -> None:
        """Read what has changed, if anything has."""
        version = await self._store.directory_version()
        if version == self._version:
            return
        callers = dict(self._configured)
        for key in await self._store.keys():
            if key.revoked_ms is None:
                scopes = frozenset(Scope(one) for one in key.scopes)
                callers[key.hash] = Caller(tenant=key.tenant, scopes=scopes)
        self._callers = callers
        self._version = version

    async def authenticate(self, token: str) -> Caller:
        """Raises Unauthorised.

        What is compared is a hash, which a guesser cannot steer: how long it takes tells nothing.
        """
        caller = self._callers.get(key_hash(token))
        if caller is None:
            raise Unauthorised("the key is not known or has been revoked")
        return caller

    async def admit(self, caller: Caller, messages: int) -> None:
        """Count messages against the tenant's rate. Raises TooManyRequests, StoreUnavailable."""
        bucket = self._buckets.get(caller.tenant)
        if bucket is None:
            return
        fleet = self._store.fleet
        if fleet is None:
            wait = bucket.take(float(messages), self._clock.monotonic())
        else:
            wait = await _take(fleet, caller.tenant, bucket, messages)
        if wait > 0.0:
            raise TooManyRequests("the tenant's rate is used up", retry_after=wait)


async def _take(fleet: Fleet, tenant: str, bucket: TokenBucket, messages: int) -> float:
    """The same from a bucket that all nodes share; 0 when done, else seconds until it may work."""
    demand = Demand(rate=bucket.rate, capacity=bucket.burst, most=messages, least=messages)
    grant = await fleet.take_tokens(f"tenant:{tenant}", demand)
    return 0.0 if grant.tokens > 0 else max(0.001, grant.wait)


def key_hash(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def new_key(tenant: str, scopes: frozenset[Scope], clock: Clock) -> tuple[str, base.TenantKey]:
    """(the key, to be shown once; what is kept of it)."""
    key = _PREFIX + secrets.token_urlsafe(32)
    now_ms = clock.now_ms()
    kept = base.TenantKey(
        id=new_id(now_ms, os.urandom(10)),
        tenant=tenant,
        hash=key_hash(key),
        scopes=frozenset(str(one) for one in scopes),
        created_ms=now_ms,
    )
    return key, kept
