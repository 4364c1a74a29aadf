"""What the rules about content say of configured templates, filled in with samples, and of a text.

For `gateway lint` and `gateway check`: the same reading that messages get, with no gateway running.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.content import templates
from gateway.content.lint.sample import is_chinese
from gateway.dispatch import lanes as lane_rules
from gateway.dispatch.proofs import Proofreader
from gateway.dispatch.render import CannotRender, Renderer
from gateway.dispatch.wordings import Wordings
from gateway.model import wire
from gateway.model.lint import Finding, Severity
from gateway.model.message import Message, Priority, Step
from gateway.settings import Settings
from gateway.settings.faults import show_path

_CHINA = "+86"

#: By the last word of a variable's name; others are `_SAMPLE`.
_SAMPLES: Mapping[str, str] = {
    **dict.fromkeys(("code", "otp", "pin", "passcode"), "834201"),
    **dict.fromkeys(("amount", "total", "price", "balance", "sum"), "128.00"),
    **dict.fromkeys(("order", "number", "id", "no"), "A1742"),
    **dict.fromkeys(("minutes", "hours", "days", "count", "quantity"), "5"),
    **dict.fromkeys(("name", "user", "customer"), "Li Lei"),
    **dict.fromkeys(("phone", "mobile"), "13800138000"),
    "date": "2030-03-21",
    "day": "2030-03-21",
    "time": "14:30",
}
_SAMPLE = "sample"
_LINKS = frozenset({"url", "link", "href"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What was found in one template, or in a text."""

    #: empty for a text
    template: str
    category: str
    findings: tuple[Finding, ...]
    #: why some of it could not be read; empty when all was
    trouble: str = ""

    @property
    def has_errors(self) -> bool:
        return any(one.severity is Severity.ERROR for one in self.findings)


class Proofs:
    """Reads templates and texts by one configuration."""

    def __init__(self, settings: Settings) -> None:
        """Reads templates and files of words; raises SettingsError."""
        self._settings = settings
        self._templates = templates.load(settings)
        self._kinds = {
            name: frozenset(settings.providers[one].kind for one in lane.providers)
            for name, lane in settings.lanes.items()
        }
        self._renderer = Renderer(self._templates, "", self._kinds, Wordings(settings))
        self._reader = Proofreader(settings, self._renderer, lambda finding: None)
        prefixes = (one.match.phone_prefix for one in settings.lanes.values())
        self._phones = ("", *sorted({phone for each in prefixes for phone in each}))

    @property
    def names(self) -> Collection[str]:
        """Of all templates, those in files as well."""
        return sorted(self._templates)

    def read_template(self, name: str, data: Mapping[str, Any]) -> Page:
        """data: what takes the place of samples."""
        category = self._templates.category(name) or "service"
        found: dict[Finding, None] = {}
        trouble = ""
        for channel in wire.Channel:
            try:
                for message in self._messages(name, channel, category, data):
                    found.update(dict.fromkeys(self._reader.findings(message)))
            except CannotRender as error:
                trouble = f"{error}; its variables can be given as data"
        return Page(template=name, category=category, findings=tuple(found), trouble=trouble)

    def read_content(
        self, content: Mapping[str, str], channel: wire.Channel, category: str, phone: str
    ) -> Page:
        """A text as it would be posted. Raises ValueError when it could not be sent."""
        if category not in self._settings.categories:
            raise ValueError(f"there is no category {category}")
        if channel is wire.Channel.SMS and not phone and is_chinese(content.get("text", "")):
            phone = _CHINA
        lane = self._lane(channel, category, phone)
        if lane is None:
            raise ValueError(f"no lane carries {channel} of category {category}")
        message = _message(category, channel, lane, phone, content=content)
        self._renderer.content(message, message.chain[0])
        findings = tuple(self._reader.findings(message))
        return Page(template="", category=category, findings=findings)

    def _messages(
        self, name: str, channel: wire.Channel, category: str, data: Mapping[str, Any]
    ) -> Iterator[Message]:
        """One for each lane that somebody would be served by."""
        phones = self._phones if channel in (wire.Channel.SMS, wire.Channel.RCS) else ("",)
        seen: set[tuple[str, bool]] = set()
        queue = list(phones)
        while queue:
            phone = queue.pop(0)
            lane = self._lane(channel, category, phone)
            where = (lane or "", phone.startswith(_CHINA))
            if lane is None or where in seen:
                continue
            seen.add(where)
            if not self._templates.offers(name, channel, self._kinds[lane]):
                continue
            values = {**self._samples(name, channel, lane), **data}
            message = _message(category, channel, lane, phone, template=name, data=values)
            text = self._renderer.content(message, message.chain[0]).text
            yield message
            if channel is wire.Channel.SMS and is_chinese(text):
                queue.append(_CHINA)

    def _lane(self, channel: wire.Channel, category: str, phone: str) -> str | None:
        address = wire.Address(phone=phone)
        return lane_rules.match(
            self._settings.lanes, channel=channel, category=category, address=address
        )

    def _samples(self, name: str, channel: wire.Channel, lane: str) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for path in self._templates.missing(name, {}, [channel], self._kinds[lane]):
            *outer, last = path.split(".")
            table = made
            for key in outer:
                inner = table.get(key)
                if not isinstance(inner, dict):
                    inner = table[key] = {}
                table = inner
            table.setdefault(last, self._sample(last))
        return made

    def _sample(self, name: str) -> str:
        word = name.lower().rpartition("_")[2]
        if word in _LINKS:
            host = (*self._settings.lint.domains, "example.com")[0]
            return f"https://{host}/a"
        return _SAMPLES.get(word, _SAMPLE)


def template_warnings(settings: Settings) -> Iterator[str]:
    """What `gateway check` says of templates, a line each; no hints."""
    proofs = Proofs(settings)
    for name in proofs.names:
        for one in proofs.read_template(name, {}).findings:
            if one.severity is not Severity.HINT:
                path = show_path(("templates", name, one.channel, *one.field.split(".")))
                yield f"{path}: {one.rule}: {one.message}"


def _message(
    category: str,
    channel: wire.Channel,
    lane: str,
    phone: str,
    *,
    template: str = "",
    data: Mapping[str, Any] | None = None,
    content: Mapping[str, Any] | None = None,
) -> Message:
    step = Step(channel=channel, lane=lane, parts=(wire.Address(phone=phone),))
    return Message(
        category=category,
        priority=Priority.NORMAL,
        chain=(step,),
        template=template,
        data=data or {},
        content=content or {},
    )
