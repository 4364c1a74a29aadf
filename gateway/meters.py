"""What metrics are made of, with prometheus-client: kinds of meters, and how they are shown."""

import os
from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Sequence
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    multiprocess,
)
from prometheus_client.exposition import choose_encoder

#: All see the same queue, whoever looked last; states and requests are each process's own.
Over = Literal["livemostrecent", "livemax", "livesum"]


class Times(Histogram):
    """A histogram that takes many observations at once: each by itself costs 3 µs."""

    def observe_all(self, seconds: Sequence[float]) -> None:
        places = Tally([bisect_left(self._upper_bounds, one) for one in seconds])
        for place, count in places.items():
            self._buckets[place].inc(count)
        self._sum.inc(sum(seconds))


class Meters:
    """The meters of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        # a series of its own for the birth of each: twice as much to scrape, of no use to anybody
        disable_created_metrics()  # type: ignore[no-untyped-call]
        if not _has_siblings():  # else it would be about whichever process was asked
            ProcessCollector(registry=self.registry)

    def render(self, accept: str) -> tuple[bytes, str]:
        """(body, content type) in the format that the scraper prefers."""
        encode, content_type = choose_encoder(accept)
        return encode(_of_all_processes() or self.registry), content_type

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str, over: Over = "livemostrecent") -> Gauge:
        """over: what the processes of a machine show together, where there are several."""
        return Gauge(name, text, labels, registry=self.registry, multiprocess_mode=over)

    def _histogram(
        self,
        name: str,
        text: str,
        buckets: tuple[float, ...],
        *labels: str,
        extra: tuple[float, ...] = (),
    ) -> Times:
        bounds = sorted({*buckets, *extra})
        return Times(name, text, labels, buckets=bounds, registry=self.registry)


def _of_all_processes() -> CollectorRegistry | None:
    """What the processes of this machine have counted together; None where there is only this one.

    The supervisor names the folder in the environment before prometheus-client is imported.
    """
    if not _has_siblings():
        return None
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def _has_siblings() -> bool:
    return "PROMETHEUS_MULTIPROC_DIR" in os.environ
