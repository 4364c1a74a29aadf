"""What stands around the text of an SMS: the sender's signature and the way to refuse more.

Mainland China: the name in 【】 stands first, or last on some channels, and marketing ends with how
to refuse (https://www.tencentcloud.com/document/product/382/34671). Elsewhere a name is in [ ].
Services that sign with a name of their own (most Chinese ones) get the bare text.

Also writes texts in the GSM alphabet where that saves segments. Pure; counts with `sms`.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.content import sms

#: How to refuse, as Tencent and Huawei word it, and for people who write Latin letters.
OPT_OUT_CHINA = "拒收请回复R"
OPT_OUT = "Reply STOP to opt out"

#: An offer to refuse that a text has already: 拒收请回复R, 退订回T, 回T退订, 回TD退订. With a few
#: blanks at most: a text of nothing else would be tried in all ways to share them out.
_OFFER = re.compile(
    r"(?:拒收|退订)\s{0,4}请?\s{0,4}回复?\s{0,4}[A-Z0-9]{1,4}"
    r"|回复?\s{0,4}[A-Z0-9]{1,4}\s{0,4}(?:拒收|退订)",
    re.I,
)

#: Typographic signs and what they stand for; nothing is lost by them.
_TYPOGRAPHIC: Mapping[int, str] = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        "\u2026": "...",
        **dict.fromkeys("\u00a0\u2007\u2009\u202f\t", " "),
        **dict.fromkeys("\u200b\u2060\ufeff", ""),
    }
)
#: Greek capitals that look like Latin letters, which the alphabet means by those, and letters
#: that no decomposition brings to it.
_ALIKE: Mapping[int, str] = str.maketrans(
    {
        **dict(
            zip(
                "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7",
                "ABEZHIKMNOPTYX",
                strict=True,
            )
        ),
        "`": "'",
        "\u00b4": "'",
        "ł": "l",
        "Ł": "L",
        "đ": "d",
        "Đ": "D",
        "\u0131": "i",
        "œ": "oe",
        "Œ": "OE",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """What is put around every text of an account or a category."""

    #: the sender's bare name; empty: texts are not signed
    signature: str = ""
    #: where some channels want the signature
    signature_last: bool = False
    #: how to refuse more, for marketing; empty: nothing is added
    opt_out: str = ""
    #: write typographic signs plainly where that saves segments
    rewrite: bool = True
    #: and accented letters without their accents
    drop_accents: bool = False


def compose(text: str, wording: Wording, *, china: bool = False) -> str:
    """The whole text that goes out: what `sms.measure` has to count.

    The signature is outermost, the way to refuse at the end of what it signs. china: brackets as
    there, and no rewriting, which saves nothing where every character counts the same.
    """
    whole = sms.normalise(text)
    if wording.opt_out:
        whole = add_opt_out(whole, wording.opt_out)
    if wording.signature:
        whole = sign(whole, wording.signature, china=china, last=wording.signature_last)
    if china or not wording.rewrite:
        return whole
    return shorten(whole, drop_accents=wording.drop_accents)


def sign(text: str, name: str, *, china: bool, last: bool = False) -> str:
    """The text with the name in brackets; unchanged where it is signed so already.

    name: bare; brackets around it are not doubled.
    """
    left, right = ("【", "】") if china else ("[", "]")
    mark = left + name.strip().strip("【】[]").strip() + right
    if last:
        return text if text.rstrip().endswith(mark) else text + mark
    gap = "" if china else " "
    return text if text.lstrip().startswith(mark) else mark + gap + text


def add_opt_out(text: str, words: str) -> str:
    """The text with how to refuse at its end; unchanged where it offers that already."""
    if words in text or _OFFER.search(text):
        return text
    return f"{text.rstrip()} {words}"


def shorten(text: str, *, drop_accents: bool = False) -> str:
    """The text in the GSM alphabet if that takes fewer segments; else as it stands.

    Typographic quotes, dashes and spaces become plain ones; with `drop_accents` also letters
    lose accents that the alphabet has not.
    """
    if sms.is_gsm(text):
        return text
    plain = text.translate(_TYPOGRAPHIC)
    if drop_accents:
        plain = "".join(map(_plain, plain.translate(_ALIKE)))
    fewer = sms.is_gsm(plain) and sms.count(plain) < sms.count(text)
    return plain if fewer else text


def _plain(character: str) -> str:
    if sms.is_gsm(character):
        return character
    apart = unicodedata.normalize("NFKD", character)
    return "".join(one for one in apart if not unicodedata.combining(one))
