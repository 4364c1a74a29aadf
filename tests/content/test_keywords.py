"""Replies of one word: every word of the lists however it is typed, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.content import keywords

#: By source: Twilio, Telnyx, AWS, Google RCS, FCC.
STOP = (
    *("STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT"),
    "STOP ALL",
    *("ARRET", "OPT-OUT", "OPTOUT", "REMOVE", "TD"),
    *("BAJA", "parar"),
    *("revoke", "opt out"),
)
START = ("START", "YES", "UNSTOP", "ALTA", "Démarrer", "começar")
HELP = ("HELP", "INFO")
#: Of Chinese operators; the first four are too common elsewhere.
STOP_CHINA = ("R", "T", "N", "0000", "TD", "退订", "拒收", "TUIDING")

WORDS = [
    *((word, keywords.Intent.OPT_OUT, False) for word in STOP),
    *((word, keywords.Intent.OPT_IN, False) for word in START),
    *((word, keywords.Intent.HELP, False) for word in HELP),
    *((word, keywords.Intent.OPT_OUT, True) for word in (*STOP, *STOP_CHINA)),
    *((word, keywords.Intent.OPT_OUT, False) for word in STOP_CHINA[4:]),
]


@pytest.mark.parametrize(("word", "intent", "china"), WORDS)
def test_every_word_of_the_lists_is_known(word: str, intent: keywords.Intent, china: bool) -> None:
    assert keywords.read(word, china=china) is intent


@pytest.mark.parametrize("word", STOP_CHINA[:4])
def test_chinese_letters_answer_a_question_elsewhere(word: str) -> None:
    assert keywords.read(word) is keywords.Intent.NONE


@pytest.mark.parametrize(
    "text",
    [
        "\uff53\uff54\uff4f\uff50",
        " Stop\r\n",
        "STOP.",
        "stop!!",
        "“Stop”",
        "【STOP】",
        "ARRÊT",
        "STO\u200bP",
        "stop…",
    ],
)
def test_width_case_space_accents_and_signs_do_not_matter(text: str) -> None:
    assert keywords.read(text) is keywords.Intent.OPT_OUT


@pytest.mark.parametrize(
    "text", ["\uff54", "\uff34。", "\uff34\uff24", " td ", "退订\uff01", "「退订」", "退 订"]
)
def test_chinese_replies_are_read_as_they_are_typed(text: str) -> None:
    expected = keywords.Intent.NONE if text == "退 订" else keywords.Intent.OPT_OUT

    assert keywords.read(text, china=True) is expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "...",
        "please stop calling at night",
        "I will not stop",
        "STOP me if you can",
        "don't cancel",
        "nonstop",
        "stops",
        "T1",
        "不要退订",
        "0 000",
        "STOP" + " " * 10 + "x",
        "stop " * 1000,
    ],
)
@pytest.mark.parametrize("china", [False, True])
def test_other_texts_ask_for_nothing(text: str, china: bool) -> None:
    assert keywords.read(text, china=china) is keywords.Intent.NONE


WIDE = {narrow: chr(ord(narrow) + 0xFEE0) for narrow in map(chr, range(0x21, 0x7F))}
SIGNS = (
    " \t\r\n.!?,;:\"'()\u3000\u200b。、“”\u2018\u2019【】…"
    "\uff01\uff1f\uff0c\uff1b\uff1a\uff08\uff09"
)
EDGES = st.text(alphabet=SIGNS, max_size=12)


@given(
    known=st.sampled_from(WORDS),
    before=EDGES,
    after=EDGES,
    changes=st.lists(st.sampled_from(["", "upper", "lower", "wide"]), min_size=12, max_size=12),
    gap=st.sampled_from([" ", "  ", "\n", "\u3000"]),
)
def test_a_word_is_known_however_it_is_typed(
    known: tuple[str, keywords.Intent, bool],
    before: str,
    after: str,
    changes: list[str],
    gap: str,
) -> None:
    word, intent, china = known
    typed = "".join(map(retyped, word, changes)).replace(" ", gap)

    assert keywords.read(before + typed + after, china=china) is intent


def retyped(character: str, change: str) -> str:
    if change == "wide":
        return WIDE.get(character, character)
    return getattr(character, change)() if change else character


@given(
    word=st.sampled_from([word for word, *_ in WORDS]),
    more=st.text(alphabet="bdfgjkvwxz不要3", min_size=1, max_size=5),
    first=st.booleans(),
    apart=st.booleans(),
)
def test_a_word_within_a_sentence_is_none(word: str, more: str, first: bool, apart: bool) -> None:
    pair = (more, word) if first else (word, more)

    assert keywords.read((" " if apart else "").join(pair), china=True) is keywords.Intent.NONE


@given(text=st.text(max_size=100), china=st.booleans())
def test_any_text_has_one_intent_that_closing_signs_do_not_change(text: str, china: bool) -> None:
    intent = keywords.read(text, china=china)

    assert intent in keywords.Intent
    assert len(text) > 50 or keywords.read(f" {text}! ", china=china) is intent


def test_a_huge_text_is_not_looked_at() -> None:
    assert keywords.read("x" * 10_000_000) is keywords.Intent.NONE
    assert keywords.read(" " * 10_000_000 + "stop") is keywords.Intent.OPT_OUT
