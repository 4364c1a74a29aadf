"""Recipients leave a category by the link in a mail: what the link is, and what its use does."""

import base64
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.clock import to_datetime
from gateway.dispatch.links import Links, Place
from gateway.model import wire
from gateway.model.errors import InvalidMessage
from gateway.model.message import reference
from gateway.model.permission import Hashed, Reason, Suppression, Wish, by_recipient
from gateway.model.submission import Submission, To
from gateway.model.values import replace

ORIGIN = "https://gw.example.com/u/"
NEWS: dict[str, Any] = {"category": "news", "to": To(email="Li@example.com")}
PLACE = Place(tenant="billing", category="news", channel="email", hash="00" * 16)
PLACES = [PLACE, replace(PLACE, recipient="li@example.com \u674e")]
LINKS = Links(b"u" * 32)
WISH = Wish(
    tenant="billing", category="news", name=("email", ""), agrees=True, at_ms=1, source="list"
)


async def link_of(world: Any, **fields: Any) -> str:
    """The token in the link of a mail that is sent."""
    await world.post(**{**NEWS, **fields})
    await world.settle()
    found: str = world.senders["m"].calls[-1].message.content.extra["list_unsubscribe"]
    return found.removeprefix(ORIGIN)


async def test_mail_of_such_a_category_carries_a_link_and_a_feedback_id(world: Any) -> None:
    world.start()
    await world.post(**NEWS)
    await world.settle()

    extra = world.senders["m"].calls[0].message.content.extra

    assert extra["list_unsubscribe"].startswith(ORIGIN)
    assert len(extra["list_unsubscribe"]) < 300
    assert extra["feedback_id"] == "news:billing:gateway"


async def test_link_is_the_same_in_each_mail_and_another_for_others(world: Any) -> None:
    world.start()

    first, second = await link_of(world), await link_of(world)
    other = await link_of(world, to=To(email="mei@example.com"))

    assert first == second
    assert first != other


async def test_link_does_not_tell_the_address(world: Any) -> None:
    world.start()

    token = await link_of(world)

    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).lower()
    assert b"li" not in raw.replace(b"billing", b"")
    assert b"example" not in raw


async def test_callers_own_link_stays(world: Any) -> None:
    world.start()
    own = {"text": "hello", "email": {"list_unsubscribe": "https://shop.example.com/leave"}}

    await world.post(**NEWS, content=own)
    await world.settle()

    extra = world.senders["m"].calls[0].message.content.extra
    assert extra["list_unsubscribe"] == "https://shop.example.com/leave"
    assert "can_leave" not in extra


async def test_mail_of_other_categories_has_no_link(world: Any) -> None:
    world.start()

    await world.post(category="service", to=To(email="li@example.com"))
    await world.settle()

    assert world.senders["m"].calls[0].message.content.extra == {}


async def test_who_has_left_gets_no_more_of_it_but_all_else(world: Any) -> None:
    world.start()
    assert await world.subscriptions.leave(await link_of(world))

    left = await world.post(**NEWS)
    in_other_letters = await world.post(category="news", to=To(email="li@EXAMPLE.com"))
    service = await world.post(category="service", to=To(email="Li@example.com"))
    code = await world.post(category="otp", to=To(email="Li@example.com"))
    other_tenant = await world.post(**NEWS, tenant="shop")
    somebody = await world.post(category="news", to=To(email="mei@example.com"))
    await world.settle()

    assert [await world.state(one) for one in (left, in_other_letters)] == ["suppressed"] * 2
    assert {await world.state(one) for one in (service, code, other_tenant, somebody)} == {"sent"}
    assert await world.timeline(left) == ["suppressed"]


async def test_mail_that_waits_already_is_not_sent(world: Any) -> None:
    world.start()
    token = await link_of(world)
    later = to_datetime(world.clock.now_ms() + 20_000)
    waiting = await world.post(**NEWS, send_at=later)

    await world.subscriptions.leave(token)
    await world.settle(60.0)

    assert await world.state(waiting) == "suppressed"
    assert len(world.senders["m"].calls) == 1


def counted(world: Any, name: str, **labels: str) -> float:
    labels = {"provider": "m", **labels}
    return world.metrics.registry.get_sample_value(f"{name}_total", labels) or 0.0


