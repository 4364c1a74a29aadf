"""What a push says beside its texts."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import settings
from gateway.content import posted, pushes, templates
from gateway.model import errors, wire

PUSH = wire.Channel.PUSH


def cut(text: str, most: int, **more: Any) -> wire.Content:
    content = wire.Content(text=text, extra={"cut": ("text",)}, **more)
    return pushes.fit(content, lambda one: len((one.title + one.text).encode()), most)


def rendered(**push: Any) -> wire.Content:
    configured = {"t": settings.Template(channels={PUSH: push})}
    return templates.TemplateSet(configured).render("t", PUSH, {"n": 3, "empty": ""})


def test_what_templates_make_is_of_the_type_that_it_should_be() -> None:
    content = rendered(
        text="x", badge="{{ n }}", ttl="{{ n }}m", link="{{ empty }}", data={"n": "{{ n }}"}
    )

    assert content.extra == {"badge": 3, "ttl": 180.0, "data": {"n": "3"}}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("badge", -1),
        ("badge", True),
        ("badge", "many"),
        ("badge", 100_000),
        ("ttl", "soon"),
        ("ttl", -1),
        ("ttl", "31d"),
        ("ttl", float("nan")),
        ("link", 7),
        ("link", "a\nb"),
        ("image", "x" * 2049),
        ("collapse_key", "x" * 65),
        ("data", "x"),
        ("cut", "text"),
        ("cut", ["link"]),
        ("cut", [["text"]]),
    ],
)
def test_a_value_that_cannot_be_is_a_fault_that_names_its_field(field: str, value: Any) -> None:
    with pytest.raises(posted.ContentFault) as caught:
        posted.from_content({"text": "x", "push": {field: value}}, PUSH)

    assert caught.value.field == f"push.{field}"
    assert str(value) not in caught.value.reason or field == "cut"


@pytest.mark.parametrize(
    ("value", "seconds"), [("90s", 90.0), ("1h", 3600.0), ("250ms", 0.25), (60, 60.0), ("5", 5.0)]
)
def test_time_to_live_is_a_duration(value: Any, seconds: float) -> None:
    assert pushes.check({"ttl": value}) == {"ttl": seconds}


def test_a_field_that_is_none_is_found_before_anything_is_sent() -> None:
    with pytest.raises(errors.SettingsError) as caught:
        rendered(text="x", bagde=1)

    assert caught.value.faults == ("templates.t.push.bagde: no such field of a push",)


def test_other_channels_keep_fields_of_their_own() -> None:
    content = posted.from_content({"text": "x", "rcs": {"badge": "many"}}, wire.Channel.RCS)

    assert content.extra == {"badge": "many"}


def test_nothing_is_cut_that_fits() -> None:
    assert cut("x" * 10, 10).text == "x" * 10


def test_a_cut_text_says_so() -> None:
    assert cut("x" * 20, 10).text == "x" * 7 + "…"


def test_only_what_may_be_cut_is() -> None:
    content = wire.Content(text="x" * 20, title="t")

    assert pushes.fit(content, lambda one: len(one.text), 10) == content


def test_the_title_goes_after_the_text() -> None:
    content = wire.Content(title="t" * 20, text="x" * 20, extra={"cut": ("text", "title")})

    fitted = pushes.fit(content, lambda one: len(one.title + one.text), 15)

    assert (fitted.text, fitted.title) == ("…", "t" * 13 + "…")


@pytest.mark.parametrize(
    "whole",
    ["e\u0301", "👩‍👩‍👧‍👦", "👍🏽", "🇨🇳", "❤️", "字"],
    ids=["accent", "family", "skin tone", "flag", "variation", "han"],
)
def test_what_people_see_as_one_character_stays_whole(whole: str) -> None:
    for most in range(len((whole * 4).encode())):
        text = cut(whole * 4, most).text.removesuffix("…")

        assert text == whole * (len(text) // len(whole))


@given(st.text(max_size=60), st.integers(min_value=3, max_value=200))
def test_a_cut_text_fits_and_begins_as_it_did(text: str, most: int) -> None:
    text = text.encode("utf-8", "replace").decode()

    made = cut(text, most).text

    assert len(made.encode()) <= most
    assert made == text or text.startswith(made.removesuffix("…"))
