"""What is wrong with rules about time that are well written: they name what nobody knows, or let
nothing pass.
"""

from collections.abc import Iterator

from gateway.rules import holidays, presets
from gateway.rules.timing import hours_of
from gateway.rules.windows import Week, closings, overlap
from gateway.settings import Category, Settings
from gateway.settings.faults import Fault, KeyPath, show_path, unknown
from gateway.settings.timing import TimingSettings
from gateway.settings.values import show_duration


def faults(settings: Settings) -> Iterator[Fault]:
    """Everything that `Timetable` could not work with, and what can never be met."""
    for name, one in settings.timing.items():
        yield from _set_faults(("timing", name), one)
    weeks = _weeks(settings)
    for name, category in settings.categories.items():
        yield from _strangers(name, category, weeks)
        for place, shortest, _ in _closings(category, weeks):
            if shortest >= category.expires_in:
                closed, life = show_duration(shortest), show_duration(category.expires_in)
                text = (
                    f"closes for {closed} or longer, which no message outlives: expires_in {life}"
                )
                yield Fault(("categories", name, "timing", place), text)


def warnings(settings: Settings) -> Iterator[str]:
    """What may be meant: messages that come at the wrong time are never sent."""
    weeks = _weeks(settings)
    for name, category in settings.categories.items():
        for place, shortest, longest in _closings(category, weeks):
            if shortest < category.expires_in <= longest:
                path = show_path(("categories", name, "timing", place))
                closed, life = show_duration(longest), show_duration(category.expires_in)
                yield f"{path}: closes for up to {closed}, longer than expires_in ({life})"


def _set_faults(path: KeyPath, one: TimingSettings) -> Iterator[Fault]:
    if one.preset:
        if one.preset not in presets.PRESETS:
            yield Fault((*path, "preset"), unknown("preset", one.preset, presets.PRESETS))
        return
    if one.holidays and not holidays.is_place(one.holidays):
        text = unknown("country", one.holidays, holidays.places())
        yield Fault((*path, "holidays"), text)
    elif not any(hours_of(one).week):
        yield Fault((*path, "quiet" if one.quiet else "windows"), "it is never open")


def _weeks(settings: Settings) -> dict[str, tuple[TimingSettings, Week]]:
    """Rule sets without faults, as they stand, with their open hours."""
    return {
        name: (presets.expand(one), hours_of(presets.expand(one)).week)
        for name, one in settings.timing.items()
        if not any(_set_faults((), one))
    }


def _closings(
    category: Category, weeks: dict[str, tuple[TimingSettings, Week]]
) -> Iterator[tuple[int, float, float]]:
    """(place, shortest, longest) in seconds of how long each of its rule sets closes, if at all."""
    for place, name in enumerate(category.timing):
        if name in weeks and (gaps := closings(weeks[name][1])):
            yield place, min(gaps) * 60.0, max(gaps) * 60.0


def _strangers(
    name: str, category: Category, weeks: dict[str, tuple[TimingSettings, Week]]
) -> Iterator[Fault]:
    """Rule sets of a category that are never open together."""
    for place, second in enumerate(category.timing):
        for first in category.timing[:place]:
            if first not in weeks or second not in weeks:
                continue
            (one, hours), (other, others) = weeks[first], weeks[second]
            if _meet(one, other) and not overlap(hours, others):
                path: KeyPath = ("categories", name, "timing", place)
                yield Fault(path, f'"{second}" is never open when "{first}" is')


def _meet(one: TimingSettings, other: TimingSettings) -> bool:
    """Whether both hold for the same recipients, by the same clock."""
    return one.zone == other.zone and all(
        not mine or not theirs or set(mine) & set(theirs)
        for mine, theirs in (
            (one.channels, other.channels),
            (one.phone_prefix, other.phone_prefix),
        )
    )
