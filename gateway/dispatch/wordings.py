"""What each lane puts around the texts of SMS: the same for the preview, the count and the sending.

A lane's accounts are interchangeable, so the words are the lane's and not an account's: whoever
sends it, a text is as long as its tokens say.
"""

from collections.abc import Mapping

from gateway.content import sms_wording
from gateway.model import wire
from gateway.model.values import replace
from gateway.settings import Category, Lane, Rewrite, Settings

_CHINA = "+86"
_AS_IS = sms_wording.Wording(rewrite=False)


class Wordings:
    """By lane and category; worked out once."""

    def __init__(self, settings: Settings) -> None:
        #: (lane, category, whether in China); what is not in it goes out as it is
        self._known: Mapping[tuple[str, str, bool], sms_wording.Wording] = {
            (name, category, china): made
            for name, lane in settings.lanes.items()
            for category, rules in settings.categories.items()
            for china in (False, True)
            if lane.channel is wire.Channel.SMS and (made := _of(lane, rules, china)) != _AS_IS
        }

    def apply(
        self, content: wire.Content, *, lane: str, category: str, to: wire.Address
    ) -> wire.Content:
        """The content with its whole text. Providers' own templates are theirs to sign."""
        china = is_china(to)
        wording = self._known.get((lane, category, china))
        if wording is None or not content.text:
            return content
        return replace(content, text=sms_wording.compose(content.text, wording, china=china))


def is_china(address: wire.Address) -> bool:
    """Whether carriers of the mainland bring it, with their signatures and their way to count."""
    return address.phone.startswith(_CHINA)


def _of(lane: Lane, category: Category, china: bool) -> sms_wording.Wording:
    rules = lane.sms
    usual = sms_wording.OPT_OUT_CHINA if china else sms_wording.OPT_OUT
    opt_out = usual if rules.opt_out is None else rules.opt_out
    return sms_wording.Wording(
        signature=rules.sign,
        signature_last=rules.sign_last,
        opt_out=opt_out if category.unsubscribe else "",
        rewrite=rules.rewrite is not Rewrite.NEVER,
        drop_accents=rules.rewrite is Rewrite.ACCENTS,
    )
