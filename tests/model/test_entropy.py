"""Random bytes are nobody else's, also after a fork."""

import os

from gateway.model import entropy


def test_nothing_is_drawn_twice() -> None:
    drawn = [entropy.draw(10) for _ in range(2_000)]

    assert {len(one) for one in drawn} == {10}
    assert len(set(drawn)) == len(drawn)


def test_as_many_are_drawn_as_were_asked_for() -> None:
    assert [len(entropy.draw(count)) for count in (0, 1, 4096, 5000)] == [0, 1, 4096, 5000]


def test_fork_draws_its_own() -> None:
    entropy.draw(1)
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(sending, entropy.draw(16))
        os._exit(0)
    os.waitpid(child, 0)

    assert os.read(receiving, 16) != entropy.draw(16)
    os.close(receiving)
    os.close(sending)
