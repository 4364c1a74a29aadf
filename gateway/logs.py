"""Logs: one line an event, `time level logger event key=value …`.

Messages' lines are at DEBUG; lifecycle, dead letters and providers' troubles at INFO and above.
Nothing here, and no caller, may put recipients, contents or secrets into a line.
"""

import logging
import traceback
from types import TracebackType

#: As `sys.exc_info` gives it.
_Fault = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


class _LineFormatter(logging.Formatter):
    def formatException(self, ei: _Fault) -> str:
        """What kind of error and where. Not its text, which may quote a recipient or a body."""
        lines: list[str] = []
        error, seen = ei[1], set[BaseException]()
        while error is not None and error not in seen:  # an error may be its own cause
            seen.add(error)
            lines.append(f"  {type(error).__name__}")
            lines += [
                f"    at {frame.filename}:{frame.lineno} {frame.name}"
                for frame in reversed(traceback.extract_tb(error.__traceback__))
            ]
            error = error.__cause__ or error.__context__
        return "\n".join(lines)


def configure(level: str = "INFO") -> None:
    """Send all logs to standard error, one line each."""
    handler = logging.StreamHandler()
    handler.setFormatter(_LineFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("aiohttp.access", "asyncio", "mail.log"):
        logging.getLogger(noisy).setLevel("WARNING")
