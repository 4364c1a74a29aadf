"""Reads a configuration file and checks it against everything that this program knows.

The one check that there is: `gateway check` shows what it finds, every other command refuses to go
on with a file that it finds fault with. Beside what `settings.load` sees by itself, providers are
built, templates compiled, and lanes and chains compared with what the providers can do.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway import settings
from gateway.clock import SystemClock
from gateway.content import templates
from gateway.content.lint.words import read_words
from gateway.dispatch import digests
from gateway.dispatch import lanes as lane_rules
from gateway.model import wire
from gateway.model.errors import SettingsError
from gateway.providers import base, registry
from gateway.rules import check as timing
from gateway.settings import faults
from gateway.settings.faults import Fault, KeyPath
from gateway.settings.values import show_duration
from gateway.store.registry import open_store


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A file without faults."""

    settings: settings.Settings
    #: what is legal and probably not meant, one line each
    warnings: Sequence[str]


def read(file: Path, environ: Mapping[str, str] = os.environ) -> Configuration:
    """Raises SettingsError with every fault, by file and line. Opens nothing."""
    checker = _Checker()
    found = settings.load(file, environ, checker.check_provider, checker.check_whole)
    return Configuration(
        settings=found,
        warnings=(
            *settings.warnings(found),
            *checker.until_warnings,
            *timing.warnings(found),
        ),
    )


@dataclass(slots=True)
class _Checker:
    """Compares settings with the providers, which it remembers as they are built."""

    clock: SystemClock = field(default_factory=SystemClock)
    providers: dict[str, base.Provider] = field(default_factory=dict)
    until_warnings: list[str] = field(default_factory=list)

    def check_provider(self, account: str, kind: str, options: Mapping[str, Any]) -> Sequence[str]:
        try:
            self.providers[account] = registry.build(account, kind, options, self.clock)
        except SettingsError as error:
            return error.faults
        return ()

    def check_whole(self, found: settings.Settings) -> Iterator[Fault]:
        yield from self._store(found)
        yield from _template_faults(found)
        yield from timing.faults(found)
        yield from _word_faults(found)
        for name, lane in found.lanes.items():
            yield from self._lane(name, lane)
        for name, category in found.categories.items():
            yield from self._category(name, category, found.lanes)

    def _store(self, found: settings.Settings) -> Iterator[Fault]:
        try:
            open_store(found, self.clock)
        except SettingsError as error:
            for text in error.faults:
                yield Fault(("store", "url"), text.removeprefix("store.url: "))

    def _lane(self, name: str, lane: settings.Lane) -> Iterator[Fault]:
        for place, account in enumerate(lane.providers):
            provider = self.providers.get(account)  # None: it is at fault itself
            if provider is not None and provider.channel is not lane.channel:
                path: KeyPath = ("lanes", name, "providers", place)
                yield Fault(path, f'"{account}" carries {provider.channel}, not {lane.channel}')

    def _category(
        self, name: str, category: settings.Category, lanes: Mapping[str, settings.Lane]
    ) -> Iterator[Fault]:
        for place, step in enumerate(category.chain):
            path: KeyPath = ("categories", name, "chain", place, "until")
            for lane in _lanes_of(step.channel, name, lanes):
                if self._can_tell(lanes[lane], step):
                    continue
                text = f'no provider of lane "{lane}" reports `{step.until}`'
                if step.within is None:
                    yield Fault(path, f"{text}, so the chain would never go on: set `within`")
                    continue
                wait = show_duration(step.within)
                self.until_warnings.append(
                    f"{faults.show_path(path)}: {text}: the next step always starts after {wait}"
                )

    def _can_tell(self, lane: settings.Lane, step: settings.StepSettings) -> bool:
        built = [self.providers.get(account) for account in lane.providers]
        if None in built:  # nobody knows what it would report
            return True
        reports = (provider.reports for provider in built if provider is not None)
        return lane_rules.can_tell(frozenset().union(*reports), step.until)


def _lanes_of(
    channel: wire.Channel, category: str, lanes: Mapping[str, settings.Lane]
) -> list[str]:
    """The lanes that some recipient of the category may be served by."""
    prefixes = {prefix for lane in lanes.values() for prefix in lane.match.phone_prefix}
    found = {
        lane_rules.match(
            lanes, channel=channel, category=category, address=wire.Address(phone=phone)
        )
        for phone in ("", *prefixes)
    }
    return sorted(name for name in found if name is not None)


def _template_faults(found: settings.Settings) -> Iterator[Fault]:
    try:
        loaded = templates.load(found)
    except SettingsError as error:
        for text in error.faults:
            yield _template_fault(text, found)
    else:
        for name, why in digests.faults(found, loaded):
            yield Fault(("caps", name, "digest"), why)


def _word_faults(found: settings.Settings) -> Iterator[Fault]:
    """Files of sensitive words that cannot be used."""
    try:
        read_words(found.lint.words)
    except SettingsError as error:
        for text in error.faults:
            place, _, reason = text.partition(": ")
            path: KeyPath = ("lint", "words")
            if number := place.removeprefix("lint.words").strip("[]"):
                path = (*path, int(number))
            yield Fault(path, reason)


def _template_fault(text: str, found: settings.Settings) -> Fault:
    """With the path of the template's entry, so that its line can be told."""
    for name in found.templates:
        start = f"templates.{name}."
        if text.startswith(start):
            place, _, reason = text.removeprefix(start).partition(": ")
            return Fault(("templates", name, *place.split(".")), reason)
    return Fault((), text)
