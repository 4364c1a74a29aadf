"""Words: of marketing where none is expected, of spam, and those that must not be said at all."""

from collections.abc import Iterator

from gateway.content.lint.lists import Lists
from gateway.content.lint.sample import Sample
from gateway.content.lint.words import WordList
from gateway.model.lint import Finding, Rule, Severity

#: Words that a finding names.
_NAMED = 3
#: Spam words of one field from which on filters mind; fewer are a hint.
_MANY_SPAM = 3


def mixed(sample: Sample, lists: Lists) -> Iterator[Finding]:
    """`words.mixed`: marketing in a message of service, or the other way round."""
    words = lists.service if sample.is_marketing else lists.marketing
    for field, found in _found(sample, words):
        said = _quoted(found)
        if sample.is_marketing:
            message = f"says {said} in a category of marketing, which people can refuse"
            hint = "send it in a category of service"
        else:
            message = f"says {said} in a category of service: carriers take it for marketing"
            hint = "send the offer by itself, in a category of marketing"
        yield sample.find(Rule.MIXED, field, Severity.WARNING, message, hint)


def spam(sample: Sample, lists: Lists) -> Iterator[Finding]:
    """`words.spam`: what filters count against it."""
    for field, found in _found(sample, lists.spam):
        yield sample.find(
            Rule.SPAM,
            field,
            Severity.WARNING if len(found) >= _MANY_SPAM else Severity.HINT,
            f"says {_quoted(found)}, which filters count against it",
            "say it plainly",
        )


def sensitive(sample: Sample, lists: Lists) -> Iterator[Finding]:
    """`words.sensitive`: words of the files in `lint.words`."""
    if not len(lists.sensitive):
        return
    for field, found in _found(sample, lists.sensitive):
        yield sample.find(
            Rule.SENSITIVE,
            field,
            Severity.ERROR,
            f"says {_quoted(found)}, of the list of sensitive words",
            "say it otherwise",
        )


def _found(sample: Sample, words: WordList) -> Iterator[tuple[str, list[str]]]:
    for field, folded in sample.folded.items():
        if found := words.find(folded):
            yield field, found


def _quoted(words: list[str]) -> str:
    named = ", ".join(f'"{one}"' for one in words[:_NAMED])
    return f"{named} and {len(words) - _NAMED} more" if len(words) > _NAMED else named
