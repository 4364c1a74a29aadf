"""Logs: one line an event, `time level logger event key=value …`, ids from the context.

Messages' lines are at DEBUG; lifecycle, dead letters and providers' troubles at INFO and above.
Nothing here, and no caller, may put recipients, contents or secrets into a line.
"""

import logging
from contextvars import ContextVar

#: Id of the message that the current task is about; empty outside of one.
message_id: ContextVar[str] = ContextVar("message_id", default="")


class _LineFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        about = message_id.get()
        return f"{line} message={about}" if about else line


def configure(level: str = "INFO") -> None:
    """Send all logs to standard error, one line each."""
    handler = logging.StreamHandler()
    handler.setFormatter(_LineFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("aiohttp.access", "asyncio", "mail.log"):
        logging.getLogger(noisy).setLevel("WARNING")
