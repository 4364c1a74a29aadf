"""What a recipient asks for by a reply of one word: no more messages, messages again, or help.

Only a whole text that is a keyword counts: "please stop calling at night" may mean anything. The
words are those of
https://www.twilio.com/docs/api/errors/21610,
https://docs.aws.amazon.com/sms-voice/latest/userguide/keywords.html,
https://developers.google.com/business-communications/rcs-business-messaging/guides/build/events/receive-events,
47 CFR 64.1200(a)(10), and of Chinese operators. Other wording may bind, too: people must be able
to suppress an address by hand.
"""

import re
import unicodedata
from collections.abc import Mapping
from enum import StrEnum


class Intent(StrEnum):
    """What a reply asks for."""

    OPT_OUT = "opt_out"
    OPT_IN = "opt_in"
    HELP = "help"
    NONE = "none"


_STOP = (
    "stop, stopall, stop all, unsubscribe, cancel, end, quit, remove, revoke, opt out, optout, td,"
    " arret, baja, parar, 退订, 拒收, tuiding"
)
_START = "start, yes, unstop, alta, demarrer, comecar"
_HELP = "help, info"
#: 0000 and single letters mean this to Chinese numbers only: elsewhere they answer a question.
_STOP_CHINA = "r, t, n, 0000"


def _words(**lists: str) -> Mapping[str, Intent]:
    return {word: Intent(name) for name, words in lists.items() for word in words.split(", ")}


_ANYWHERE = _words(opt_out=_STOP, opt_in=_START, help=_HELP)
_IN_CHINA = {**_ANYWHERE, **_words(opt_out=_STOP_CHINA)}

#: Characters of a reply that is looked at: the longest word has eleven, the rest may be dots.
_LONGEST = 60
_GAP = re.compile(r"[\s\-\u2010-―_]+")


def read(text: str, *, china: bool = False) -> Intent:
    """What the text asks for, whatever its width, case, accents and closing punctuation.

    china: whoever wrote it has a number of mainland China.
    """
    text = text.strip()
    if len(text) > _LONGEST:
        return Intent.NONE
    return (_IN_CHINA if china else _ANYWHERE).get(_folded(text), Intent.NONE)


def _folded(text: str) -> str:
    """Narrow, in lower case, without accents and invisible signs, one space between words."""
    apart = unicodedata.normalize("NFKD", text).casefold()
    kept = "".join(one for one in apart if unicodedata.category(one) not in ("Mn", "Cf"))
    first = next((at for at, one in enumerate(kept) if one.isalnum()), len(kept))
    last = next((at for at in range(len(kept), 0, -1) if kept[at - 1].isalnum()), first)
    return _GAP.sub(" ", kept[first:last])
