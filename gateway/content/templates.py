"""The templates of messages: compiled once, rendered for one channel at a time.

They stand in the configuration file or in a folder, see `folder`. Texts are Jinja, see `jinja`;
only `html` is escaped. A provider kind's table (`aliyun = { template = …, params = ["code"] }`)
has its texts filled in; the names in `params` become a mapping of name to text, in their order.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from gateway import settings
from gateway.content import folder, jinja, posted, pushes, trees
from gateway.model import wire
from gateway.model.errors import SettingsError

from_content = posted.from_content
kinds_of = posted.kinds_of
is_empty = posted.is_empty
ContentFault = posted.ContentFault


class TemplateFault(ValueError):
    """A template cannot be rendered. The reason names fields and variables, never values."""

    def __init__(self, template: str, reason: str) -> None:
        super().__init__(f"template {template}: {reason}")
        self.template = template
        self.reason = reason


#: Provider kinds of a lane; None: all there are.
Kinds: TypeAlias = tuple[str, ...] | frozenset[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One field of a channel, or the table of one provider kind."""

    name: str
    #: as in the configuration, below the template
    path: str
    node: trees.Node
    #: characters of each text
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compiled:
    category: str
    channels: Mapping[wire.Channel, tuple[_Part, ...]]
    providers: tuple[_Part, ...]

    def parts(self, channel: wire.Channel | None, kinds: Kinds) -> Iterator[_Part]:
        for name, fields in self.channels.items():
            if channel in (None, name):
                yield from fields
        yield from self.tables(kinds)

    def tables(self, kinds: Kinds) -> Iterator[_Part]:
        return (part for part in self.providers if kinds is None or part.name in kinds)


class TemplateSet:
    """All templates by name.

    Methods take `kinds`, the provider kinds of the step's lane: only their tables count. None
    takes every kind, and then wants the variables of each.
    """

    def __init__(self, templates: Mapping[str, settings.Template]) -> None:
        """Raises SettingsError with every text that does not compile."""
        faults: list[str] = []
        self._templates = {
            name: _compile(name, template, faults) for name, template in templates.items()
        }
        if faults:
            raise SettingsError(faults)
        #: what `missing` looks for; one entry for each combination that configuration allows
        self._known: dict[tuple[str, wire.Channel, Kinds], frozenset[jinja.Path]] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._templates

    def __iter__(self) -> Iterator[str]:
        return iter(self._templates)

    def category(self, name: str) -> str:
        """The category of messages that name none; empty when the template has none either."""
        return self._get(name).category

    def offers(self, name: str, channel: wire.Channel, kinds: Kinds = None) -> bool:
        """Whether it has anything to say there."""
        template = self._get(name)
        return channel in template.channels or any(template.tables(kinds))

    def variables(
        self, name: str, channel: wire.Channel | None = None, kinds: Kinds = None
    ) -> frozenset[str]:
        """Every variable that is named, optional ones too; of all channels when none is given."""
        parts = self._get(name).parts(channel, kinds)
        return frozenset(variable for part in parts for variable in part.node.names)

    def missing(
        self,
        name: str,
        data: Mapping[str, Any],
        channels: Iterable[wire.Channel],
        kinds: Kinds = None,
    ) -> list[str]:
        """Variables that these channels want and that are absent or null, such as `order.id`.

        Those with `default` or a test for `defined` may be absent. Branches that the data would
        not take count all the same. Sorted.
        """
        absent: set[str] = set()
        for channel in channels:
            absent.update(jinja.find_absent(self._required(name, channel, kinds), data))
        return sorted(absent)

    def _required(self, name: str, channel: wire.Channel, kinds: Kinds) -> frozenset[jinja.Path]:
        key = (name, channel, kinds)
        found = self._known.get(key)
        if found is None:
            parts = self._get(name).parts(channel, kinds)
            found = frozenset(path for part in parts for path in part.node.required)
            self._known[key] = found
        return found

    def render(
        self, name: str, channel: wire.Channel, data: Mapping[str, Any], kinds: Kinds = None
    ) -> wire.Content:
        """What to send. Raises TemplateFault, also when it has nothing to say on the channel."""
        template = self._get(name)
        fields = _render(name, template.channels.get(channel, ()), data)
        tables = _render(name, template.tables(kinds), data)
        if not fields and not tables:
            raise TemplateFault(name, f"says nothing on {channel}")
        try:
            return posted.build(channel, fields, tables)
        except ContentFault as fault:
            raise TemplateFault(name, f"{channel}.{fault}") from None

    def _get(self, name: str) -> _Compiled:
        try:
            return self._templates[name]
        except KeyError:
            raise TemplateFault(name, "there is no such template") from None


def load(configured: settings.Settings) -> TemplateSet:
    """Templates of the configuration and of its folder. Reads files; raises SettingsError."""
    templates = dict(configured.templates)
    if not configured.content.folder:
        return TemplateSet(templates)
    from_files = folder.read(Path(configured.content.folder), configured.categories)
    if twice := sorted(templates.keys() & from_files.keys()):
        raise SettingsError([f"templates.{name}: also in content.folder" for name in twice])
    return TemplateSet(templates | dict(from_files))


def _render(name: str, parts: Iterable[_Part], data: Mapping[str, Any]) -> dict[str, Any]:
    made = {}
    for part in parts:
        try:
            made[part.name] = part.node.render(data, part.limit)
        except jinja.Unrendered as error:
            raise TemplateFault(name, f"{part.path}: {error}") from None
    return made


def _compile(name: str, template: settings.Template, faults: list[str]) -> _Compiled:
    """What does not compile is left out and noted in `faults`."""
    channels = {
        channel: tuple(_fields(name, channel, fields, faults))
        for channel, fields in template.channels.items()
    }
    providers = tuple(_tables(name, template.providers, faults))
    return _Compiled(category=template.category, channels=channels, providers=providers)


def _fields(
    template: str, channel: wire.Channel, fields: Mapping[str, Any], faults: list[str]
) -> Iterator[_Part]:
    for name, value in fields.items():
        path = f"{channel}.{name}"
        if channel is wire.Channel.PUSH and name not in posted.TEXTS | pushes.FIELDS:
            faults.append(f"templates.{template}.{path}: no such field of a push")
            continue
        try:
            node = trees.compile_field(path, value)
        except ValueError as error:
            faults.append(f"templates.{template}.{error}")
            continue
        yield _Part(name=name, path=path, node=node, limit=posted.limit_of(channel, name))


def _tables(
    template: str, tables: Mapping[str, Mapping[str, Any]], faults: list[str]
) -> Iterator[_Part]:
    for kind, table in tables.items():
        try:
            node = trees.compile_tree(kind, table)
        except ValueError as error:
            faults.append(f"templates.{template}.{error}")
            continue
        yield _Part(name=kind, path=kind, node=node, limit=posted.TEXT_LIMIT)
