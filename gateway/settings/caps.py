"""Settings of how often a recipient may be written to, and their checks against the others."""

from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from gateway.model.caps import Unit
from gateway.model.wire import Channel
from gateway.settings.faults import Fault, KeyPath, unknown
from gateway.settings.routing import Model
from gateway.settings.values import Kind, Period, Zone

#: A minute and a month, in seconds.
_SHORTEST, _LONGEST = 60, 31 * 86400


class Over(StrEnum):
    """What becomes of a message that finds a cap full."""

    DEFER = "defer"
    DROP = "drop"
    MERGE = "merge"


class CapSettings(Model):
    most: int = Field(ge=1, le=1000, description="messages to one recipient in the window")
    within: Annotated[Period, Field(ge=_SHORTEST, le=_LONGEST)] | None = Field(
        default=None,
        description="length of the window, 1m to 31d, which slides; absent: that of calendar",
    )
    calendar: Unit | None = Field(
        default=None,
        description="day, week (from Monday) or month as the window, in place of within",
    )
    zone: Zone = Field(default="UTC", description="where the calendar's days begin")
    channels: tuple[Channel, ...] = Field(
        default=(),
        description="those that count, a message once on each; empty: all, a message once in all",
    )
    categories: tuple[str, ...] = Field(
        min_length=1, description="messages that count and are held back; no others do"
    )
    over: Annotated[Over, Kind("defer, drop or merge")] = Field(
        default=Over.DEFER,
        description="what finds no room waits for it while it may, or is not sent, "
        "or waits and leaves as one with what waits beside it",
    )
    digest: str = Field(
        default="", description="for merge: the template of the one message, over count and items"
    )
    shared: bool = Field(
        default=False,
        description="count messages of all tenants together, by address; "
        "else each tenant's, by to.recipient if given",
    )


def cap_faults(
    caps: Mapping[str, CapSettings], *, categories: Collection[str], channels: Collection[str]
) -> Iterator[Fault]:
    """categories: all that there are. channels: those with a lane."""
    for name, cap in caps.items():
        path: KeyPath = ("caps", name)
        if cap.within is None and cap.calendar is None:
            yield Fault((*path, "within"), 'is missing, as is calendar: say "1d", for instance')
        if cap.within is not None and cap.calendar is not None:
            yield Fault((*path, "calendar"), "stands beside within, of which it takes the place")
        if cap.calendar is None and "zone" in cap.model_fields_set:
            yield Fault((*path, "zone"), "means nothing without calendar")
        if cap.over is Over.MERGE and not cap.digest:
            yield Fault((*path, "digest"), "is missing: the template of what is merged")
        if cap.over is not Over.MERGE and cap.digest:
            yield Fault((*path, "digest"), 'means nothing unless over is "merge"')
        yield from _names(path, "categories", cap.categories, categories)
        for place, channel in enumerate(cap.channels):
            if channel not in channels:
                yield Fault((*path, "channels", place), f"no lane carries {channel}")
            elif channel in cap.channels[:place]:
                yield Fault((*path, "channels", place), f'"{channel}" stands here twice')


def _names(
    path: KeyPath, key: str, named: tuple[str, ...], known: Collection[str]
) -> Iterator[Fault]:
    for place, name in enumerate(named):
        where = (*path, key, place)
        if name not in known:
            yield Fault(where, unknown("category", name, known))
        elif name in named[:place]:
            yield Fault(where, f'"{name}" stands here twice')
