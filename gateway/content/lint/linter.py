"""All rules, and what a category makes of what they find."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from gateway.content.lint import facts, links, mail, sms, speech
from gateway.content.lint.lists import Lists
from gateway.content.lint.sample import Sample
from gateway.model import wire
from gateway.model.lint import Finding, Level, Rule, Severity
from gateway.model.values import replace
from gateway.settings import LintSettings

_Check = Callable[[Sample, Lists], Iterator[Finding]]

#: For every channel that people read.
_EVERYWHERE: Sequence[_Check] = (
    facts.abbreviation,
    facts.placeholder,
    links.check,
    speech.mixed,
    speech.spam,
    speech.sensitive,
)
_CHECKS: Mapping[wire.Channel, Sequence[_Check]] = {
    wire.Channel.SMS: (
        sms.parts,
        sms.length,
        sms.signature,
        sms.opt_out,
        facts.lead,
        *_EVERYWHERE,
    ),
    wire.Channel.EMAIL: (
        mail.subject_missing,
        mail.subject_length,
        mail.subject_loud,
        mail.no_text,
        mail.unclosed,
        mail.no_alt,
        facts.lead,
        *_EVERYWHERE,
    ),
    wire.Channel.PUSH: (mail.push_length, facts.lead, *_EVERYWHERE),
    wire.Channel.RCS: (facts.lead, *_EVERYWHERE),
    wire.Channel.CHAT: (facts.lead, *_EVERYWHERE),
    wire.Channel.WECOM: (facts.lead, *_EVERYWHERE),
    wire.Channel.WECHAT: _EVERYWHERE,
    wire.Channel.WEBHOOK: (),  # read by programs
}

#: Findings of one content; one that is wrong from end to end need not say so more often.
_MOST = 100


class Linter:
    """Applies the rules by one configuration. Pure once it is made."""

    def __init__(self, settings: LintSettings) -> None:
        """Reads the files of sensitive words. Raises SettingsError."""
        self._lists = Lists.of(settings)

    def check(self, sample: Sample, levels: Mapping[Rule, Level]) -> Sequence[Finding]:
        """What the rules find, errors first. levels: severities that the category sets."""
        found: dict[tuple[Rule, str], Finding] = {}
        for check in _CHECKS[sample.channel]:
            for one in check(sample, self._lists):
                if levels and (level := levels.get(one.rule)) is not None:
                    if level is Level.OFF:
                        continue
                    one = replace(one, severity=Severity(level.value))
                # HTML says again what the text has said
                found.setdefault((one.rule, one.message), one)
                if len(found) == _MOST:
                    return worst_first(found.values())
        return worst_first(found.values())


_ORDER = (Severity.ERROR, Severity.WARNING, Severity.HINT)


def worst_first(found: Iterable[Finding]) -> Sequence[Finding]:
    """The same by severity; equal ones stay in their order."""
    return sorted(found, key=lambda one: _ORDER.index(one.severity))
