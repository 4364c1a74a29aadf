"""Rules about content where messages come in: told in previews, warned of or refused at accept."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.model.errors import InvalidMessage
from gateway.model.lint import Rule, Severity
from gateway.model.submission import StepRequest, Submission, Ticket, To

CHINA, UK = "+8613800138000", "+447700900123"
BAD = "Come on 3/4: http://example.com/a"


def submission(**fields: Any) -> Submission:
    usual: dict[str, Any] = {
        "to": To(phone=UK),
        "category": "service",
        "chain": (StepRequest(channel="sms"),),
        "content": {"text": BAD},
    }
    return Submission(**{**usual, **fields})


async def accept(world: Any, *submissions: Submission) -> list[Any]:
    return list(await world.intake.accept(world.caller("billing"), submissions))


async def preview(world: Any, **fields: Any) -> Any:
    return await world.intake.preview(world.caller("billing"), submission(**fields))


def rules(findings: Any) -> list[str]:
    return [one.rule for one in findings]


def counted(world: Any, rule: Rule, severity: Severity) -> float:
    sample = world.metrics.registry.get_sample_value(
        "gateway_lint_findings_total", {"rule": rule, "severity": severity}
    )
    return float(sample or 0)


def linted(**category: Any) -> dict[str, Any]:
    return {"categories": {"service": category}}


async def test_preview_tells_what_accept_does_not_look_at(make_world: Any) -> None:
    world = await make_world()

    shown = await preview(world)
    (ticket,) = await accept(world, submission())

    assert shown.decision == "send"
    assert rules(shown.findings) == ["text.abbreviation", "link.http"]
    assert {(one.channel, one.field) for one in shown.findings} == {("sms", "text")}
    assert ticket.warnings == ()
    assert counted(world, Rule.LINK_HTTP, Severity.WARNING) == 0


async def test_warnings_come_with_the_ticket_and_are_counted(make_world: Any) -> None:
    world = await make_world(**linted(lint="warn", lint_rules={"sms.parts": "hint"}))

    bad, good = await accept(
        world, submission(), submission(content={"text": "See you on Friday. " * 30})
    )

    assert rules(bad.warnings) == ["text.abbreviation", "link.http"]
    assert good.warnings == ()  # hints are for previews
    assert counted(world, Rule.LINK_HTTP, Severity.WARNING) == 1
    assert counted(world, Rule.SMS_PARTS, Severity.HINT) == 1
    assert len(await world.rows()) == 2


async def test_errors_are_only_warned_of_where_the_category_says_so(make_world: Any) -> None:
    world = await make_world(**linted(lint="warn", lint_rules={"link.http": "error"}))

    (ticket,) = await accept(world, submission())

    assert isinstance(ticket, Ticket)
    assert rules(ticket.warnings) == ["link.http", "text.abbreviation"]  # worst first


async def test_errors_refuse_the_message_and_name_field_and_rule(make_world: Any) -> None:
    world = await make_world(**linted(lint="refuse", lint_rules={"link.http": "error"}))

    first, second, good = await accept(
        world,
        submission(),
        submission(content={"text": "x", "sms": {"text": BAD}}),
        submission(content={"text": "Come on 3/4"}),
    )

    assert isinstance(first, InvalidMessage)
    assert isinstance(second, InvalidMessage)
    assert [(one.field, one.detail) for one in first.faults] == [
        ("content.text", "link.http: sms.text link 1 is http, which browsers warn of")
    ]
    assert [one.field for one in second.faults] == ["content.sms.text"]
    assert rules(good.warnings) == ["text.abbreviation"]
    assert len(await world.rows()) == 1
    assert counted(world, Rule.LINK_HTTP, Severity.ERROR) == 2


async def test_preview_of_what_would_be_refused_says_so_and_shows_it(make_world: Any) -> None:
    world = await make_world(**linted(lint="refuse", lint_rules={"link.http": "error"}))

    shown = await preview(world)

    assert shown.decision == "refuse"
    assert shown.reasons == ["link.http: link 1 is http, which browsers warn of"]
    assert shown.chain[0].content["text"] == BAD
    assert rules(shown.findings) == ["link.http", "text.abbreviation"]


async def test_other_categories_are_let_be(make_world: Any) -> None:
    world = await make_world(**linted(lint="refuse", lint_rules={"link.http": "error"}))

    (ticket,) = await accept(world, submission(category="otp"))

    assert isinstance(ticket, Ticket)
    assert ticket.warnings == ()


async def test_templates_are_at_fault_as_a_whole(make_world: Any) -> None:
    world = await make_world(
        **linted(lint="refuse", lint_rules={"link.http": "error"}),
        templates={"visit": {"sms": {"text": "{{ name }}, see {{ url }}"}}},
    )

    def visit(url: str) -> Submission:
        return submission(template="visit", content={}, data={"name": "Li", "url": url})

    bad, good = await accept(world, visit("http://example.com/a"), visit("https://example.com/a"))

    assert [one.field for one in bad.faults] == ["template"]
    assert isinstance(good, Ticket)


async def test_core_variables_are_looked_up_in_the_data(make_world: Any) -> None:
    polite = "Dear customer, thank you very much for your trust in all our services: "
    world = await make_world(
        lint={"core": ["order.id", "seat", "n", "flag"]},
        templates={"order": {"sms": {"text": polite + "{{ order.id }} {{ seat }}"}}},
    )

    async def lead(data: Any) -> bool:
        shown = await preview(world, template="order", content={}, data=data)
        return "text.lead" in rules(shown.findings)

    assert await lead({"order": {"id": "blue"}, "seat": "x", "flag": True})
    assert not await lead({"order": {"id": "b"}, "seat": "x"})  # too short to be told apart
    assert not await lead({"order": {"id": "Dear"}, "seat": "x"})


@pytest.mark.parametrize(
    ("tables", "found"),
    [
        ({}, True),
        ({"lanes": {"sms": {"sms": {"sign": "Acme"}}}}, False),
        ({"providers": {"a": {"sign": "Acme"}}}, True),  # not all accounts of the lane
        ({"providers": {"a": {"sign": "Acme"}, "b": {"sign": "Acme"}}}, False),
    ],
)
async def test_signature_of_lane_or_providers_counts(
    make_world: Any, tables: dict[str, Any], found: bool
) -> None:
    world = await make_world(**tables)

    shown = await preview(world, to=To(phone=CHINA), content={"text": "您的验证码是834201"})

    assert (Rule.SMS_SIGNATURE in rules(shown.findings)) is found


@pytest.mark.parametrize("opt_out", [None, "", "Text NO to end"])
async def test_way_to_refuse_is_missing_only_where_nobody_adds_it(
    make_world: Any, opt_out: str | None
) -> None:
    text = {"text": "Spring sale until Friday"}
    sms = {} if opt_out is None else {"opt_out": opt_out}
    world = await make_world(
        lanes={"sms": {"sms": sms}},
        categories={"promo": {"unsubscribe": True}, "marketing": {"unsubscribe": False}},
    )

    added = await preview(world, content=text, category="promo")
    bare = await preview(world, content=text, category="marketing")

    assert Rule.SMS_OPT_OUT not in rules(added.findings)
    assert Rule.SMS_OPT_OUT in rules(bare.findings)


async def test_domains_of_a_category_are_allowed_beside_those_of_all(make_world: Any) -> None:
    world = await make_world(
        lint={"domains": ["example.com"]},
        categories={"otp": {"lint_domains": ["pay.example.net"]}},
    )
    text = {"text": "https://a.example.com/ https://pay.example.net/ https://example.net/"}

    service = await preview(world, content=text)
    otp = await preview(world, content=text, category="otp")

    assert [one.message[:6] for one in service.findings] == ["link 2", "link 3"]
    assert [one.message[:6] for one in otp.findings] == ["link 3"]


async def test_answer_tells_of_ten_at_most(make_world: Any) -> None:
    world = await make_world(**linted(lint="warn"))
    links = " ".join(f"http://example.com/{number}" for number in range(30))

    (ticket,) = await accept(world, submission(content={"text": links}))

    assert len(ticket.warnings) == 10


async def test_errors_of_any_step_come_before_warnings(make_world: Any) -> None:
    world = await make_world(**linted(lint="warn", lint_rules={"email.subject_missing": "error"}))

    (ticket,) = await accept(
        world,
        submission(
            to=To(phone=UK, email="li@example.com"),
            chain=(StepRequest(channel="sms"), StepRequest(channel="email")),
            content={"text": "Come tmrw", "email": {"text": "See you"}},
        ),
    )

    assert [(one.channel, one.rule) for one in ticket.warnings] == [
        ("email", "email.subject_missing"),
        ("sms", "text.abbreviation"),
    ]


async def test_repeated_request_is_told_the_same(make_world: Any) -> None:
    world = await make_world(**linted(lint="warn"))
    one = submission(idempotency_key="k", fingerprint=b"f" * 16)

    (first,), (second,) = await accept(world, one), await accept(world, one)

    assert (first.id, first.warnings) == (second.id, second.warnings)
    assert second.repeated


async def test_same_words_are_read_once(make_world: Any, monkeypatch: Any) -> None:
    world = await make_world(**linted(lint="warn"))
    looked = list[Any]()
    check = world.intake._proofs._linter.check

    def watch(sample: Any, levels: Any) -> Any:
        looked.append(sample)
        return check(sample, levels)

    monkeypatch.setattr(world.intake._proofs._linter, "check", watch)
    await accept(world, *[submission(to=To(phone=f"+44770090{n:04}")) for n in range(50)])
    await accept(world, submission(to=To(phone=CHINA)), submission(content={"text": "other"}))

    assert len(looked) == 3


async def test_memory_of_contents_is_bounded(make_world: Any) -> None:
    world = await make_world(**linted(lint="warn"))

    def texts(count: int) -> Iterator[Submission]:
        return (submission(content={"text": f"parcel {n}"}) for n in range(count))

    for _ in range(3):
        await accept(world, *texts(700))
    await accept(world, *texts(1500))

    assert len(world.intake._proofs._known) <= 1000


async def test_long_texts_are_read_aside_and_short_ones_at_once(
    make_world: Any, monkeypatch: Any
) -> None:
    world = await make_world(**linted(lint="warn"))
    check = world.intake._proofs._linter.check
    aside: dict[int, bool] = {}

    def watch(sample: Any, levels: Any) -> Any:
        aside[sample.size] = threading.current_thread() is not threading.main_thread()
        return check(sample, levels)

    monkeypatch.setattr(world.intake._proofs._linter, "check", watch)
    long = f"{BAD} " + "x" * 60_000
    mail = {"chain": (StepRequest(channel="email"),), "to": To(email="li@example.com")}

    tickets = await accept(
        world,
        submission(),
        *[submission(**mail, content={"subject": "s", "text": long}) for _ in range(3)],
    )
    shown = await preview(world, **mail, content={"subject": "s", "text": long + "y"})

    assert aside == {len(BAD): False, len(long) + 1: True, len(long) + 2: True}
    assert [rules(one.warnings) for one in tickets] == [["text.abbreviation", "link.http"]] * 4
    assert rules(shown.findings) == ["text.abbreviation", "link.http"]


async def test_others_get_their_turn_while_a_large_batch_is_read(make_world: Any) -> None:
    world = await make_world(**linted(lint="warn"))
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    plans = [
        world.intake._composer.plan(submission(content={"text": f"{n} " + "x" * 1000}), 0, None)
        for n in range(90)
    ]

    await world.intake._proofs.review(plans)

    task.cancel()
    assert turns >= 5
