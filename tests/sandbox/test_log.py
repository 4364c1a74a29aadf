"""The log keeps what it should and no more."""

import uuid

from gateway.model import message
from gateway.sandbox.log import Arrival, Log, busiest, find_reference
from gateway.sandbox.magic import Fate


def arrival(number: int, fate: Fate = Fate.TAKEN) -> Arrival:
    return Arrival(at=float(number), reference=str(number % 3), fate=fate)


def test_reference_of_the_gateway_is_found_wherever_it_stands() -> None:
    ours = message.reference(str(uuid.uuid4()), redrive=0, step=1, part=31)

    assert find_reference("", f"https://gw/v1/receipts/twilio?ref={ours}&x=1") == ours
    assert find_reference(f'{{"collapse_key":"{ours}"}}') == ours
    assert find_reference(f"<{ours}@example.com>") == ours


def test_bare_id_is_a_reference_too() -> None:
    id = str(uuid.uuid4())

    assert find_reference(f"ref={id}") == id
    assert find_reference("nothing of the kind") == ""


def test_old_arrivals_go_and_counts_stay() -> None:
    log = Log(10)

    for number in range(25):
        log.add(arrival(number, Fate.LOST if number % 5 == 0 else Fate.TAKEN))
    log.add(arrival(25, Fate.THROTTLED))

    assert [one.at for one in log.arrivals] == list(range(16, 26))
    assert log.total == 26
    assert log.taken == 25
    assert log.counts == {Fate.TAKEN: 20, Fate.LOST: 5, Fate.THROTTLED: 1}


def test_pages_go_on_where_the_last_one_ended() -> None:
    log = Log(10)
    for number in range(25):
        log.add(arrival(number))

    assert [one.at for one in log.after(0, 3)] == [15, 16, 17]
    assert [one.at for one in log.after(18, 3)] == [18, 19, 20]
    assert log.after(25, 3) == []


def test_copies_counts_what_was_taken() -> None:
    log = Log(100)
    for number in range(6):
        log.add(arrival(number))
    log.add(arrival(7, Fate.THROTTLED))

    assert log.copies() == {"0": 2, "1": 2, "2": 2}


def test_busiest_is_the_most_in_any_window() -> None:
    assert busiest([], 1) == 0
    assert busiest([0, 0.4, 0.9, 1.0, 1.2, 5], 1) == 4
    assert busiest([0, 1, 2], 1) == 1


def test_clear_forgets_all() -> None:
    log = Log(10)
    log.add(arrival(1))

    log.clear()

    assert (log.total, log.arrivals) == (0, [])
