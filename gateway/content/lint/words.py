"""Finds words of a list in a text, however long the list is.

A text is cut into all its pairs of characters, and those that begin a word are looked for: work
in C for each character, and some in Python only where a word may begin. With 50,000 words a text of
70 characters takes 0.1 ms and one of 64 Ki characters 0.15 s (two slow cores, shared); one regular
expression of them all takes 50 ms for those 70 characters, and an automaton needs a library.
"""

from collections.abc import Iterable, Iterator, Mapping
from operator import add, itemgetter
from pathlib import Path
from typing import Final

from gateway.content.lint.sample import fold
from gateway.model.errors import SettingsError

#: Of a file; people's lists have some ten thousand words.
MOST_WORDS: Final = 200_000
LONGEST_WORD: Final = 64
_LARGEST_FILE = 16 * 1024 * 1024


class WordList:
    """Words, and what goes with each. Latin letters and digits match as whole words only."""

    def __init__(self, words: Mapping[str, str] | Iterable[str]) -> None:
        """words: compared without regard to case and width; a mapping says what goes with each."""
        notes = words if isinstance(words, Mapping) else dict.fromkeys(words, "")
        self._notes = {folded: note for word, note in notes.items() if (folded := fold(word))}
        lengths: dict[str, set[int]] = {}
        for word in self._notes:
            lengths.setdefault(word[:2], set()).add(len(word))
        #: by their first two characters: lengths of the words, longest first
        self._lengths = {head: sorted(found, reverse=True) for head, found in lengths.items()}
        self._heads = frozenset(head for head in lengths if len(head) > 1)
        self._singles = frozenset(lengths) - self._heads

    def __len__(self) -> int:
        return len(self._notes)

    def note(self, word: str) -> str:
        """What goes with a word that `find` gave."""
        return self._notes[word]

    def find(self, folded: str) -> list[str]:
        """Its words, each once, in the order of their first place. folded: see `sample.fold`."""
        found: dict[str, int] = {}
        for at, head in self._places(folded):
            word = self._word_at(folded, head, at)
            if word:
                found.setdefault(word, at)
        return list(found)

    def _places(self, folded: str) -> Iterable[tuple[int, str]]:
        """Where words may begin, and with which characters; in order."""
        places: list[tuple[int, str]] = []
        if heads := self._heads.intersection(map(add, folded, folded[1:])):
            pairs = enumerate(map(add, folded, folded[1:]))
            places = [(at, pair) for at, pair in pairs if pair in heads]
        if singles := self._singles.intersection(folded) if self._singles else None:
            places += [(at, one) for at, one in enumerate(folded) if one in singles]
            places.sort(key=itemgetter(0))
        return places

    def _word_at(self, folded: str, head: str, at: int) -> str:
        """The longest word that begins there; empty when none does."""
        for length in self._lengths[head]:
            word = folded[at : at + length]
            if word in self._notes and _stands_alone(folded, at, at + length):
                return word
        return ""


def read_words(files: Iterable[str]) -> WordList:
    """Of files with a word a line; blank lines and those that begin with # are none.

    Raises SettingsError with every file that cannot be used.
    """
    words: dict[str, str] = {}
    faults: list[str] = []
    for place, name in enumerate(files):
        try:
            words.update(dict.fromkeys(_lines(Path(name)), ""))
        except ValueError as error:
            faults.append(f"lint.words[{place}]: {error}")
        except OSError as error:
            faults.append(f"lint.words[{place}]: {name}: {error.strerror}")
    if len(words) > MOST_WORDS:
        faults.append(f"lint.words: more than {MOST_WORDS} words")
    if faults:
        raise SettingsError(faults)
    return WordList(words)


def _lines(file: Path) -> Iterator[str]:
    with file.open("rb") as opened:
        raw = opened.read(_LARGEST_FILE + 1)
    if len(raw) > _LARGEST_FILE:
        raise ValueError(f"{file}: larger than {_LARGEST_FILE // 2**20} MiB")
    try:
        lines = raw.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{file}: not UTF-8") from None
    for number, line in enumerate(lines, 1):
        word = line.strip()
        if len(word) > LONGEST_WORD:
            raise ValueError(f"{file}:{number}: longer than {LONGEST_WORD} characters")
        if word and not word.startswith("#"):
            yield word


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether Latin letters and digits do not go on at either end: "ass" is not in "class"."""
    before = start > 0 and _is_latin(text[start]) and _is_latin(text[start - 1])
    after = end < len(text) and _is_latin(text[end - 1]) and _is_latin(text[end])
    return not before and not after


def _is_latin(character: str) -> bool:
    return character.isascii() and character.isalnum()
