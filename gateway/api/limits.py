"""Bounds on what a caller may send. Nothing that comes in is without one."""

from dataclasses import dataclass

#: Design §8; `orjson` itself stops at 1024.
MAX_DEPTH = 32
#: Design §4.
MAX_BATCH = 1_000
#: The largest page of a list, as `view.MessageFilter` promises.
MAX_PAGE = 200

#: Of a form.
MAX_FIELDS = 1_000

MAX_CHAIN = 10
MAX_DEVICES = 20
MAX_PHONE = 32
#: 64 of the local part, `@` and 255 of the domain (RFC 5321 §4.5.3.1).
MAX_EMAIL = 320
MAX_TEXT = 64 * 1024
MAX_HTML = 1024 * 1024
#: Files of an email; the same as in `content.attachments`, which knows why.
MAX_FILES = 20
MAX_FILE_NAME = 200
MAX_FILE_TYPE = MAX_FILE_ID = 78
#: Characters of base64: 10 MiB.
MAX_FILE = 10 * 1024 * 1024 // 3 * 4 + 4
#: Serialised, in bytes.
MAX_DATA = 64 * 1024
MAX_METADATA = 8 * 1024
MAX_METADATA_KEYS = 50
MAX_EXTRA = 16 * 1024
MAX_ATTRIBUTES = 8 * 1024
#: Of a list of recipients: rows, lines with the empty ones, bytes of a line, bytes of all after
#: decompression, and refused rows that are named.
MAX_ROWS = 1_000_000
MAX_LINES = 2 * MAX_ROWS
MAX_LINE = 64 * 1024
MAX_STREAM = 4 * 1024**3
MAX_FAULTY_ROWS = 100
#: Everything that is asked for in seconds; longer than retention allows, so that intake says why.
MAX_SECONDS = 366 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the edge bears; the defaults are those of the design, §8, and of reliability."""

    #: bytes of a body, after decompression
    max_body: int = 4 * 1024 * 1024
    #: seconds from the connection, or from the first byte of a later request, to the whole head
    head_seconds: float = 10.0
    #: seconds from the head to the last byte of the body
    body_seconds: float = 30.0
    #: bytes a second that a long list must bring on the whole, as sent, beyond so many seconds: a
    #: few dozen rows
    body_rate: float = 16 * 1024
    #: seconds that an idle connection is kept after an answer
    keepalive_seconds: float = 75.0
    #: open connections from one address; 0: no bound, as behind a proxy
    connections_per_address: int = 1_000
    #: failed authentications that one address has in hand, and how many come back a second
    failure_burst: int = 20
    failure_rate: float = 1.0
    #: addresses and good keys that the throttle remembers
    remembered: int = 10_000
