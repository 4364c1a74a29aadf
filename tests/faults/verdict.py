"""What the checker found."""

from collections import Counter
from dataclasses import dataclass, field

from gateway.model.state import State


@dataclass(slots=True)
class Verdict:
    """Counts over all messages of a database, and what is wrong."""

    messages: int = 0
    #: acknowledged and not stored, or said to be sent and never there
    lost: int = 0
    #: second and further copies at the providers
    duplicated: int = 0
    #: attempts of which nobody knows
    unknown: int = 0
    #: by state, of the callers' messages
    states: Counter[State] = field(default_factory=Counter)
    #: attempts by (provider, outcome, code)
    codes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def since(self, before: "Verdict") -> "Verdict":
        """What has come since an earlier one."""
        return Verdict(
            messages=self.messages - before.messages,
            lost=self.lost - before.lost,
            duplicated=self.duplicated - before.duplicated,
            unknown=self.unknown - before.unknown,
            states=self.states - before.states,
            codes=self.codes - before.codes,
            broken=self.broken,
        )
