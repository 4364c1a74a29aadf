"""Messages to JSON and back, references in the providers' world, and ids."""

import json
import re
import uuid
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import wire
from gateway.model.message import (
    Message,
    MessageId,
    Mode,
    OnUnknown,
    Priority,
    Skipped,
    Step,
    decode,
    encode,
    new_id,
    read_reference,
    reference,
)
from gateway.model.state import State

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=3)
ADDRESSES = st.builds(
    wire.Address, phone=TEXT, email=TEXT, app=TEXT, token=TEXT, url=TEXT, endpoint=TEXT
)
STEPS = st.builds(
    Step,
    channel=st.sampled_from(wire.Channel),
    lane=TEXT,
    parts=st.lists(ADDRESSES, min_size=1, max_size=3).map(tuple),
    until=st.sampled_from([State.SENT, State.DELIVERED, State.READ]),
    within=st.none() | st.floats(0, 1e6),
    units=st.integers(1, 9),
)
MESSAGES = st.builds(
    Message,
    category=TEXT,
    priority=st.sampled_from(Priority),
    chain=st.lists(STEPS, max_size=3).map(tuple),
    skipped=st.lists(st.builds(Skipped, channel=TEXT, reason=TEXT), max_size=2).map(tuple),
    mode=st.sampled_from(Mode),
    on_unknown=st.sampled_from(OnUnknown),
    template=TEXT,
    data=OBJECTS,
    content=OBJECTS,
    metadata=OBJECTS,
)
ENTROPY = st.binary(min_size=10, max_size=10)
TIMES = st.integers(0, 2**48 - 1)
SMALL = st.integers(0, 2**16)


@given(MESSAGES)
def test_message_survives_the_store(message: Message) -> None:
    body = encode(message)

    assert decode(body) == message
    assert decode(json.dumps(json.loads(body))) == message


def test_defaults_take_no_room() -> None:
    step = Step(channel=wire.Channel.SMS, lane="sms", parts=(wire.Address(phone="+1"),))

    body = encode(Message(category="otp", priority=Priority.CRITICAL, chain=(step,)))

    assert orjson.loads(body) == {
        "category": "otp",
        "priority": 0,
        "chain": [{"channel": "sms", "lane": "sms", "parts": [{"phone": "+1"}]}],
    }


@given(ENTROPY, TIMES, SMALL, SMALL, SMALL)
def test_reference_names_its_part(
    entropy: bytes, now_ms: int, redrive: int, step: int, part: int
) -> None:
    id_ = new_id(now_ms, entropy)

    name = reference(id_, redrive=redrive, step=step, part=part)

    assert read_reference(name) == (id_, redrive, step, part)
    assert re.fullmatch("[0-9a-f-]+", name)


def test_usual_reference_is_short_enough_for_every_provider() -> None:
    name = reference(new_id(0, bytes(10)), redrive=15, step=15, part=255)

    assert len(name) <= 48


ID = "01989f3c-7b1e-7a52-9d0f-3c1d5f6b8a21"


@pytest.mark.parametrize(
    "value",
    [
        "",
        ID,
        f"{ID}-0-0",
        f"{ID}-0-0-0-0",
        f"{ID}-0-0-x",
        f"{ID}-0-0-",
        f"{ID}x-0-0-0",
        f"{ID}-+1-0-0",
        f"{ID}- 1-0-0",
        f"{ID}-0x1-0-0",
        f"{ID}-1_0-0-0",
        f"{ID}-0-0-{'0' * 30}",
        "SM0123456789abcdef0123456789abcdef",
    ],
)
def test_other_names_are_not_ours(value: str) -> None:
    assert read_reference(value) is None


@given(TIMES, ENTROPY)
def test_id_is_a_uuid_of_version_7(now_ms: int, entropy: bytes) -> None:
    id_ = new_id(now_ms, entropy)
    parsed = uuid.UUID(id_)

    # RFC 9562 §5.7: time in the first 48 bits, version 7, variant 10
    assert str(parsed) == id_
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert parsed.int >> 80 == now_ms


def test_id_of_the_specification_s_example() -> None:
    # RFC 9562 appendix A.6: rand_a 0xCC3, rand_b 0x18C4DC0C0C07398F
    entropy = (0x0CC3 << 64 | 0x18C4DC0C0C07398F).to_bytes(10, "big")

    assert new_id(0x017F22E279B0, entropy) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


@given(TIMES, TIMES, ENTROPY, ENTROPY)
def test_ids_sort_by_time(first: int, second: int, one: bytes, other: bytes) -> None:
    ids = new_id(first, one), new_id(second, other)

    if first != second:
        assert (ids[0] < ids[1]) is (first < second)


def test_ids_of_one_millisecond_differ() -> None:
    made = {new_id(5, number.to_bytes(10, "big")) for number in range(1000)}

    assert len(made) == 1000
    assert all(isinstance(one, str) and MessageId(one) == one for one in made)
