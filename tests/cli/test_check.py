"""`gateway check`: every fault by line, and what only the whole program knows."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import exits
from gateway.cli.main import app

README = Path(__file__).parent.parent.parent / "README.md"

SMALL = """
[store]
url = "sqlite:gateway.db"

[categories.service]
chain = [{ channel = "email", until = "delivered" }]

[lanes.email]
channel = "email"
providers = ["relay"]

[providers.relay]
kind = "smtp"
host = "smtp.example.com"
from = "no-reply@example.com"
"""


def check(file: Path, *arguments: str, environ: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(app, ["check", str(file), *arguments], env=dict(environ or {}))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "gateway.toml"


def test_example_has_no_fault(example: Path, example_environ: dict[str, str]) -> None:
    result = check(example, "--json", environ=example_environ)

    assert json.loads(result.stdout)["faults"] == []
    assert result.exit_code == 0


def test_examples_in_the_readme_are_good(file: Path, example_environ: dict[str, str]) -> None:
    """The first is a whole file, the others are added to it."""
    texts = re.findall(r"```toml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    file.write_text("\n".join(texts), encoding="utf-8")

    result = check(file, "--json", environ=example_environ)

    assert result.exit_code == 0, result.stdout
    assert not [one for one in json.loads(result.stdout)["warnings"] if "timing" in one]


def test_rules_of_time_that_cannot_be_met_are_faults(file: Path) -> None:
    text = SMALL.replace(', until = "delivered"', "").replace(
        "[lanes", 'timing = ["x"]\n\n[lanes', 1
    )
    file.write_text(text + '[timing.x]\npreset = "tpca"\n[timing.y]\nholidays = "CM2"\n')

    result = check(file)

    assert result.exit_code == exits.CONFIG
    assert (
        f'{file}:19 timing.x.preset: unknown preset "tpca", did you mean "tcpa"?' in result.stdout
    )
    assert f'{file}:21 timing.y.holidays: unknown country "CM2"' in result.stdout


def test_hours_that_close_for_longer_than_messages_last_are_worth_a_word(file: Path) -> None:
    text = SMALL.replace(', until = "delivered"', "").replace(
        "[lanes", 'timing = ["x"]\n\n[lanes', 1
    )
    file.write_text(text + '[timing.x]\nwindows = ["Mon-Fri 09:00-20:00"]\n')

    result = check(file, "--json")

    assert result.exit_code == 0
    (warning,) = [one for one in json.loads(result.stdout)["warnings"] if "timing" in one]
    assert warning.startswith("categories.service.timing[0]: closes for up to 61h")


def test_faults_come_with_lines_and_all_at_once(file: Path) -> None:
    file.write_text(SMALL.replace('"smtp"', '"smpt"').replace("[lanes", 'x = "${NONE}"\n[lanes'))

    result = check(file)

    assert result.exit_code == exits.CONFIG
    assert f"{file}:8 categories.service.x" in result.stdout
    assert f"{file}:14 providers.relay.kind" in result.stdout
    assert "2 faults." in result.stdout or "3 faults." in result.stdout


def test_until_that_nobody_reports_is_a_fault_without_within(file: Path) -> None:
    file.write_text(SMALL)

    result = check(file)

    assert result.exit_code == exits.CONFIG
    assert f"{file}:6 categories.service.chain[0].until" in result.stdout
    assert "set `within`" in result.stdout


def test_until_that_nobody_reports_is_a_warning_with_within(file: Path) -> None:
    file.write_text(SMALL.replace('"delivered"', '"delivered", within = "5s"'))

    result = check(file, "--json")

    assert result.exit_code == 0
    (warning,) = [one for one in json.loads(result.stdout)["warnings"] if "until" in one]
    assert "the next step always starts after 5s" in warning


def test_until_is_judged_by_the_lane_that_serves_the_category(file: Path) -> None:
    other = """
[lanes."email.service"]
channel = "email"
match = { category = ["service"] }
providers = ["api"]

[providers.api]
kind = "http"
channel = "email"
url = "https://mail.example.com/send"
message_id = "id"
receipt = { secret = "s", id = "id", status = "status", map = { ok = "delivered" } }
"""
    file.write_text(SMALL + other)

    result = check(file)

    assert result.exit_code == 0, result.stdout


def test_provider_in_a_lane_of_another_channel_is_a_fault(file: Path) -> None:
    text = SMALL.replace('channel = "email"\nproviders', 'channel = "sms"\nproviders')
    file.write_text(text.replace('channel = "email", until = "delivered"', 'channel = "sms"'))

    result = check(file)

    assert result.exit_code == exits.CONFIG
    assert f'{file}:10 lanes.email.providers[0]: "relay" carries email, not sms' in result.stdout


def test_template_that_only_the_renderer_refuses_is_a_fault(file: Path) -> None:
    text = SMALL.replace(', until = "delivered"', "")
    file.write_text(text + '[templates.hello]\nsms = { text = "{{ code | no_such_filter }}" }\n')

    result = check(file)

    assert result.exit_code == exits.CONFIG
    assert f"{file}:17 templates.hello.sms.text" in result.stdout


def test_store_that_this_version_cannot_open_is_a_fault_where_it_is_none(file: Path) -> None:
    text = SMALL.replace(', until = "delivered"', "")
    file.write_text(text.replace("sqlite:gateway.db", "postgres://gateway@db/gateway"))

    result = check(file)

    served = result.exit_code == 0
    assert served or f"{file}:3 store.url" in result.stdout


def test_file_that_is_not_there_is_one_line(file: Path) -> None:
    result = check(file)

    assert result.exit_code == exits.CONFIG
    assert "cannot be read" in result.stdout
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("", "there is no template of this name"),
        ('sms = { text = "{{ count }}" }', "the template says nothing on email"),
        (
            'email = { subject = "{{ count }} for {{ name }}", text = "{{ unsubscribe_url }}" }',
            "the template needs name: it has count and items",
        ),
    ],
)
def test_digest_whose_template_will_not_do_is_a_fault(file: Path, template: str, why: str) -> None:
    text = SMALL.replace(', until = "delivered"', "")
    cap = '[caps.c]\nmost = 1\nwithin = "1d"\ncategories = ["service"]\nover = "merge"\n'
    text += cap + 'digest = "news"\n'
    file.write_text(text + (f"[templates.news]\n{template}\n" if template else ""))

    result = check(file)

    assert result.exit_code == exits.CONFIG
    assert f"{file}:21 caps.c.digest: {why}" in result.stdout


def test_digest_whose_template_fits_is_none(file: Path) -> None:
    text = SMALL.replace(', until = "delivered"', "")
    text += '[caps.c]\nmost = 1\nwithin = "1d"\ncategories = ["service"]\nover = "merge"\n'
    text += 'digest = "news"\n[templates.news]\n'
    file.write_text(text + 'email = { subject = "{{ count }}", text = "{{ items[0].text }}" }\n')

    result = check(file)

    assert result.exit_code == 0, result.stdout
