"""The best order of channels for one recipient."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.dispatch.channel_choice import Person, Reach, choose
from gateway.model import wire
from gateway.model.message import Skipped, Step

PUSH, SMS, EMAIL = (
    Step(channel=channel, lane=str(channel), parts=(wire.Address(),))
    for channel in (wire.Channel.PUSH, wire.Channel.SMS, wire.Channel.EMAIL)
)
ALL = (PUSH, SMS, EMAIL)
FREE = (0.0, 0.0, 0.0)


def test_nothing_known_leaves_the_order_as_it_is() -> None:
    choice = choose(ALL, FREE, Person())

    assert choice.steps == ALL
    assert choice.reason == "push: not tried yet; sms: not tried yet; email: not tried yet"


def test_what_was_asked_for_comes_first() -> None:
    person = Person(preferred=["email", "sms"], reach={"push": Reach(tries=100.0, reached=100.0)})

    choice = choose(ALL, FREE, person)

    assert choice.steps == (EMAIL, SMS, PUSH)
    assert choice.reason == "email: asked for; sms: asked for; push: reached 100 of 100"


def test_what_reaches_comes_before_what_is_cheap() -> None:
    reach = {"sms": Reach(tries=9.0, reached=8.5), "push": Reach(tries=9.0, reached=0.0)}

    choice = choose(ALL, (0.0, 0.05, 0.001), Person(reach=reach))

    assert choice.steps == (SMS, EMAIL, PUSH)


def test_between_equals_the_cheaper_comes_first() -> None:
    assert choose(ALL, (0.2, 0.1, 0.0), Person()).steps == (EMAIL, SMS, PUSH)


def test_once_is_no_habit() -> None:
    assert choose(ALL, FREE, Person(reach={"email": Reach(tries=1.0, reached=0.5)})).steps == ALL


def test_what_costs_too_much_is_left_out() -> None:
    choice = choose(ALL, (0.0, 0.05, 0.001), Person(preferred=["sms"], budget=0.01))

    assert choice.steps == (PUSH, EMAIL)
    assert choice.skipped == (Skipped(channel="sms", reason="costs 0.05, over the budget of 0.01"),)


REACHES = st.builds(Reach, tries=st.floats(0.0, 1e6), reached=st.floats(0.0, 1e6))


@given(
    st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3),
    st.lists(st.sampled_from(["push", "sms", "email", "wechat"]), unique=True),
    st.dictionaries(st.sampled_from(["push", "sms", "email"]), REACHES),
    st.none() | st.floats(0.0, 1.0),
)
def test_every_step_is_taken_once_or_left_out_for_its_cost(
    costs: list[float], preferred: list[str], reach: dict[str, Reach], budget: float | None
) -> None:
    person = Person(preferred=preferred, reach=reach, budget=budget)

    choice = choose(ALL, costs, person)

    left_out = [one.channel for one in choice.skipped]
    assert sorted([*(step.channel for step in choice.steps), *left_out]) == ["email", "push", "sms"]
    asked = [step.channel for step in choice.steps if step.channel in preferred]
    assert asked == [one for one in preferred if one in asked]
