"""What a process of the gateway does, where several share the work."""

from enum import StrEnum


class Role(StrEnum):
    ALL = "all"  # both
    API = "api"  # takes messages in and answers questions; sends nothing
    DISPATCH = "dispatch"  # sends; has the internal port alone

    @property
    def has_api(self) -> bool:
        return self is not Role.DISPATCH

    @property
    def sends(self) -> bool:
        return self is not Role.API
