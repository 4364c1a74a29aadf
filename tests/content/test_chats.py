"""What a chat message says beside its texts."""

from typing import Any

import pytest

from gateway import settings
from gateway.content import posted, templates
from gateway.model import wire

CHAT, WECOM = wire.Channel.CHAT, wire.Channel.WECOM


@pytest.mark.parametrize("channel", [CHAT, WECOM])
def test_what_templates_make_is_of_the_type_that_it_should_be(channel: wire.Channel) -> None:
    configured = {
        "t": settings.Template(
            channels={channel: {"text": "x", "card": "{{ wide }}", "link": "{{ empty }}"}}
        )
    }
    data = [{"wide": wide, "empty": ""} for wide in (True, "False", "")]

    made = [templates.TemplateSet(configured).render("t", channel, one) for one in data]

    assert [one.extra for one in made] == [{"card": True}, {"card": False}, {"card": False}]


@pytest.mark.parametrize(
    ("field", "value"),
    [("card", "perhaps"), ("card", 1), ("cut", ["html"]), ("link", 5), ("image", "x" * 2049)],
)
def test_what_is_wrong_is_named(field: str, value: Any) -> None:
    with pytest.raises(posted.ContentFault) as caught:
        posted.from_content({"text": "x", "chat": {field: value}}, CHAT)

    assert caught.value.field == f"chat.{field}"


def test_what_is_not_ours_passes_and_other_channels_know_no_cards() -> None:
    content = posted.from_content({"text": "x", "chat": {"colour": "red", "cut": ["text"]}}, CHAT)
    mail = posted.from_content({"text": "x", "email": {"card": "perhaps"}}, wire.Channel.EMAIL)

    assert content.extra == {"colour": "red", "cut": ("text",)}
    assert mail.extra == {"card": "perhaps"}
