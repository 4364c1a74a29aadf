"""What rules about content are called, and what they find. The rules are in `content.lint`."""

from enum import StrEnum

from gateway.model.values import Value


class Rule(StrEnum):
    """The name by which a rule is configured, counted and reported; names do not change."""

    SMS_PARTS = "sms.parts"
    SMS_LENGTH = "sms.length"
    SMS_SIGNATURE = "sms.signature"
    SMS_OPT_OUT = "sms.opt_out"
    LEAD = "text.lead"
    ABBREVIATION = "text.abbreviation"
    PLACEHOLDER = "text.placeholder"
    MIXED = "words.mixed"
    SPAM = "words.spam"
    SENSITIVE = "words.sensitive"
    LINK_DOMAIN = "link.domain"
    LINK_SHORTENER = "link.shortener"
    LINK_PUNYCODE = "link.punycode"
    LINK_HTTP = "link.http"
    SUBJECT_MISSING = "email.subject_missing"
    SUBJECT_LENGTH = "email.subject_length"
    SUBJECT_LOUD = "email.subject_loud"
    NO_TEXT = "email.no_text"
    TAGS = "email.tags"
    ALT = "email.alt"
    PUSH_LENGTH = "push.length"


class Severity(StrEnum):
    """How much a finding matters."""

    HINT = "hint"  # could be better; told in previews only
    WARNING = "warning"  # some recipients or carriers will mind
    ERROR = "error"  # refused where the category says so


class Level(StrEnum):
    """What a category makes of a rule."""

    OFF = "off"
    HINT = "hint"
    WARNING = "warning"
    ERROR = "error"


class Mode(StrEnum):
    """What findings do when a message is accepted."""

    OFF = "off"  # nothing is looked at
    WARN = "warn"  # the answer tells of warnings and errors
    REFUSE = "refuse"  # errors refuse the message, the answer tells of warnings


class Finding(Value):
    """One thing that a rule found in the content of one channel.

    The texts name words of our tables and lists, and counts; never what else the content holds.
    """

    rule: Rule
    channel: str
    #: of the channel's content: `text`, `subject`, `title`, `html`, `link` …
    field: str
    severity: Severity
    #: what is the matter
    message: str
    #: what to do about it
    hint: str = ""