async def test_mail_to_the_address_in_the_header_is_leaving_as_well(world: Any) -> None:
    world.start()
    id_ = await world.post(**NEWS)
    await world.settle()
    sent = world.senders["m"].calls[-1].message.reference

    await world.hear_leaving("m", sent, sent)
    left = await world.post(**NEWS)
    service = await world.post(category="service", to=NEWS["to"])
    await world.settle()

    assert await world.state(left) == "suppressed"
    assert [await world.state(one) for one in (id_, service)] == ["sent"] * 2
    assert counted(world, "gateway_inbound_messages", kind="opt_out") == 2


async def test_mail_about_what_is_not_kept_changes_nothing(world: Any) -> None:
    world.start()
    id_ = await world.post(**NEWS)
    await world.settle()
    unknown = "0195500a-5c00-7000-8000-000000000001-0-0-0"
    beyond = [reference(id_, redrive=0, step=step, part=part) for step, part in ((0, 1), (1, 0))]

    await world.hear_leaving("m", unknown, "nonsense", *beyond)

    again = await world.post(**NEWS)
    await world.settle()
    assert await world.state(again) == "sent"
    assert counted(world, "gateway_inbound_messages_untied") == 4


async def test_mail_about_an_erased_message_changes_nothing(world: Any) -> None:
    world.start()
    await world.post(category="news", to=To(email="li@example.com", recipient="user-42"))
    await world.settle()
    sent = world.senders["m"].calls[-1].message.reference
    await world.recipients.erase(world.caller(), "user-42")

    await world.hear_leaving("m", sent)

    assert not await world.store.has_suppressions()


async def test_other_processes_know_within_seconds(make_world: Any) -> None:
    one, two = await make_world(owner="n1"), await make_world(owner="n2")
    one.start()
    token = await link_of(one)
    assert not await two.bans.exist()

    await one.subscriptions.leave(token)
    await two.upkeep.refresh()  # as it does every two seconds
    (judged,) = await two.intake.accept(
        two.caller(), [Submission(to=NEWS["to"], category="news", content={"text": "hello"})]
    )

    assert judged.state == "suppressed"


async def test_leaving_takes_back_a_permission_and_only_a_later_one_returns_it(
    make_world: Any,
) -> None:
    world = await make_world(categories={"news": {"consent": True}})
    hashed = world.bans.hashed(wire.Channel.EMAIL, wire.Address(email="Li@example.com"))
    place = Place(tenant="billing", category="news", channel=hashed[0], hash=hashed[1])
    one = Submission(to=NEWS["to"], category="news", content={"text": "hello"})
    await world.agree("news", hashed)

    await world.subscriptions.leave(LINKS.token(place))
    (refused,) = await world.intake.accept(world.caller(), [one])
    old = replace(WISH, name=hashed, at_ms=2)
    await world.store.take_wishes([old], now_ms=3)
    (still_refused,) = await world.intake.accept(world.caller(), [one])
    new = replace(old, at_ms=world.clock.now_ms() + 9_000)
    await world.store.take_wishes([new], now_ms=3)
    (accepted,) = await world.intake.accept(world.caller(), [one])

    assert isinstance(refused, InvalidMessage)
    assert isinstance(still_refused, InvalidMessage)
    assert accepted.state == "queued"


async def test_leaving_twice_is_leaving_once(world: Any) -> None:
    token = LINKS.token(PLACE)

    assert [await world.subscriptions.leave(token) for _ in range(2)] == [True, True]


async def test_chain_goes_on_by_another_channel(make_world: Any) -> None:
    chain = [{"channel": "email"}, {"channel": "sms"}]
    world = await make_world(categories={"news": {"chain": chain}})
    world.start()
    await world.subscriptions.leave(await link_of(world))

    id_ = await world.post(category="news")
    await world.settle()

    assert await world.state(id_) == "sent"
    assert len(world.senders["m"].calls) == 1


@pytest.mark.parametrize("place", PLACES, ids=["address", "recipient"])
def test_token_tells_what_it_was_made_of(place: Place) -> None:
    token = LINKS.token(place)

    assert LINKS.read(token) == place
    assert LINKS.token(place) == token
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_token_of_the_first_form_stays_readable() -> None:
    """Of a mail that was sent before recipients had ids in links."""
    old = "AQAAAAAAAAAAAAAAAAAAAABlbWFpbABiaWxsaW5nAG5ld3O2deq-LQEnY2FfVypUekT_"

    assert LINKS.read(old) == PLACE


def test_id_of_a_recipient_cannot_be_read_in_a_link() -> None:
    token = LINKS.token(PLACES[1])

    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    assert b"li@" not in raw
    assert b"billing" not in raw


