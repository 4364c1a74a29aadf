"""What operators look at: readiness, providers' health, metrics."""

from collections.abc import Callable, Sequence

from gateway.clock import Clock
from gateway.limits.account import Account
from gateway.metrics import Metrics
from gateway.model import view
from gateway.model.errors import StoreUnavailable
from gateway.model.values import Value
from gateway.store import base


class Known(Value):
    """A provider account with what does not change about it."""

    account: Account
    kind: str
    channel: str
    lanes: Sequence[str]


class Operations:
    """Implements the edge's `Operations`."""

    def __init__(
        self,
        store: base.Store,
        accounts: dict[str, Known],
        clock: Clock,
        metrics: Metrics,
        is_draining: Callable[[], bool],
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._clock = clock
        self._metrics = metrics
        self._is_draining = is_draining
        self._store_trouble = ""

    def ready(self) -> str:
        """Empty when ready, else why not."""
        return "draining" if self._is_draining() else self._store_trouble

    async def check_store(self) -> None:
        """Find out whether the store could commit, for `ready`."""
        try:
            await self._store.check()
            self._store_trouble = ""
        except StoreUnavailable as error:
            self._store_trouble = f"store: {error}"

    async def health(self) -> Sequence[view.ProviderHealth]:
        return [self._health(name, known) for name, known in self._accounts.items()]

    async def metrics(self, accept: str) -> tuple[bytes, str]:
        for name, known in self._accounts.items():
            account = known.account
            self._metrics.set_breaker(name, account.breaker.state)
            paused = account.paused_for()
            self._metrics.paused_seconds.labels(name).set(paused if paused < 1e9 else 0.0)
            self._metrics.in_flight.labels(name).set(account.in_flight)
        return self._metrics.render(accept)

    def _health(self, name: str, known: Known) -> view.ProviderHealth:
        account, now = known.account, self._clock.monotonic()
        bucket = account.limiter.bucket if account.limiter is not None else None
        counts = account.tally.counts(now)
        attempts = {key: counts[key] for key in ("accepted", "rejected", "deferred", "unknown")}
        paused = account.paused_for()
        return view.ProviderHealth(
            account=name,
            kind=known.kind,
            channel=known.channel,
            lanes=known.lanes,
            breaker=account.breaker.state,
            paused_for=paused if paused < 1e9 else 0.0,
            tokens=bucket.level(now) if bucket is not None else None,
            burst=bucket.burst if bucket is not None else None,
            rate=bucket.rate if bucket is not None else None,
            factor=bucket.factor if bucket is not None else 1.0,
            in_flight=account.in_flight,
            concurrency=account.limits.concurrency,
            attempts=attempts,
            acceptance=_share(counts["accepted"], sum(attempts.values())),
            delivery=_share(counts["delivered"], counts["delivered"] + counts["undelivered"]),
        )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
