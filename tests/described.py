"""How bodies that are no JSON document are sent by tests that are made from the description."""

from typing import Any

import schemathesis


def send_texts() -> None:
    """A text goes as it is; so does, in words, what is put in its place to see it refused."""

    @schemathesis.serializer("application/x-ndjson", "text/csv")
    def as_text(context: Any, value: Any) -> bytes:
        return str(value).encode("utf-8", "surrogatepass")
