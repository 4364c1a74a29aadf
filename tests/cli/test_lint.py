"""`gateway lint` and what `gateway check` says of templates: findings, exit codes, samples."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway import settings
from gateway.cli import exits
from gateway.cli.main import app
from gateway.model.lint import Level, Rule

README = Path(__file__).parent.parent.parent / "README.md"

CONFIG = """
[store]
url = "sqlite:gateway.db"

[lint]
words = ["words.txt"]
domains = ["example.com"]

[categories.service]
chain = [{ channel = "sms" }, { channel = "email" }]

[categories.marketing]
chain = [{ channel = "sms" }]
lint_rules = { "link.http" = "error", "words.spam" = "off" }

[lanes.sms]
channel = "sms"
providers = ["acme"]

[lanes."sms.cn"]
channel = "sms"
match = { phone_prefix = ["+86"] }
sms = { sign = "示例" }
providers = ["acme"]

[lanes.email]
channel = "email"
providers = ["relay"]

[providers.relay]
kind = "smtp"
host = "smtp.example.com"
from = "no-reply@example.com"

[providers.acme]
kind = "http"
channel = "sms"
url = "https://sms.example.com/send"
body = { to = "{{ to.phone }}" }
message_id = "id"
"""
GOOD = """
[templates.code]
category = "otp"
sms = { text = "{{ code }} is your code." }

[templates.order]
sms = { text = "Order {{ order.id }}: see {{ order.status_url }}" }
email = { subject = "Order {{ order.id }}", text = "It is on its way." }
"""
BAD = """
[templates.visit]
category = "marketing"
sms = { text = "Hello {{ name }}, your appt is at noon, see http://example.com/" }