@pytest.mark.parametrize("place", PLACES, ids=["address", "recipient"])
def test_token_with_any_bit_changed_is_nobodys(world: Any, place: Place) -> None:
    token = LINKS.token(place)
    assert world.subscriptions.known(token)
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))

    for bit in range(len(raw) * 8):
        forged = bytearray(raw)
        forged[bit // 8] ^= 1 << bit % 8
        assert not world.subscriptions.known(base64.urlsafe_b64encode(forged).decode().rstrip("="))
    for end in range(len(token)):
        assert not world.subscriptions.known(token[:end])


@given(token=st.text(max_size=200))
@example("")
@example("=")
@example("é")
@example("\0")
@example("AQ" * 400)
def test_what_we_did_not_make_is_nobodys(token: str) -> None:
    assert LINKS.read(token) is None


@pytest.mark.parametrize("place", PLACES, ids=["address", "recipient"])
def test_token_of_another_store_is_nobodys(place: Place) -> None:
    assert Links(b"v" * 32).read(LINKS.token(place)) is None


async def test_without_https_there_is_no_link(world: Any) -> None:
    world.start()
    for origin in ("", "http://gw.example.com"):
        made = world.subscriptions_at(origin)
        world.subscriptions.prepare = made.prepare
        await world.post(**NEWS)
        await world.settle()

        assert world.senders["m"].calls[-1].message.content.extra == {
            "feedback_id": "news:billing:gateway",
            "can_leave": True,
        }


LETTER = {
    "email": {
        "subject": "News",
        "text": "{{ name }} [{{ unsubscribe_url }}] [{{ preferences_url }}]",
    }
}


@pytest.mark.parametrize("category", ["news", "service"])
async def test_templates_of_email_can_name_the_links(make_world: Any, category: str) -> None:
    world = await make_world(templates={"letter": LETTER})
    world.start()

    await world.post(
        category=category, to=NEWS["to"], content={}, template="letter", data={"name": "Li"}
    )
    await world.settle()

    content = world.senders["m"].calls[0].message.content
    link = content.extra.get("list_unsubscribe", "")
    assert link.startswith(ORIGIN) == (category == "news")
    assert content.text == (f"Li [{link}] [{link}/preferences]" if link else "Li [] []")


async def test_callers_own_value_of_such_a_variable_stays(make_world: Any) -> None:
    world = await make_world(templates={"letter": LETTER})
    world.start()

    data = {"name": "Li", "unsubscribe_url": "https://shop.example.com/leave"}
    await world.post(**NEWS, content={}, template="letter", data=data)
    await world.settle()

    text = world.senders["m"].calls[0].message.content.text
    assert text.startswith("Li [https://shop.example.com/leave] [https://gw.example.com/u/")


async def test_templates_of_other_channels_cannot_name_the_links(make_world: Any) -> None:
    text = {"sms": {"text": "{{ unsubscribe_url }}"}}
    world = await make_world(templates={"letter": text})

    with pytest.raises(InvalidMessage) as caught:
        await world.post(category="service", content={}, template="letter")

    assert caught.value.faults[0].field == "data.unsubscribe_url"


# What is chosen on the page


async def chosen(world: Any, token: str) -> dict[str, bool]:
    return {one.category: one.wanted for one in await world.subscriptions.choices(token)}


def place_of(world: Any, **fields: str) -> Place:
    channel, hash_ = world.bans.hashed(wire.Channel.EMAIL, wire.Address(email="Li@example.com"))
    return replace(PLACE, channel=channel, hash=hash_, **fields)


async def can_get(world: Any, category: str, **to: Any) -> str:
    """What becomes of a mail of a category: its first state, or `refused`."""
    one = Submission(
        to=To(email="li@example.com", **to),
        category=category,
        content={"text": "hello"},
    )
    (verdict,) = await world.intake.accept(world.caller(), [one])
    return "refused" if isinstance(verdict, InvalidMessage) else str(verdict.state)


@pytest.fixture
async def shop(make_world: Any) -> Any:
    """Two categories that can be left, one that needs a permission, and others."""
    by_mail = {"chain": [{"channel": "email"}]}
    return await make_world(
        categories={
            "marketing": {"unsubscribe": False},
            "tips": {**by_mail, "unsubscribe": True, "title": "Tips & <tricks>"},
            "agreed": {**by_mail, "consent": True, "unsubscribe": True},
        }
    )


async def test_page_offers_what_can_be_refused_and_was_once_agreed_to(shop: Any) -> None:
    token = LINKS.token(place_of(shop))

    before = await chosen(shop, token)
    await shop.agree("agreed", (place_of(shop).channel, place_of(shop).hash))
    after = await shop.subscriptions.choices(token)

    assert before == {"news": True, "tips": True}
    assert [(one.category, one.title, one.wanted) for one in after] == [
        ("agreed", "agreed", True),
        ("news", "news", True),
        ("tips", "Tips & <tricks>", True),
    ]
    assert await shop.subscriptions.choices("nobody's") is None
    assert not await shop.subscriptions.choose("nobody's", [])


async def test_who_chooses_gets_that_and_no_more(shop: Any) -> None:
    token = LINKS.token(place_of(shop))
    name = (place_of(shop).channel, place_of(shop).hash)
    await shop.agree("agreed", name)

    await shop.subscriptions.choose(token, ["tips", "otp", "nonsense"])
    first = [await can_get(shop, one) for one in ("news", "tips", "agreed", "otp")]
    await shop.subscriptions.choose(token, ["news", "agreed"])
    second = [await can_get(shop, one) for one in ("news", "tips", "agreed", "otp")]

    assert first == ["suppressed", "queued", "refused", "queued"]
    assert second == ["queued", "suppressed", "queued", "queued"]
    assert await chosen(shop, token) == {"agreed": True, "news": True, "tips": False}


async def test_page_signs_nobody_up(shop: Any) -> None:
    token = LINKS.token(place_of(shop))

    await shop.subscriptions.choose(token, ["news", "tips", "agreed"])

    assert await can_get(shop, "agreed") == "refused"


async def test_what_one_click_left_comes_back_by_the_page(shop: Any) -> None:
    token = LINKS.token(place_of(shop, category="agreed"))
    await shop.agree("agreed", (place_of(shop).channel, place_of(shop).hash))
    await shop.subscriptions.leave(token)
    left = await chosen(shop, token), await can_get(shop, "agreed")

    await shop.subscriptions.choose(token, ["agreed", "news", "tips"])

    assert left == ({"agreed": False, "news": True, "tips": True}, "refused")
    assert await can_get(shop, "agreed") == "queued"


async def test_refusal_of_all_gives_way_to_what_is_chosen(shop: Any) -> None:
    place = place_of(shop)
    everything = Suppression(
        channel=place.channel,
        hash=place.hash,
        tenant="billing",
        reason=Reason.OPT_OUT,
        source="hotline",
        at_ms=shop.clock.now_ms(),
    )
    await shop.bans.put([everything])
    token = LINKS.token(place)
    before = await chosen(shop, token), await can_get(shop, "otp")

    await shop.subscriptions.choose(token, [])
    as_before = await chosen(shop, token)
    await shop.subscriptions.choose(token, ["tips"])

    assert before == ({"news": False, "tips": False}, "queued")
    assert as_before == before[0]
    assert await chosen(shop, token) == {"news": False, "tips": True}
    assert [await can_get(shop, one) for one in ("news", "tips")] == ["suppressed", "queued"]


LI = {"recipient": "user-42"}


def by_id(world: Any, channel: str = "") -> Hashed:
    return by_recipient(channel), world.bans.hash_recipient("billing", LI["recipient"])


@pytest.mark.parametrize("channel", ["", "email"])
async def test_refusal_by_id_is_shown_and_ends_when_it_is_taken_back(
    shop: Any, channel: str
) -> None:
    token = LINKS.token(place_of(shop, **LI))
    await shop.refuse("tips", by_id(shop, channel))
    before = await chosen(shop, token), await can_get(shop, "tips", **LI)

    await shop.subscriptions.choose(token, ["news", "tips"])

    assert before == ({"news": True, "tips": False}, "suppressed")
    assert await chosen(shop, token) == {"news": True, "tips": True}
    assert await can_get(shop, "tips", **LI) == "queued"


async def test_refusal_on_all_channels_stays_on_the_others(shop: Any) -> None:
    await shop.refuse("tips", by_id(shop))
    later = shop.clock.now_ms() + 1
    await shop.store.take_wishes(
        [replace(WISH, category="tips", name=by_id(shop, "push"), at_ms=later)], now_ms=later
    )

    await shop.subscriptions.choose(LINKS.token(place_of(shop, **LI)), ["news", "tips"])

    names = {one: by_id(shop, one) for one in ("", *wire.Channel)}
    found = await shop.bans.among(list(names.values()))
    refused = {one for one, name in names.items() if name in found}
    assert refused == set(wire.Channel) - {"email", "push"}


@pytest.mark.parametrize("channel", ["", "email"])
async def test_refusal_of_all_by_id_gives_way_to_what_is_chosen(shop: Any, channel: str) -> None:
    name, hash_ = by_id(shop, channel)
    everything = Suppression(
        channel=name,
        hash=hash_,
        tenant="billing",
        reason=Reason.OPT_OUT,
        source="hotline",
        at_ms=shop.clock.now_ms(),
    )
    await shop.bans.put([everything])
    token = LINKS.token(place_of(shop, **LI))
    before = await chosen(shop, token)

    await shop.subscriptions.choose(token, ["tips"])

    assert before == {"news": False, "tips": False}
    assert await chosen(shop, token) == {"news": False, "tips": True}
    elsewhere = LINKS.token(replace(place_of(shop, **LI), hash="00" * 16))
    assert await chosen(shop, elsewhere) == {"news": False, "tips": True}


@pytest.mark.parametrize("channel", ["", "email"])
@pytest.mark.parametrize("by_one_click", [True, False])
async def test_permission_by_id_is_taken_back_for_mail_to_any_address(
    shop: Any, channel: str, by_one_click: bool
) -> None:
    await shop.agree("agreed", by_id(shop, channel))
    place = place_of(shop, category="agreed", **LI)
    token = LINKS.token(place)
    before = await chosen(shop, token), await can_get(shop, "agreed", **LI)

    if by_one_click:
        await shop.subscriptions.leave(token)
    else:
        await shop.subscriptions.choose(token, ["news", "tips"])

    moved = LINKS.token(replace(place, hash="00" * 16))
    assert before == ({"agreed": True, "news": True, "tips": True}, "queued")
    assert not (await chosen(shop, token))["agreed"]
    assert not (await chosen(shop, moved))["agreed"]
    # on other channels the permission stands
    now = "refused" if channel else "suppressed"
    assert await can_get(shop, "agreed", **LI) == now


async def test_link_without_an_id_leaves_alone_what_is_recorded_by_one(shop: Any) -> None:
    await shop.refuse("tips", by_id(shop))
    token = LINKS.token(place_of(shop))

    assert await chosen(shop, token) == {"news": True, "tips": True}
    await shop.subscriptions.choose(token, ["news"])
    await shop.subscriptions.choose(token, ["news", "tips"])

    assert await can_get(shop, "tips") == "queued"
    assert await can_get(shop, "tips", **LI) == "suppressed"


async def test_choice_is_about_the_tenant_of_the_link(shop: Any) -> None:
    await shop.subscriptions.choose(LINKS.token(place_of(shop, tenant="shop")), [])

    assert await chosen(shop, LINKS.token(place_of(shop))) == {"news": True, "tips": True}


# What the tenant hears


async def moves(world: Any) -> list[dict[str, Any]]:
    """Reports about recipients, as they reached the tenant."""
    await world.settle()
    bodies = [orjson.loads(call.message.content.text) for call in world.receiver.calls]
    return [body for body in bodies if body["type"].startswith("recipient.")]


async def test_tenant_hears_who_left_and_who_came_back_and_no_more(make_world: Any) -> None:
    hook = {"url": "https://good.example.com", "secret": "whsec_" + "A" * 32}
    world = await make_world(
        tenants={"billing": {"webhook": hook}}, categories={"marketing": {"unsubscribe": False}}
    )
    world.start()
    token = await link_of(world, to=To(email="Li@example.com", recipient="user-42"))

    for _ in range(2):
        await world.subscriptions.leave(token)
    await world.subscriptions.choose(token, ["news"])
    await world.subscriptions.choose(token, ["news"])
    await world.subscriptions.leave(LINKS.token(place_of(world)))

    found = await moves(world)
    assert [(one["type"], one["data"]) for one in found] == [
        (f"recipient.{event}", {"channel": "email", "category": "news", "recipient": whom})
        for event, whom in (
            ("unsubscribed", "user-42"),
            ("resubscribed", "user-42"),
            ("unsubscribed", None),
        )
    ]


@pytest.mark.parametrize("channel", ["", "email"])
async def test_tenant_hears_once_of_who_came_back_from_a_refusal_by_id(
    make_world: Any, channel: str
) -> None:
    hook = {"url": "https://good.example.com", "secret": "whsec_" + "A" * 32}
    world = await make_world(tenants={"billing": {"webhook": hook}})
    world.start()
    await world.refuse("news", by_id(world, channel))
    token = LINKS.token(place_of(world, **LI))
    all_of_them = list(await chosen(world, token))

    for _ in range(2):
        await world.subscriptions.choose(token, all_of_them)

    assert [one["type"] for one in await moves(world)] == ["recipient.resubscribed"]
