"""Finds words of a list in a text, however long the list is.

A text is cut into all its pairs of characters once, and the heads of words that are among them are
looked for: work in C for each character, and in Python only where a word may begin. With 50,000
words a text of 70 characters takes 0.07 ms and one of 64 Ki characters 0.2 s (a slow core); one
regular expression of them all takes 14 ms for those 70 characters, and an automaton a library.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import add
from pathlib import Path
from typing import Final

from gateway.model.errors import SettingsError

#: Characters of each text that are looked at. Only mails say more.
LONGEST: Final = 64 * 1024

#: Up to so many, each is looked for by itself; more of them, at every place of the text.
_FEW_HEADS = 16

#: Of a file; people's lists have some ten thousand words.
MOST_WORDS: Final = 200_000
LONGEST_WORD: Final = 64
_LARGEST_FILE = 16 * 1024 * 1024


class Folded:
    """A text as words are looked for in it."""

    def __init__(self, text: str) -> None:
        self.text = fold(text)[:LONGEST]  # one sign may stand for eighteen letters
        #: all characters and all pairs of them
        self.heads = frozenset(map(add, self.text, self.text[1:])).union(self.text)


def fold(text: str) -> str:
    """Narrow and in lower case."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", text).casefold()


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
        self._heads = frozenset(lengths)

    def __len__(self) -> int:
        return len(self._notes)

    def note(self, word: str) -> str:
        """What goes with a word that `find` gave."""
        return self._notes[word]

    def find(self, text: Folded) -> list[str]:
        """Its words, each once, in the order of their first place."""
        found: dict[str, int] = {}
        for at, head in self._places(text):
            word = self._word_at(text.text, head, at)
            if word:
                found.setdefault(word, at)
        return list(found)

    def _places(self, text: Folded) -> Sequence[tuple[int, str]]:
        """Where words may begin, and with which characters; in order."""
        heads = self._heads & text.heads
        if not heads:
            return ()
        if len(heads) <= _FEW_HEADS:
            return sorted((at, head) for head in heads for at in _all(text.text, head))
        pairs = zip(text.text, map(add, text.text, text.text[1:]), strict=False)
        return [
            (at, head)
            for at, both in enumerate((*pairs, (text.text[-1], "")))
            for head in both
            if head in heads
        ]

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


def _all(text: str, head: str) -> Iterator[int]:
    """All its places."""
    at = text.find(head)
    while at >= 0:
        yield at
        at = text.find(head, at + 1)


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether Latin letters and digits do not go on at either end: "ass" is not in "class"."""
    before = start > 0 and _is_latin(text[start]) and _is_latin(text[start - 1])
    after = end < len(text) and _is_latin(text[end - 1]) and _is_latin(text[end])
    return not before and not after


def _is_latin(character: str) -> bool:
    return character.isascii() and character.isalnum()
