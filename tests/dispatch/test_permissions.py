"""What tenants record of consent and suppression, and what becomes of messages then."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from gateway.clock import to_datetime
from gateway.dispatch.permissions import Permissions
from gateway.model import wire
from gateway.model.errors import Forbidden, InvalidMessage, NotFound, RequestError
from gateway.model.permission import Outcome, Reason, SuppressionFilter
from gateway.model.recording import Lift, NewConsent, NewSuppression, Whom, Withdrawal
from gateway.model.submission import Caller, Device, Scope, Submission, To

LI = Whom(to=To(email="li@example.com"))
USER = Whom(to=To(recipient="user-42"))
PHONE = Whom(to=To(phone="+86 138 0013 8000"))
DAY = timedelta(days=1)


@pytest.fixture
async def world(make_world: Any) -> Any:
    by_mail = {"chain": [{"channel": "email"}]}
    return await make_world(categories={"offers": {**by_mail, "consent": True}})


@pytest.fixture
def permissions(world: Any) -> Permissions:
    return Permissions(world.store, world.bans, world.clock, world.settings.categories)


def now(world: Any) -> datetime:
    return to_datetime(world.clock.now_ms())


def consent(world: Any, whom: Whom = LI, ago: timedelta = DAY, **fields: Any) -> NewConsent:
    return NewConsent(
        **{"whom": whom, "category": "offers", "source": "form", "at": now(world) - ago, **fields}
    )


def ban(whom: Whom = LI, reason: Reason = Reason.MANUAL, **fields: Any) -> NewSuppression:
    return NewSuppression(whom=whom, reason=reason, source="desk", **fields)


async def can_get(world: Any, category: str = "offers", **fields: Any) -> str:
    """What becomes of a message: its first state, or `refused`."""
    tenant = fields.pop("tenant", "billing")
    usual = {"to": To(email="Li@Example.com"), "content": {"text": "hello"}}
    one = Submission(**{**usual, "category": category, **fields})
    (verdict,) = await world.intake.accept(world.caller(tenant), [one])
    return "refused" if isinstance(verdict, InvalidMessage) else str(verdict.state)


def fault_of(error: Any) -> str:
    assert isinstance(error, RequestError)
    return error.faults[0].field


async def test_recorded_consent_lets_messages_through(world: Any, permissions: Any) -> None:
    before = await can_get(world)

    outcomes = await permissions.put_consents(world.caller(), [consent(world, proof="form-1")])

    assert (before, outcomes) == ("refused", [Outcome.RECORDED])
    assert await can_get(world) == "queued"
    assert await can_get(world, tenant="shop") == "refused"


async def test_consent_that_has_expired_is_none(world: Any, permissions: Any) -> None:
    ends = now(world) + DAY
    await permissions.put_consents(world.caller(), [consent(world, expires_at=ends)])
    before = await can_get(world)

    await world.jump(DAY.total_seconds())

    assert (before, await can_get(world)) == ("queued", "refused")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"category": "nonsense"}, "category"),
        ({"category": "service"}, "category"),
        ({"ago": timedelta(seconds=-6)}, "at"),
        ({"expires_at": datetime.fromisoformat("2026-11-20T00:00:00Z")}, "expires_at"),
        ({"whom": Whom(to=To())}, "to"),
        ({"whom": Whom(to=To(email="li@example.com", phone="+8613800138000"))}, "to"),
        ({"whom": Whom(to=To(email="li@example.com", recipient="user-42"))}, "to"),
        (
            {"whom": Whom(to=To(push=(Device(app="a", token="1"), Device(app="a", token="2"))))},
            "to",
        ),
        ({"whom": Whom(to=To(email="nonsense"))}, "to.email"),
        ({"whom": Whom(to=LI.to, channel="sms")}, "channel"),
    ],
)
async def test_consent_that_cannot_be_is_refused_by_the_field(
    world: Any, permissions: Any, change: dict[str, Any], field: str
) -> None:
    bad, good = await permissions.put_consents(
        world.caller(), [consent(world, **change), consent(world)]
    )

    assert fault_of(bad) == field
    assert good is Outcome.RECORDED


async def test_clock_of_a_caller_may_be_seconds_ahead(world: Any, permissions: Any) -> None:
    ahead = consent(world, ago=timedelta(seconds=-4))

    assert await permissions.put_consents(world.caller(), [ahead]) == [Outcome.RECORDED]
    assert await permissions.withdraw(
        world.caller(), [Withdrawal(whom=LI, category="offers", source="hotline")]
    ) == [Outcome.RECORDED]
    assert await can_get(world) == "refused"


async def test_list_that_is_read_in_again_undoes_no_refusal(world: Any, permissions: Any) -> None:
    listed = [consent(world)]
    await permissions.put_consents(world.caller(), listed)
    await permissions.withdraw(
        world.caller(), [Withdrawal(whom=LI, category="offers", source="hotline")]
    )

    again = await permissions.put_consents(world.caller(), listed)
    refused = await can_get(world)
    await world.sleep(1.0)
    anew = await permissions.put_consents(world.caller(), [consent(world, ago=timedelta())])

    assert (again, refused) == ([Outcome.REFUSED], "refused")
    assert (anew, await can_get(world)) == ([Outcome.RECORDED], "queued")


async def test_withdrawal_dated_before_the_consent_changes_nothing(
    world: Any, permissions: Any
) -> None:
    await permissions.put_consents(world.caller(), [consent(world)])

    old = Withdrawal(whom=LI, category="offers", source="crm", at=now(world) - 2 * DAY)

    assert await permissions.withdraw(world.caller(), [old]) == [Outcome.SUPERSEDED]
    assert await can_get(world) == "queued"


async def test_what_cannot_be_refused_cannot_be_withdrawn(world: Any, permissions: Any) -> None:
    (refused,) = await permissions.withdraw(
        world.caller(), [Withdrawal(whom=LI, category="otp", source="crm")]
    )

    assert fault_of(refused) == "category"


async def test_number_is_meant_on_all_its_channels_or_on_one(world: Any, permissions: Any) -> None:
    both, one = consent(world, PHONE), consent(world, Whom(to=PHONE.to, channel="rcs"))
    await permissions.put_consents(world.caller(), [one])
    narrow = await permissions.lookup(world.caller(), PHONE)
    await permissions.put_consents(world.caller(), [both])

    wide = await permissions.lookup(world.caller(), PHONE)

    assert {found.channel for found in narrow.consents} == {"rcs"}
    assert {found.channel for found in wide.consents} == {"sms", "rcs"}


# By the tenant's own id


async def test_recipient_has_agreed_whatever_the_address(world: Any, permissions: Any) -> None:
    to = To(email="new@example.com", recipient="user-42")
    before = await can_get(world, to=to)

    await permissions.put_consents(world.caller(), [consent(world, USER)])

    assert (before, await can_get(world, to=to)) == ("refused", "queued")
    assert await can_get(world, to=To(email="new@example.com")) == "refused"
    assert await can_get(world, to=to, tenant="shop") == "refused"


async def test_recipient_may_agree_to_one_channel(world: Any, permissions: Any) -> None:
    to = To(email="li@example.com", recipient="user-42")
    by_sms = Whom(to=USER.to, channel="sms")
    await permissions.put_consents(world.caller(), [consent(world, by_sms)])
    other = await can_get(world, to=to)

    await permissions.put_consents(
        world.caller(), [consent(world, Whom(to=USER.to, channel="email"))]
    )

    assert (other, await can_get(world, to=to)) == ("refused", "queued")


async def test_consent_of_a_recipient_holds_while_the_message_waits(
    world: Any, permissions: Any
) -> None:
    await permissions.put_consents(world.caller(), [consent(world, USER)])
    to = To(email="li@example.com", recipient="user-42")

    id_ = await world.post(category="offers", to=to)
    world.start()
    await world.settle()

    assert await world.state(id_) == "sent"


async def test_suppressed_recipient_gets_nothing_at_any_address(
    world: Any, permissions: Any
) -> None:
    await permissions.suppress(world.caller(), [ban(USER)])

    async def service(**to: Any) -> str:
        return await can_get(world, "service", to=To(**to))

    assert await service(email="a@example.com", recipient="user-42") == "suppressed"
    assert await service(phone="+8613800138000", recipient="user-42") == "suppressed"
    assert await service(email="a@example.com", recipient="user-43") == "queued"
    assert await service(email="a@example.com") == "queued"


async def test_address_that_refused_is_not_reached_by_a_recipients_consent(
    world: Any, permissions: Any
) -> None:
    refused = Withdrawal(whom=LI, category="offers", source="hotline")
    await permissions.withdraw(world.caller(), [refused])
    await permissions.put_consents(world.caller(), [consent(world, USER, ago=timedelta())])

    to = To(email="li@example.com", recipient="user-42")

    assert await can_get(world, to=to) == "suppressed"


# Suppression


@pytest.mark.parametrize("reason", [one for one in Reason if one is not Reason.OPT_OUT])
async def test_ban_is_the_tenants_own_and_for_all_categories(
    world: Any, permissions: Any, reason: Reason
) -> None:
    await permissions.suppress(world.caller(), [ban(reason=reason)])

    assert [await can_get(world, one) for one in ("news", "service", "otp")] == ["suppressed"] * 3
    assert await can_get(world, "service", tenant="shop") == "queued"


async def test_opt_out_spares_what_cannot_be_refused(world: Any, permissions: Any) -> None:
    await permissions.put_consents(world.caller(), [consent(world)])
    await permissions.suppress(world.caller(), [ban(reason=Reason.OPT_OUT)])

    states = [await can_get(world, one) for one in ("news", "offers", "service", "otp")]

    assert states == ["suppressed", "suppressed", "queued", "queued"]


async def test_ban_of_one_category_spares_the_others(world: Any, permissions: Any) -> None:
    await permissions.suppress(world.caller(), [ban(category="service")])

    assert [await can_get(world, one) for one in ("news", "service")] == ["queued", "suppressed"]


async def test_ban_ends_when_it_says(world: Any, permissions: Any) -> None:
    ends = now(world) + DAY
    await permissions.suppress(world.caller(), [ban(expires_at=ends)])
    before = await can_get(world, "service")

    await world.jump(DAY.total_seconds())

    assert (before, await can_get(world, "service")) == ("suppressed", "queued")


async def test_ban_for_everybody_needs_admin(world: Any, permissions: Any) -> None:
    sender = Caller(tenant="billing", scopes=frozenset({Scope.SEND}))

    (refused,) = await permissions.suppress(sender, [ban(everybody=True)])
    (not_lifted,) = await permissions.lift(sender, [Lift(id=1, everybody=True)])
    (taken,) = await permissions.suppress(world.caller(), [ban(everybody=True)])

    assert isinstance(refused, Forbidden)
    assert isinstance(not_lifted, Forbidden)
    assert taken is Outcome.RECORDED
    assert await can_get(world, "service", tenant="shop") == "suppressed"
    with pytest.raises(Forbidden):
        await permissions.list(sender, SuppressionFilter(tenant=""))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"category": "nonsense"}, "category"),
        ({"category": "otp", "reason": Reason.OPT_OUT}, "category"),
        ({"whom": USER, "everybody": True}, "to.recipient"),
        ({"at": datetime.fromisoformat("2030-01-01T00:00:00Z")}, "at"),
    ],
)
async def test_ban_that_cannot_be_is_refused_by_the_field(
    world: Any, permissions: Any, fields: dict[str, Any], field: str
) -> None:
    (refused,) = await permissions.suppress(world.caller(), [ban(**fields)])

    assert fault_of(refused) == field


async def test_opt_out_from_a_category_is_a_refusal(world: Any, permissions: Any) -> None:
    await permissions.put_consents(world.caller(), [consent(world)])

    await permissions.suppress(world.caller(), [ban(reason=Reason.OPT_OUT, category="offers")])
    again = await permissions.put_consents(world.caller(), [consent(world)])

    assert again == [Outcome.REFUSED]
    assert (await permissions.lookup(world.caller(), LI)).consents == []


async def test_lifted_ban_is_gone(world: Any, permissions: Any) -> None:
    await permissions.suppress(world.caller(), [ban(), ban(reason=Reason.COMPLAINT), ban(PHONE)])
    (first, *_) = await permissions.list(world.caller(), SuppressionFilter(tenant="billing"))

    lifted = await permissions.lift(
        world.caller(), [Lift(whom=LI), Lift(id=first.id), Lift(whom=LI), Lift(id=first.id)]
    )

    assert lifted[:2] == [2, 1]
    assert all(isinstance(one, NotFound) for one in lifted[2:])
    assert await can_get(world, "service") == "queued"


async def test_lookup_shows_own_records_and_those_for_everybody(
    world: Any, permissions: Any
) -> None:
    await permissions.put_consents(world.caller(), [consent(world, proof="form-8812")])
    await permissions.suppress(world.caller(), [ban()])
    await permissions.suppress(world.caller("shop"), [ban(), ban(everybody=True)])
    await permissions.put_consents(world.caller("shop"), [consent(world)])

    found = await permissions.lookup(world.caller(), LI)

    assert [(one.tenant, one.proof) for one in found.consents] == [("billing", "form-8812")]
    assert [one.tenant for one in found.suppressions] == ["billing", ""]
    with pytest.raises(InvalidMessage):
        await permissions.lookup(world.caller(), Whom(to=To()))


async def test_nothing_of_whom_it_is_about_is_logged(
    world: Any, permissions: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    item = consent(world, proof="form-8812")

    await permissions.put_consents(world.caller(), [item])
    await permissions.put_consents(world.caller(), [consent(world, Whom(to=To(email="li@@")))])

    assert "8812" not in caplog.text + repr(item)
    assert "li@" not in caplog.text + repr(item)


# What has been accepted already


async def test_no_message_starts_five_seconds_after_a_ban_of_another_node(make_world: Any) -> None:
    """The other node has never seen a ban, its account is slow, and its rows wait in memory."""
    slow = {"a": {"rate": 1, "burst": 1}, "b": {"rate": 1, "burst": 1}}
    one = await make_world(owner="n1")
    two = await make_world(owner="n2", providers=slow)
    permissions = Permissions(one.store, one.bans, one.clock, one.settings.categories)
    two.start()
    for number in range(40):
        await two.post(content={"text": f"hello {number}"})
    await two.sleep(3.0)
    sent_before = len(two.senders["a"].calls) + len(two.senders["b"].calls)

    whom = Whom(to=To(phone="+8613800138000"))
    await permissions.suppress(one.caller(), [ban(whom), ban(LI)])
    banned_at = one.clock.monotonic()
    await two.settle()

    times = [at for name in ("a", "b", "m") for at in two.senders[name].times]
    assert sent_before > 0
    assert max(times) <= banned_at + 5.0
    assert len(two.senders["m"].times) == 0, "nor by the next step of the chain"


async def test_after_an_opt_out_here_nothing_that_waits_is_started(
    world: Any, permissions: Any
) -> None:
    await permissions.put_consents(world.caller(), [consent(world)])
    world.start()
    await world.settle()
    world.accounts["m"].pause(10.0)
    waiting = [await world.post(category="offers", to=LI.to) for _ in range(20)]
    codes = [await world.post(category="otp", to=LI.to) for _ in range(3)]

    await world.sleep(9.9)
    withdrawal = Withdrawal(whom=LI, category="offers", source="hotline")
    await permissions.withdraw(world.caller(), [withdrawal])
    await world.settle()

    assert {await world.state(one) for one in waiting} == {"suppressed"}
    assert {await world.state(one) for one in codes} == {"sent"}


@pytest.mark.parametrize("delay", [0.0, 0.3, 1.1, 2.7])
async def test_opt_out_amid_a_stream_stops_it_within_the_wait_of_a_row(
    make_world: Any, delay: float
) -> None:
    world = await make_world(
        categories={"agreed": {"chain": [{"channel": "email"}]}},
        providers={"m": {"rate": 4, "burst": 1}},
    )
    permissions = Permissions(world.store, world.bans, world.clock, world.settings.categories)
    await permissions.put_consents(world.caller(), [consent(world, category="agreed")])
    world.start()
    for number in range(60):
        await world.post(category="agreed", to=LI.to, content={"text": f"offer {number}"})
    await world.sleep(1.0 + delay)

    withdrawal = Withdrawal(whom=LI, category="agreed", source="hotline")
    await permissions.withdraw(world.caller(), [withdrawal])
    recorded_at = world.clock.monotonic()
    sent_before = len(world.senders["m"].calls)
    await world.settle()

    times = world.senders["m"].times
    assert sent_before > 0
    assert max(times) <= recorded_at + 5.0
    assert len(times) < 60


async def test_opt_out_counts_for_rows_that_wait_for_a_slot_of_a_provider_that_hangs(
    make_world: Any,
) -> None:
    """They were claimed, and their gate asked, while it was quick."""
    world = await make_world(
        categories={"agreed": {"chain": [{"channel": "email"}]}},
        providers={"m": {"concurrency": 2}},
    )
    permissions = Permissions(world.store, world.bans, world.clock, world.settings.categories)
    await permissions.put_consents(world.caller(), [consent(world, category="agreed")])
    offers = [
        {"category": "agreed", "to": LI.to, "content": {"text": f"offer {number}", "subject": "s"}}
        for number in range(200)
    ]
    await world.post_all(offers)
    world.start("m", "upkeep")
    await world.sleep(0.3)
    world.senders["m"].latency = 20.0
    await world.sleep(0.1)
    waiting, _ = world.workers["m"]._slots.held

    withdrawal = Withdrawal(whom=LI, category="agreed", source="hotline")
    await permissions.withdraw(world.caller(), [withdrawal])
    recorded_at = world.clock.monotonic()
    await world.settle()

    assert waiting > 0
    assert max(world.senders["m"].times) <= recorded_at + 5.0


def test_addresses_of_all_channels_can_be_named(world: Any, permissions: Permissions) -> None:
    addresses: dict[str, dict[str, Any]] = {
        "sms": {"phone": "+8613800138000"},
        "rcs": {"phone": "+8613800138000"},
        "email": {"email": "li@example.com"},
        "push": {"push": (Device(app="ios", token="t"),)},
        "wechat": {"wechat": "o-1"},
        "wecom": {"wecom": "LiLei"},
        "chat": {"chat": "C1"},
        "webhook": {"url": "https://example.com"},
    }

    for channel in wire.Channel:
        whom = Whom(to=To(**addresses[channel]), channel=channel)
        ((named, _),) = permissions._names("billing", whom)
        assert named == channel
