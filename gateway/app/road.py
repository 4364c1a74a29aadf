"""What every message goes through, whoever sends it: the rules that hold for it, how it is written,
and who writes down what became of it."""

from collections.abc import Collection
from dataclasses import dataclass

from gateway.app import choices
from gateway.app.carriers import Carriers
from gateway.app.ground import Ground
from gateway.content import templates as content
from gateway.dispatch import caps, digests, webhooks
from gateway.dispatch.bans import Bans
from gateway.dispatch.compose import Composer
from gateway.dispatch.endpoints import EndpointBook
from gateway.dispatch.finisher import Finisher
from gateway.dispatch.habits import Habits
from gateway.dispatch.likeness import Likeness
from gateway.dispatch.merging import Merging
from gateway.dispatch.render import Renderer
from gateway.dispatch.replacing import Replacing
from gateway.dispatch.steps import units_of
from gateway.dispatch.subscriptions import Subscriptions
from gateway.dispatch.wordings import Wordings
from gateway.providers import registry
from gateway.rules.timing import Timetable
from gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides whether a message may go, and when."""

    bans: Bans
    likeness: Likeness
    caps: caps.Caps
    timetable: Timetable
    subscriptions: Subscriptions


@dataclass(frozen=True, slots=True)
class Words:
    """How a message is written."""

    composer: Composer
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
    merging: Merging


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
    templates = content.load(settings)
    digests.check(settings, templates)
    rules = await _build_rules(ground, carriers, reporter, templates)
    replacing = Replacing(ground.store, finisher)
    words = _build_words(ground.settings, carriers, rules, templates)
    return Road(
        book=book,
        reporter=reporter,
        habits=habits,
        finisher=finisher,
        replacing=replacing,
        rules=rules,
        words=words,
        merging=_build_merging(ground, finisher, replacing, rules, words),
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


async def _build_rules(
    ground: Ground,
    carriers: Carriers,
    reporter: webhooks.Reporter,
    templates: content.TemplateSet,
) -> Rules:
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
    key = await store.secret("caps")
    likeness = Likeness(settings, templates, key)
    return Rules(
        bans=bans,
        likeness=likeness,
        caps=caps.Caps(settings, store, bans, key, clock, ground.metrics, likeness),
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


def _build_words(
    settings: Settings, carriers: Carriers, rules: Rules, templates: content.TemplateSet
) -> Words:
    wordings = Wordings(settings)
    kinds = {
        name: frozenset(settings.providers[one].kind for one in lane.providers)
        for name, lane in settings.lanes.items()
    }
    renderer = Renderer(templates, settings.api.public_url, kinds, wordings, rules.subscriptions)
    composer = Composer(
        settings,
        templates,
        carriers.reports,
        registry.known,
        wordings,
        carriers.objections,
        carriers.misfits,
    )
    return Words(composer, wordings, renderer)


def _build_merging(
    ground: Ground, finisher: Finisher, replacing: Replacing, rules: Rules, words: Words
) -> Merging:
    maker = digests.Digests(
        ground.settings,
        words.renderer,
        rules.likeness,
        objection=words.composer.steps.objection,
        units_of=units_of,
    )
    return Merging(
        ground.store,
        finisher,
        replacing,
        rules.caps,
        rules.likeness,
        maker,
        ground.bells,
        ground.clock,
        ground.metrics,
    )
