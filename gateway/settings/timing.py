"""Settings that decide when a message may leave: rule sets of hours, days and time zones."""

from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field

from gateway.model.hours import read_window
from gateway.model.wire import Channel
from gateway.settings.faults import Fault, unknown
from gateway.settings.routing import Category, Model
from gateway.settings.values import Kind, Zone, check_zone

#: The zone that each recipient is in.
RECIPIENT = "recipient"


def _check_hours(value: str) -> str:
    read_window(value)
    return value


def _check_place(value: str) -> str:
    return value if value == RECIPIENT else check_zone(value)


Hours: TypeAlias = Annotated[str, AfterValidator(_check_hours), Kind("hours")]
Place: TypeAlias = Annotated[
    str, AfterValidator(_check_place), Kind(f'"{RECIPIENT}" or a time zone')
]


class OnHolidays(StrEnum):
    """What a public holiday is."""

    CLOSED = "closed"
    AS_SUNDAY = "as_sunday"
    OPEN = "open"  # nothing special


class TimingSettings(Model):
    """When messages may leave. What is neither said here nor by the preset forbids nothing."""

    windows: tuple[Hours, ...] = Field(
        default=(),
        description='open hours, such as `"Mon-Fri 09:00-20:00"`, over midnight where its end is '
        "earlier; empty: always",
    )
    quiet: tuple[Hours, ...] = Field(
        default=(), description='hours in which nothing leaves, such as `"22:00-08:00"`'
    )
    channels: tuple[Channel, ...] = Field(
        default=(), description="those that it holds for; empty: all, or the preset's"
    )
    phone_prefix: tuple[Annotated[str, Field(pattern=r"^\+[1-9][0-9]{0,14}$")], ...] = Field(
        default=(),
        description="recipients that it holds for, by how their number begins, and those without a "
        "number; empty: all, or the preset's",
    )
    zone: Place = Field(
        default=RECIPIENT,
        description="whose clock counts: `recipient`, or one zone for all",
    )
    default_zone: Zone | None = Field(
        default=None,
        description="of recipients whose zone nobody knows; absent: the preset's, or UTC",
    )
    holidays: str = Field(
        default="",
        max_length=32,
        description="country whose public holidays count, such as `CN`, `DE` or `DE-BY`; empty: "
        "none do",
    )
    on_holidays: OnHolidays = Field(
        default=OnHolidays.CLOSED, description="closed, hours of a Sunday, or as any other day"
    )
    make_up_days: bool = Field(
        default=True,
        description="a weekend day that is worked in exchange (调休) has the hours of Friday or "
        "Monday, whichever is next to it",
    )
    preset: str = Field(
        default="",
        description="a known rule instead of hours: `cn-marketing`, `fr-marketing`, `tcpa`",
    )


#: What a preset says, so that nothing else may.
_OF_PRESET = ("windows", "quiet", "holidays", "on_holidays", "make_up_days")


def faults(
    timing: Mapping[str, TimingSettings],
    categories: Mapping[str, Category],
    known: Collection[str],
) -> Iterator[Fault]:
    """known: the names of all rule sets, also of those that are wrong."""
    for name, one in timing.items():
        yield from _set_faults(name, one)
    for name, category in categories.items():
        for place, rule in enumerate(category.timing):
            path = ("categories", name, "timing", place)
            if rule not in known:
                yield Fault(path, unknown("rule set", rule, known))
            elif rule in category.timing[:place]:
                yield Fault(path, f'"{rule}" stands here twice')


def _set_faults(name: str, one: TimingSettings) -> Iterator[Fault]:
    path, said = ("timing", name), one.model_fields_set
    if one.preset:
        for key in (key for key in _OF_PRESET if key in said):
            yield Fault((*path, key), "means nothing beside preset")
        return
    if not (one.windows or one.quiet or one.holidays):
        yield Fault(path, "forbids nothing: it needs windows, quiet, holidays or preset")
    for key in ("on_holidays", "make_up_days"):
        if key in said and not one.holidays:
            yield Fault((*path, key), "means nothing without holidays")
    if one.zone != RECIPIENT and one.default_zone:
        yield Fault((*path, "default_zone"), "means nothing beside a zone for all")
