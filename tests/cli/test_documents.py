"""README.md and the alert rules say what the program says."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from gateway import settings
from gateway.cli import provider_reference, reference
from gateway.metrics import Metrics
from gateway.providers import registry

ROOT = Path(__file__).parent.parent.parent


def test_readme_has_every_setting_as_the_models_say_it() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    rows = [reference.row(one) for one in settings.reference()]

    assert len(rows) > 50
    assert [row for row in rows if row not in text] == []
    assert reference.refreshed(text) == text, "run `make reference`"


def test_providers_have_every_kind_and_key_as_the_code_says_it() -> None:
    text = (ROOT / "gateway" / "providers" / "README.md").read_text(encoding="utf-8")

    assert [kind for kind in registry.kinds() if f"| `{kind}` |" not in text] == []
    assert reference.refreshed_providers(text) == text, "run `make reference`"


def test_every_key_of_every_kind_has_a_meaning() -> None:
    rows = {
        (kind, row.key): row for kind in registry.kinds() for row in provider_reference.keys(kind)
    }

    # some say nothing but what their absence means
    assert [name for name, row in rows.items() if not row.meaning and not row.default] == []
    assert rows["smtp", "port"].default == "587"
    assert rows["smtp", "host"].default == "required"
    assert rows["http", "receipt.secret"].type == "text"
    assert rows["twilio", "from"].meaning.startswith("number (E.164)")


def test_table_is_made_anew_between_its_marks() -> None:
    stale = f"before\n{reference.BEGIN}\nlast year\n{reference.END}\nafter\n"

    fresh = reference.refreshed(stale)

    assert fresh.startswith("before\n")
    assert fresh.endswith("after\n")
    assert "last year" not in fresh
    assert "`store.url`" in fresh


def test_text_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="marks"):
        reference.refreshed("nothing here")


def test_alerts_name_metrics_that_exist() -> None:
    text = (ROOT / "deploy" / "alerts.yml").read_text(encoding="utf-8")
    rules = re.sub(r"^ *#.*$", "", text, flags=re.MULTILINE)
    known = {
        name
        for family in Metrics().registry.collect()
        for name in (family.name, f"{family.name}_total", f"{family.name}_bucket")
    }

    used = set(re.findall(r"\bgateway_[a-z_]+", rules))

    assert len(used) > 8
    assert used <= known


def test_ci_runs_the_command_that_the_readme_names() -> None:
    assert "\nmake test " in (ROOT / "README.md").read_text(encoding="utf-8")
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").endswith("\nmake test\n")


@pytest.mark.parametrize("body", [b'{"a":1}', b'{"a":2}'])
def test_readme_verifies_what_the_reference_library_signs(body: bytes) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    secret, at = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", datetime.now(UTC)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg_1", at, '{"a":1}'),
    }

    genuine = names["is_genuine"](secret, headers, body)

    assert genuine is (body == b'{"a":1}')
