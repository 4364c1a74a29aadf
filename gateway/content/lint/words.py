"""Finds words of a list in a text, however long the list is.

An automaton (Aho and Corasick, 1975) goes over the text once for all words of a list, in Rust: with
50,000 words a text of 64 Ki characters takes 1 ms where few of them are in it, and 20 ms where
every tenth character begins one (a slow core). Making it takes a second.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from ahocorasick_rs import AhoCorasick, Implementation

from gateway.model.errors import SettingsError

#: Characters of each text that are looked at. Only mails say more.
LONGEST: Final = 64 * 1024

#: Of a file; people's lists have some ten thousand words.
MOST_WORDS: Final = 200_000
LONGEST_WORD: Final = 64
_LARGEST_FILE = 16 * 1024 * 1024


class Folded:
    """A text as words are looked for in it."""

    def __init__(self, text: str) -> None:
        self.text = fold(text)[:LONGEST]  # one sign may stand for eighteen letters


def fold(text: str) -> str:
    """Narrow and in lower case."""
    if text.isascii():
        return text.lower()
    whole = text.encode(
        "utf-8", "replace"
    ).decode()  # halves of signs have no place in an automaton
    return unicodedata.normalize("NFKC", whole).casefold()


class WordList:
    """Words, and what goes with each. Latin letters and digits match as whole words only."""

    def __init__(self, words: Mapping[str, str] | Iterable[str]) -> None:
        """words: compared without regard to case and width; a mapping says what goes with each."""
        notes = words if isinstance(words, Mapping) else dict.fromkeys(words, "")
        self._notes = {folded: note for word, note in notes.items() if (folded := fold(word))}
        self._words = list(self._notes)
        # of its kinds the one that is made soonest and takes least room for its speed
        kind = Implementation.ContiguousNFA
        self._automaton = AhoCorasick(self._words, implementation=kind) if self._words else None

    def __len__(self) -> int:
        return len(self._notes)

    def note(self, word: str) -> str:
        """What goes with a word that `find` gave."""
        return self._notes[word]

    def find(self, text: Folded) -> list[str]:
        """Its words, each once, in the order of their first place."""
        if self._automaton is None:
            return []
        places = self._automaton.find_matches_as_indexes(text.text, overlapping=True)
        found: dict[str, None] = {}
        last = -1
        for word, start, end in sorted(places, key=_longest_first):
            if start > last and _stands_alone(text.text, start, end):
                found[self._words[word]] = None
                last = start
        return list(found)


def _longest_first(place: tuple[int, int, int]) -> tuple[int, int]:
    """Of those that begin at one place."""
    _, start, end = place
    return start, -end


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
