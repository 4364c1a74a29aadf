"""Recipients leave a category by the link in a mail: what the link is, and what its use does."""

import base64
from typing import Any, cast

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.clock import to_datetime
from gateway.dispatch.bans import Bans
from gateway.dispatch.subscriptions import Place, Subscriptions
from gateway.model import wire
from gateway.model.errors import InvalidMessage
from gateway.model.submission import Submission, To

ORIGIN = "https://gw.example.com/u/"
NEWS: dict[str, Any] = {"category": "news", "to": To(email="Li@example.com")}
PLACE = Place(tenant="billing", category="news", channel="email", hash="00" * 16)


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


async def test_leaving_takes_back_a_permission_and_a_later_one_does_not_return_it(
    make_world: Any,
) -> None:
    world = await make_world(categories={"news": {"consent": True}})
    hashed = world.bans.hashed(wire.Channel.EMAIL, wire.Address(email="Li@example.com"))
    place = Place(tenant="billing", category="news", channel=hashed[0], hash=hashed[1])
    one = Submission(to=NEWS["to"], category="news", content={"text": "hello"})
    await world.store.put_consent("billing", "news", hashed, source="form", now_ms=1)

    await world.subscriptions.leave(world.subscriptions.token(place))
    (refused,) = await world.intake.accept(world.caller(), [one])
    await world.store.put_consent("billing", "news", hashed, source="list", now_ms=2)
    (suppressed,) = await world.intake.accept(world.caller(), [one])

    assert isinstance(refused, InvalidMessage)
    assert suppressed.state == "suppressed"


async def test_leaving_twice_is_leaving_once(world: Any) -> None:
    token = world.subscriptions.token(PLACE)

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


def test_token_tells_what_it_was_made_of(world: Any) -> None:
    token = world.subscriptions.token(PLACE)

    assert world.subscriptions.read(token) == PLACE
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_token_with_any_bit_changed_is_nobodys(world: Any) -> None:
    token = world.subscriptions.token(PLACE)
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
    lonely = Subscriptions(cast(Bans, None), b"u" * 32, public_url="", categories=())

    assert lonely.read(token) is None


def test_token_of_another_store_is_nobodys(world: Any) -> None:
    other = Subscriptions(world.bans, b"v" * 32, public_url=ORIGIN, categories=())

    assert not other.known(world.subscriptions.token(PLACE))


async def test_without_https_there_is_no_link(world: Any) -> None:
    world.start()
    for origin in ("", "http://gw.example.com"):
        made = Subscriptions(world.bans, b"u" * 32, public_url=origin, categories=["news"])
        world.subscriptions.prepare = made.prepare
        await world.post(**NEWS)
        await world.settle()

        assert world.senders["m"].calls[-1].message.content.extra == {
            "feedback_id": "news:billing:gateway"
        }
