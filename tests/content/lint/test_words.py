"""Lists of words: what matches, in files of any size, and what files may not be."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.content.lint.words import LONGEST_WORD, MOST_WORDS, Folded, WordList, read_words
from gateway.model.errors import SettingsError


def find(words: list[str], text: str) -> list[str]:
    return WordList(words).find(Folded(text))


@pytest.mark.parametrize(
    ("words", "text", "found"),
    [
        (["ass"], "a first class pass", []),
        (["ass"], "Ass, ASS", ["ass"]),
        (["赌博", "博彩"], "赌博彩票", ["赌博", "博彩"]),
        (["sex"], "性sex性", ["sex"]),
        (["\uff36IP"], "vip客户", ["vip"]),  # a V of full width
        (["vip"], "\uff36IP客户", ["vip"]),
        (["毒"], "剧毒", ["毒"]),
        (["毒", "毒品"], "毒品", ["毒品"]),
        (["% off"], "20% OFF today", ["% off"]),
        (["ab", "abc"], "abc ab", ["abc", "ab"]),
        (["双11"], "双111", []),
        (["好"], "", []),
        ([], "好", []),
        (["", "好好"], "好好好", ["好好"]),
    ],
)
def test_words_are_found_in_order_and_once(words: list[str], text: str, found: list[str]) -> None:
    assert sorted(find(words, text)) == sorted(found)


@given(
    words=st.lists(st.text(alphabet="赌博彩票毒😀", min_size=1, max_size=5), max_size=20),
    text=st.text(alphabet="赌博彩票毒😀 ", max_size=60),
)
def test_nothing_is_found_that_is_not_there_and_no_place_is_passed_over(
    words: list[str], text: str
) -> None:
    found = WordList(words).find(Folded(text))

    assert set(found) <= set(words)
    assert all(word in text for word in found)
    # where one begins inside another, the longer one is told
    for word in set(words) - set(found):
        places = [at for at in range(len(text)) if text.startswith(word, at)]
        assert all(any(text.startswith(one, at) for one in found) for at in places)


def test_files_hold_a_word_a_line(tmp_path: Path) -> None:
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    first.write_bytes("\ufeff# politics\r\n赌博\r\n\r\n  Casino \r\n".encode())
    second.write_text("博彩\n赌博\n", encoding="utf-8")

    words = read_words([str(first), str(second)])

    assert len(words) == 3
    assert words.find(Folded("casino赌博")) == ["casino", "赌博"]


def test_every_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    long, binary = tmp_path / "long.txt", tmp_path / "binary.txt"
    long.write_text("ok\n" + "x" * (LONGEST_WORD + 1))
    binary.write_bytes(b"\xff\xfe")

    with pytest.raises(SettingsError) as caught:
        read_words([str(long), str(binary), str(tmp_path / "none.txt")])

    first, second, third = caught.value.faults
    assert first == f"lint.words[0]: {long}:2: longer than {LONGEST_WORD} characters"
    assert second == f"lint.words[1]: {binary}: not UTF-8"
    assert third == f"lint.words[2]: {tmp_path}/none.txt: No such file or directory"


def test_list_is_bounded(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("\n".join(map(str, range(MOST_WORDS + 1))))

    with pytest.raises(SettingsError, match=f"more than {MOST_WORDS} words"):
        read_words([str(file)])


def test_list_of_many_thousand_words_is_found_in_one_text(tmp_path: Path) -> None:
    letters = [chr(0x4E00 + number) for number in range(300)]
    words = [a + b for a in letters for b in letters]

    found = WordList(words).find(Folded("".join(letters)))

    assert len(found) == len(letters) - 1