[templates.loop]
email = { subject = "Items", text = "{% for one in items %}{{ one.name }}{% endfor %}" }
"""


def run(*arguments: str | Path, stdin: str = "") -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)), input=stdin)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "words.txt").write_text("赌博\n", encoding="utf-8")
    file = tmp_path / "gateway.toml"
    file.write_text(CONFIG + GOOD, encoding="utf-8")
    return file


def test_good_templates_end_with_0(file: Path) -> None:
    result = run("lint", file)

    assert (result.exit_code, result.stdout) == (0, "Nothing to find fault with.\n")


def test_errors_in_templates_end_with_1_and_come_first(file: Path) -> None:
    file.write_text(CONFIG + GOOD + BAD, encoding="utf-8")

    result = run("lint", file, "--json")

    document = json.loads(result.stdout)
    assert result.exit_code == exits.FAILED
    assert document["ok"] is False
    assert document["findings"][0] == {
        "template": "visit",
        "category": "marketing",
        "rule": "link.http",
        "channel": "sms",
        "field": "text",
        "severity": "error",
        "message": "link 1 is http, which browsers warn of",
        "hint": "use https",
    }
    assert [one["rule"] for one in document["findings"][1:]] == ["text.abbreviation"]
    assert "template loop: email.text" in document["troubles"][0]


def test_table_is_for_people(file: Path) -> None:
    file.write_text(CONFIG + BAD, encoding="utf-8")

    result = run("lint", file)

    header, first, *_ = result.stdout.splitlines()
    assert header.split() == ["template", "severity", "rule", "where", "what", "hint"]
    assert first.split()[:4] == ["visit", "error", "link.http", "sms.text"]
    assert "template loop" in result.stderr


def test_data_take_the_place_of_samples(file: Path) -> None:
    data = '{"items": [{"name": "tmrw"}], "name": "赌博"}'
    file.write_text(CONFIG + BAD, encoding="utf-8")

    loop = run("lint", file, "--template", "loop", "--data", data, "--json")
    visit = run("lint", file, "--template", "visit", "--data", data, "--json")
    unread = run("lint", file, "--template", "loop")

    assert [one["rule"] for one in json.loads(loop.stdout)["findings"]] == ["text.abbreviation"]
    assert loop.exit_code == 0
    assert "words.sensitive" in {one["rule"] for one in json.loads(visit.stdout)["findings"]}
    assert unread.exit_code == exits.FAILED


@pytest.mark.parametrize("sign", ["示例", ""])
def test_chinese_templates_are_read_as_the_lane_of_china_sends_them(file: Path, sign: str) -> None:
    chinese = '[templates.zh]\nsms = { text = "您的验证码是{{ code }}。" }\n'
    text = CONFIG.replace('sign = "示例"', f'sign = "{sign}"')
    file.write_text(text + chinese, encoding="utf-8")

    result = run("lint", file, "--json")

    rules = [one["rule"] for one in json.loads(result.stdout)["findings"]]
    assert rules == ([] if sign else ["sms.signature"])


@pytest.mark.parametrize(
    ("arguments", "text", "code", "rules"),
    [
        (["--channel", "sms"], "834201 is your code.", 0, []),
        (["--channel", "sms"], "您的验证码是834201。", 1, ["sms.signature"]),
        (["--channel", "sms", "--phone", "+852"], "您的验证码是834201。", 0, []),
        (["--channel", "sms"], "Use coupon SPRING", 0, ["words.mixed"]),
        (["--channel", "sms", "--category", "marketing"], "Use coupon SPRING", 0, []),
        (["--channel", "email"], "Hello", 0, ["email.subject_missing"]),
        (["--channel", "email", "--subject", "Hello"], "<p>Hello", 0, ["email.no_text"]),
        (["--channel", "push", "--subject", "a" * 51], "Hello", 0, ["push.length"]),
    ],
)
def test_text_is_read_from_stdin_without_a_configuration(
    arguments: list[str], text: str, code: int, rules: list[str]
) -> None:
    result = run("lint", *arguments, "--json", stdin=text)

    assert [one["rule"] for one in json.loads(result.stdout)["findings"]] == rules
    assert result.exit_code == code


def test_example_of_the_readme_is_as_it_says() -> None:
    text = README.read_text(encoding="utf-8")
    ((words, arguments),) = re.findall(r"^echo '(.*)' \| gateway lint (.*)$", text, re.MULTILINE)

    result = run("lint", *arguments.split(), "--json", stdin=words)

    rules = [one["rule"] for one in json.loads(result.stdout)["findings"]]
    assert result.exit_code == exits.FAILED
    assert rules == ["sms.signature", "link.shortener", "link.http", "words.mixed"]


def test_readme_names_every_rule() -> None:
    text = README.read_text(encoding="utf-8").partition("## Content rules")[2]

    assert [one for one in Rule if f"`{one}`" not in text] == []


def test_every_rule_has_a_name_that_the_settings_take() -> None:
    levels = {one.value: "off" for one in Rule}

    found = settings.parse({"categories": {"service": {"lint_rules": levels}}}, environ={})

    assert found.categories["service"].lint_rules == dict.fromkeys(Rule, Level.OFF)


def test_text_is_read_as_the_configuration_says(file: Path) -> None:
    text = "您好，请见 https://example.net/"

    result = run("lint", file, "--channel", "sms", "--json", stdin=text)

    (found,) = json.loads(result.stdout)["findings"]  # the lane of China signs it
    assert (found["rule"], result.exit_code) == ("link.domain", exits.FAILED)


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        ([], "", "--channel"),
        (["--channel", "sms"], " \n", "no text"),
        (["--channel", "sms"], "x" * 70_000, "longer than 65536"),
        (["--channel", "fax"], "x", "fax"),
        (["--channel", "sms", "--category", "none"], "x", "no category none"),
        (["--channel", "email", "--subject", "a\nb"], "x", "line break"),
    ],
)
def test_what_cannot_be_read_is_told(arguments: list[str], stdin: str, said: str) -> None:
    result = run("lint", *arguments, stdin=stdin)

    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--template", "none"], "no template"),
        (["--data", "{"], "not JSON"),
        (["--data", "[]"], "a JSON object"),
        (["--channel", "push"], "no lane carries push"),
    ],
)
def test_what_the_configuration_has_not_is_told(
    file: Path, arguments: list[str], said: str
) -> None:
    result = run("lint", file, *arguments, stdin="x")

    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


def test_check_warns_of_templates_and_goes_on(file: Path) -> None:
    file.write_text(CONFIG + GOOD + BAD, encoding="utf-8")

    result = run("check", file, "--json")

    warnings = [
        one for one in json.loads(result.stdout)["warnings"] if one.startswith("templates.")
    ]
    assert result.exit_code == 0
    assert warnings == [
        "templates.visit.sms.text: link.http: link 1 is http, which browsers warn of",
        'templates.visit.sms.text: text.abbreviation: has "appt", which not everybody reads',
    ]


def test_check_finds_files_of_words_that_cannot_be_used(file: Path) -> None:
    (file.parent / "words.txt").write_bytes(b"\xff")

    result = run("check", file)

    assert result.exit_code == exits.CONFIG
    assert f"{file}:6 lint.words[0]: {file.parent}/words.txt: not UTF-8" in result.stdout


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ('lint = "on"', "categories.service.lint: should be 'off', 'warn' or 'refuse'"),
        ('lint_rules = { "sms.part" = "error" }', "categories.service.lint_rules"),
        ('lint_rules = { "sms.parts" = "fatal" }', "\"sms.parts\": should be 'off'"),
        ('lint_domains = ["https://example.com"]', "not a domain"),
    ],
)
def test_settings_at_fault_are_told_by_line(file: Path, wrong: str, said: str) -> None:
    text = CONFIG.replace("[categories.service]", f"[categories.service]\n{wrong}")
    file.write_text(text, encoding="utf-8")

    result = run("check", file)

    assert result.exit_code == exits.CONFIG
    assert f"{file}:10 categories.service.lint" in result.stdout
    assert said in result.stdout
