"""What every message goes through, whoever sends it: the rules that hold for it, how it is written,
and who writes down what became of it."""

from collections.abc import Collection
from dataclasses import dataclass

from gateway.app import choices
from gateway.app.carriers import Carriers
from gateway.app.ground import Ground
from gateway.content import templates as content
from gateway.dispatch import caps, webhooks
from gateway.dispatch.bans import Bans
from gateway.dispatch.endpoints import EndpointBook
from gateway.dispatch.finisher import Finisher
from gateway.dispatch.habits import Habits
from gateway.dispatch.render import Renderer
from gateway.dispatch.replacing import Replacing
from gateway.dispatch.subscriptions import Subscriptions
from gateway.dispatch.wordings import Wordings
from gateway.rules.timing import Timetable
from gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides whether a message may go, and when."""

    bans: Bans
    caps: caps.Caps
    timetable: Timetable
    subscriptions: Subscriptions


@dataclass(frozen=True, slots=True)
class Words:
    """How a message is written."""

    templates: content.TemplateSet
    wordings: Wordings
    renderer: Renderer


@dataclass(frozen=True, slots=True)
class Road:
    """book and reporter: whom tenants' webhooks go to, and how they are made."""

    book: EndpointBook
    reporter: webhooks.Reporter
    habits: Habits
    finisher: Finisher
    replacing: Replacing
    rules: Rules
    words: Words


async def build_road(ground: Ground, carriers: Carriers) -> Road:
    """Reads what the store knows of endpoints and secrets."""
    settings = ground.settings
    book = EndpointBook(
        ground.store,
        ground.clock,
        ground.metrics,
        disable_after=settings.webhooks.disable_after,
    )
    await book.configure(settings.tenants)
    reporter = webhooks.Reporter(book.of)
    habits = await _build_habits(ground, carriers.telling_lanes)
    finisher = _build_finisher(ground, reporter, habits)
    rules = await _build_rules(ground, carriers, reporter)
    return Road(
        book=book,
        reporter=reporter,
        habits=habits,
        finisher=finisher,
        replacing=Replacing(ground.store, finisher),
        rules=rules,
        words=_build_words(settings, rules),
    )


async def _build_habits(ground: Ground, can_tell: Collection[str]) -> Habits:
    return Habits(
        ground.store,
        ground.clock,
        await ground.store.secret("addresses"),
        categories=choices.best_categories(ground.settings),
        can_tell=can_tell,
    )


def _build_finisher(ground: Ground, reporter: webhooks.Reporter, habits: Habits) -> Finisher:
    settings = ground.settings
    return Finisher(
        ground.store,
        ground.clock,
        ground.metrics,
        ground.bells,
        webhooks=reporter,
        weights={name: tenant.weight for name, tenant in settings.tenants.items()},
        note=habits.note if habits.learns else None,
        capped=caps.counted(settings),
        yielding=caps.yielding(settings),
    )


async def _build_rules(ground: Ground, carriers: Carriers, reporter: webhooks.Reporter) -> Rules:
    settings, store, clock = ground.settings, ground.store, ground.clock
    bans = Bans(
        store,
        clock,
        await store.secret("addresses"),
        by_consent=[name for name, one in settings.categories.items() if one.consent],
        declinable=[name for name, one in settings.categories.items() if one.unsubscribe],
        providers_of=carriers.providers_of,
    )
    timetable = Timetable(settings)
    timetable.prepare(clock.now_ms())
    return Rules(
        bans=bans,
        caps=caps.Caps(settings, store, bans, await store.secret("caps"), clock, ground.metrics),
        timetable=timetable,
        subscriptions=Subscriptions(
            bans,
            ground.bells,
            clock,
            await store.secret("unsubscribe"),
            public_url=settings.api.public_url,
            categories=settings.categories,
            webhooks=reporter.moved,
        ),
    )


def _build_words(settings: Settings, rules: Rules) -> Words:
    templates = content.load(settings)
    wordings = Wordings(settings)
    kinds = {
        name: frozenset(settings.providers[one].kind for one in lane.providers)
        for name, lane in settings.lanes.items()
    }
    renderer = Renderer(templates, settings.api.public_url, kinds, wordings, rules.subscriptions)
    return Words(templates, wordings, renderer)
