"""Log lines say where it went wrong, and nothing of what it went wrong with."""

import io
import logging
from collections.abc import Iterator

import pytest

from gateway import logs


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What goes to standard error, by the format that `configure` sets."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.configure("INFO")
    (handler,) = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.stream = io.StringIO()
    yield handler.stream
    root.handlers[:], root.level = handlers, level


def test_error_is_located_and_not_quoted(written: io.StringIO) -> None:
    try:
        raise KeyError("li@example.com")
    except KeyError:
        logging.getLogger("gateway.x").exception("adapter_failed provider=%s", "acme")

    text = written.getvalue()
    assert "ERROR gateway.x adapter_failed provider=acme" in text
    assert "KeyError" in text
    assert "test_logs.py" in text
    assert "li@example.com" not in text


def test_cause_of_an_error_is_located_too(written: io.StringIO) -> None:
    try:
        try:
            int("li@example.com")
        except ValueError as error:
            raise RuntimeError("of li@example.com") from error
    except RuntimeError:
        logging.getLogger("gateway.x").exception("failed")

    text = written.getvalue()
    assert text.index("RuntimeError") < text.index("ValueError")
    assert "li@example.com" not in text


def test_error_that_is_its_own_cause_has_an_end(written: io.StringIO) -> None:
    error = RuntimeError()
    error.__cause__ = error

    logging.getLogger("gateway.x").error("failed", exc_info=error)

    assert written.getvalue().count("RuntimeError") == 1
