"""Which messages may leave as one when they have waited for the same cap: those that go the same
way to the same address, of one tenant and category.
"""

from collections import defaultdict

import msgspec

from gateway.content.addresses import hash_address
from gateway.content.templates import TemplateSet
from gateway.model import wire
from gateway.model.message import Message, Mode
from gateway.model.values import Value
from gateway.settings import Over, Settings


class MergeRule(Value):
    """A cap whose messages are merged."""

    cap: str
    #: of the one message
    template: str
    #: empty: all
    channels: frozenset[wire.Channel]


class Likeness:
    """Names what is alike."""

    def __init__(self, settings: Settings, templates: TemplateSet, key: bytes) -> None:
        """key: of the hashes by which caps count, 1 to 64 secret bytes."""
        self._rules: dict[str, list[MergeRule]] = defaultdict(list)
        for name, cap in settings.caps.items():
            if cap.over is Over.MERGE:
                rule = MergeRule(cap=name, template=cap.digest, channels=frozenset(cap.channels))
                for category in cap.categories:
                    self._rules[category].append(rule)
        self._templates = templates
        self._kinds = {
            name: frozenset(settings.providers[one].kind for one in lane.providers)
            for name, lane in settings.lanes.items()
        }
        self._key = key

    def rule(self, category: str, channel: wire.Channel) -> MergeRule | None:
        """By which its messages are merged; the first, if there are several."""
        rules = self._rules.get(category, ())
        return next((one for one in rules if not one.channels or channel in one.channels), None)

    def says(self, template: str, channel: wire.Channel, lane: str) -> bool:
        """Whether a template has anything to say there, if there still is such a lane."""
        return lane in self._kinds and self._templates.offers(template, channel, self._kinds[lane])

    def of(self, tenant: str, message: Message, step: int) -> str:
        """The same for all that may leave as one from this step on, a keyed hash; '' for what
        leaves by itself."""
        if message.category not in self._rules or message.digest or message.mode is not Mode.CHAIN:
            return ""
        first = message.chain[step]
        rule = self.rule(message.category, first.channel)
        if rule is None or not self.says(rule.template, first.channel, first.lane):
            return ""
        way = [
            (one.channel, one.lane, one.parts, one.until, one.within)
            for one in message.chain[step:]
        ]
        whole = (tenant, message.category, rule.cap, message.on_unknown, way)
        return hash_address(self._key, "digest", msgspec.json.encode(whole).decode())
