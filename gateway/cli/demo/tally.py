"""What became of the demo's messages, as its tenant learns it: from verified webhooks."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.cli.demo.scenario import SCENARIOS, Scenario
from gateway.cli.stand import SECOND
from gateway.model.state import State
from gateway.sandbox.log import Arrival

#: Reports come in any order; of two the higher one is later. Unknown may still be resolved.
_RANK = {
    State.SCHEDULED: 0,
    State.UNKNOWN: 1,
    State.FAILED: 2,
    State.EXPIRED: 2,
    State.SUPPRESSED: 2,
    State.CANCELLED: 2,
    State.SENT: 3,
    State.DELIVERED: 4,
    State.READ: 5,
}

#: What is shown of a message that has been accepted and not been reported on.
OPEN = "open"


@dataclass(slots=True)
class _Open:
    """A message that has not come to its end."""

    scenario: Scenario
    state: State | None = None


@dataclass(slots=True)
class Count:
    """Messages of one scenario."""

    submitted: int = 0
    #: of those that have ended, or still stand there
    states: Counter[str] = field(default_factory=Counter)
    #: of those that have ended: the channel that brought them there
    channels: Counter[str] = field(default_factory=Counter)


class Tally:
    """Follows messages by the number that each carries in its metadata.

    Only those that have not ended are kept; they end once each, however many reports come.
    """

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}
        self._ended: dict[str, Count] = {one.name: Count() for one in SCENARIOS}
        self._first_seen: dict[str, str] = {}
        self._telling: dict[str, str] = {}
        #: messages on which a provider other than the first of its lane had the last word
        self.failovers = 0
        #: messages that ended on a later channel than their first, by channel
        self.fallbacks: Counter[str] = Counter()
        self.refused = 0

    def submit(self, scenario: Scenario, number: int) -> None:
        """Before it is posted, as its first report may overtake the answer."""
        self._ended[scenario.name].submitted += 1
        self._open[number] = _Open(scenario)

    def drop(self, number: int) -> None:
        """It was not accepted."""
        gone = self._open.pop(number, None)
        if gone is not None:
            self._ended[gone.scenario.name].submitted -= 1
            self.refused += 1

    def answered(self, number: int, answer: Mapping[str, Any]) -> None:
        """It was accepted; of one that waits for its time nothing else is heard."""
        if answer["state"] == State.SCHEDULED:
            self._follow(number, State.SCHEDULED, answer)

    def hear(self, arrival: Arrival) -> None:
        """A webhook came; those that prove false are not believed."""
        if not arrival.taken:
            return
        data: Mapping[str, Any] = arrival.content.get("data", {})
        number = data.get("metadata", {}).get("number", -1)
        self._follow(number, State(data["state"]), data)

    def _follow(self, number: int, state: State, data: Mapping[str, Any]) -> None:
        message = self._open.get(number)
        if message is None:
            return
        if message.state is None or _RANK[state] > _RANK[message.state]:
            message.state = state
        if message.scenario.is_end(state, data.get("channel", "")):
            del self._open[number]
            self._end(message.scenario, state, data)

    def _end(self, scenario: Scenario, state: State, data: Mapping[str, Any]) -> None:
        count, channel = self._ended[scenario.name], scenario.ends[state]
        count.states[state] += 1
        if channel:
            count.channels[channel] += 1
        if scenario.falls_back(state):
            self.fallbacks[channel] += 1
        if data.get("provider") in SECOND:
            self.failovers += 1
        if data.get("provider") in SECOND or state is State.SUPPRESSED:
            self._telling.setdefault(scenario.name, data["id"])
        self._first_seen.setdefault(scenario.name, data["id"])

    @property
    def examples(self) -> Mapping[str, str]:
        """A message of each scenario that ended; if one did, by a second provider or suppressed."""
        return self._first_seen | self._telling

    @property
    def waiting(self) -> int:
        """Messages that have not come to the end that their scenario has."""
        return len(self._open)

    def counts(self) -> Mapping[str, Count]:
        """By scenario, those on their way included."""
        found = {
            name: Count(one.submitted, one.states.copy(), one.channels.copy())
            for name, one in self._ended.items()
        }
        for message in self._open.values():
            found[message.scenario.name].states[message.state or OPEN] += 1
        return found

    def states(self) -> Counter[str]:
        """Of all scenarios together."""
        return sum((one.states for one in self.counts().values()), Counter())
