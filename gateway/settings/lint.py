"""Settings of the rules about content: limits, lists of words, domains that links may lead to."""

from typing import Annotated, TypeAlias

from pydantic import Field

from gateway.settings.routing import Model
from gateway.settings.values import Domain

#: Words are compared without regard to width and case.
Word: TypeAlias = Annotated[str, Field(min_length=1, max_length=64)]


class LintSettings(Model):
    sms_parts: int = Field(
        default=3, ge=1, le=255, description="`sms.parts`: more parts than these are found"
    )
    lead: int = Field(
        default=60,
        ge=10,
        le=1000,
        description="`text.lead`: columns of the first line that must hold the core; a Chinese "
        "character takes two",
    )
    core: tuple[Annotated[str, Field(max_length=200)], ...] = Field(
        default=(),
        description="`text.lead`: more variables of templates that are the core, such as order.id, "
        "beside code, amount, date and the like",
    )
    push_title: int = Field(
        default=50, ge=10, description="`push.length`: columns of a title that phones show"
    )
    push_text: int = Field(
        default=150, ge=10, description="`push.length`: columns of a text that phones show"
    )
    domains: tuple[Domain, ...] = Field(
        default=(),
        description="`link.domain`: where links may lead, subdomains included; empty: anywhere, "
        "unless the category says more",
    )
    shorteners: tuple[Domain, ...] = Field(
        default=(), description="`link.shortener`: more services that hide where a link leads"
    )
    words: tuple[str, ...] = Field(
        default=(),
        max_length=16,
        description="`words.sensitive`: files with a word a line, relative to this file",
    )
    spam_words: tuple[Word, ...] = Field(default=(), description="`words.spam`: more words")
    marketing_words: tuple[Word, ...] = Field(
        default=(), description="`words.mixed`: more words that only marketing says"
    )
    service_words: tuple[Word, ...] = Field(
        default=(), description="`words.mixed`: more words that marketing does not say"
    )
    abbreviations: dict[Word, str] = Field(
        default_factory=dict,
        description='`text.abbreviation`: more of them, with what to write: pls = "please"',
    )
