"""What callers post as content of a message: texts, files, and what providers want of their own.

Typed dicts, as in `schema`.
"""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Discriminator, Field, Tag, with_config
from typing_extensions import TypedDict

from gateway.api import fields, limits

_STRICT = ConfigDict(strict=True)
_CLOSED = ConfigDict(extra="forbid", strict=True)

_Subject = Annotated[str, fields.line(998, "Subject of an email; push falls back to it")]
_Title = Annotated[str, fields.line(512, "Title of a push, RCS or chat message")]
_Text = Annotated[str, Field(min_length=1, max_length=limits.MAX_TEXT, description="Plain text")]
_Html = Annotated[
    str, Field(min_length=1, max_length=limits.MAX_HTML, description="HTML, for email")
]
_Link = Annotated[str, fields.line(2048)]
_Extra = Annotated[dict[str, Any], Field(max_length=50), fields.at_most(limits.MAX_EXTRA)]


@with_config(_CLOSED)
class Attachment(TypedDict):
    """A file that goes with an email. Programs and scripts are refused, as mailboxes do."""

    name: Annotated[str, fields.line(limits.MAX_FILE_NAME, "Its name", ["invoice.pdf"])]
    type: Annotated[
        str,
        Field(
            max_length=limits.MAX_FILE_TYPE,
            pattern=r"^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*$",
            description="Media type, without parameters",
            examples=["application/pdf"],
        ),
    ]
    data: Annotated[
        str,
        Field(
            min_length=4,
            max_length=limits.MAX_FILE,
            description="The file in base64, with padding and without line breaks",
            json_schema_extra={"contentEncoding": "base64"},
        ),
    ]
    inline: NotRequired[
        Annotated[
            str,
            fields.line(
                limits.MAX_FILE_ID,
                "The id by which the HTML shows it as `cid:…`; beside the text if absent",
                ["logo"],
            ),
        ]
    ]


@with_config(_CLOSED)
class ChannelContent(TypedDict):
    """What differs on one channel."""

    text: NotRequired[_Text]
    subject: NotRequired[_Subject]
    title: NotRequired[_Title]
    html: NotRequired[_Html]
    image: NotRequired[Annotated[_Link, Field(description="URL of a picture to show")]]
    link: NotRequired[Annotated[_Link, Field(description="URL that opens on a tap")]]
    badge: NotRequired[Annotated[int, Field(ge=0, le=99_999, description="Number on the icon")]]
    sound: NotRequired[Annotated[str, fields.line(200, "Sound of a push")]]
    collapse_key: NotRequired[
        Annotated[str, fields.line(64, "A push takes the place of an earlier one with this key")]
    ]
    ttl: NotRequired[
        Annotated[
            fields.Duration,
            Field(description="Longest time that a push is kept for a device that is off"),
        ]
    ]
    data: NotRequired[Annotated[_Extra, Field(description="Values for the app that gets a push")]]
    cut: NotRequired[
        Annotated[
            list[Literal["text", "title"]],
            Field(max_length=2, description="Texts of a push or chat that may be shortened to fit"),
        ]
    ]
    card: NotRequired[
        Annotated[
            bool, Field(description="As a card of title, text, link and image; chat and wecom")
        ]
    ]
    list_unsubscribe: NotRequired[
        Annotated[_Link, Field(description="URI by which an email's list is left (RFC 8058)")]
    ]
    attachments: NotRequired[
        Annotated[
            list[Attachment],
            Field(
                min_length=1,
                max_length=limits.MAX_FILES,
                description="Files of an email, 10 MiB together, as far as a body may be so large",
            ),
        ]
    ]


_ProviderTable = Annotated[
    _Extra,
    Field(description="Template id, signature, parameters, as this kind of provider wants them"),
]


# mypy knows nothing of PEP 728 yet
@with_config(_STRICT)
class KindContent(TypedDict, extra_items=Any):  # type: ignore[call-arg]
    """What differs on a channel whose kind of provider has its name: texts, and its own table."""

    template: Annotated[str, fields.line(200, "Id of the provider's template")]
    text: NotRequired[_Text]
    subject: NotRequired[_Subject]
    title: NotRequired[_Title]
    html: NotRequired[_Html]


def _branch(value: Any) -> str:
    return fields.OWN if isinstance(value, dict) and "template" in value else fields.TEXTS


_ChannelEntry = Annotated[
    Annotated[ChannelContent, Tag(fields.TEXTS)]
    | Annotated[KindContent, fields.at_most(limits.MAX_DATA), Tag(fields.OWN)],
    Discriminator(_branch),
]


@with_config(_STRICT)
class Content(TypedDict, extra_items=_ProviderTable):  # type: ignore[call-arg]
    """Texts for all channels, and by channel those that differ. Under any other name stands what
    providers of that kind want of their own, such as the id of a template."""

    text: NotRequired[_Text]
    subject: NotRequired[_Subject]
    title: NotRequired[_Title]
    html: NotRequired[_Html]
    sms: NotRequired[_ChannelEntry]
    email: NotRequired[_ChannelEntry]
    push: NotRequired[_ChannelEntry]
    wechat: NotRequired[_ChannelEntry]
    wecom: NotRequired[_ChannelEntry]
    rcs: NotRequired[_ChannelEntry]
    chat: NotRequired[_ChannelEntry]
    webhook: NotRequired[_ChannelEntry]
