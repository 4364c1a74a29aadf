"""What rules compare with: limits, and words of our tables and of the configuration, compiled."""

from dataclasses import dataclass

from gateway.content.lint import tables
from gateway.content.lint.words import WordList, read_words
from gateway.settings import LintSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """Made once; rules only read it."""

    limits: LintSettings
    #: with what to write instead
    abbreviations: WordList
    marketing: WordList
    service: WordList
    spam: WordList
    sensitive: WordList
    shorteners: frozenset[str]

    @classmethod
    def of(cls, settings: LintSettings) -> "Lists":
        """Reads the files of sensitive words; raises SettingsError."""
        return cls(
            limits=settings,
            abbreviations=WordList({**tables.ABBREVIATIONS, **settings.abbreviations}),
            marketing=WordList((*tables.MARKETING_WORDS, *settings.marketing_words)),
            service=WordList((*tables.SERVICE_WORDS, *settings.service_words)),
            spam=WordList((*tables.SPAM_WORDS, *settings.spam_words)),
            sensitive=read_words(settings.words),
            shorteners=tables.SHORTENERS | set(settings.shorteners),
        )
