"""Known rules by name, each with what it rests on. They are for whoever has read them: the law of
a country says more than hours, and a preset is no advice on it.

`cn-marketing`: custom. The rules on short messages (MIIT order 31 of 2015) ask for consent and name
no hours; carriers and platforms pass commercial messages by day, most from 8 to 21 or 22.

`tcpa`: law. 47 CFR 64.1200(c)(1) forbids telephone solicitations before 8 and after 21 at the
called party's location, and (e) extends it to wireless numbers; the FCC counts texts as calls. Some
states are stricter: Florida's day ends at 20 (Florida Statutes 501.616(6)(a)).

`fr-marketing`: custom. Carriers stop commercial messages from their short codes at night, on
Sundays and on holidays, with hours that differ from one to the next; these are the narrowest in
use. The law has hours for calls alone (décret 2022-1313).
"""

from collections.abc import Mapping

from gateway.model.wire import Channel
from gateway.settings.timing import TimingSettings

#: Channels that ring a phone by its number.
_PHONE = (Channel.SMS, Channel.RCS)

PRESETS: Mapping[str, TimingSettings] = {
    "cn-marketing": TimingSettings(
        windows=("08:00-21:00",),
        channels=_PHONE,
        phone_prefix=("+86",),
        default_zone="Asia/Shanghai",
    ),
    "fr-marketing": TimingSettings(
        windows=("Mon-Fri 08:00-20:00", "Sat 10:00-18:00"),
        channels=_PHONE,
        phone_prefix=("+33",),
        default_zone="Europe/Paris",
        holidays="FR",
    ),
    "tcpa": TimingSettings(
        windows=("08:00-21:00",),
        channels=_PHONE,
        phone_prefix=("+1",),
        default_zone="America/New_York",
    ),
}


def expand(settings: TimingSettings) -> TimingSettings:
    """The whole rule: what a preset says, with what the settings say themselves laid over it.
    Raises KeyError when there is no such preset."""
    if not settings.preset:
        return settings
    said = settings.model_fields_set
    return PRESETS[settings.preset].model_copy(
        update={name: getattr(settings, name) for name in said}
    )
