"""Lists of whom not to write to: read in from files, listed and lifted."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import exits, suppressions
from gateway.cli.main import app

CONFIG = """
[store]
url = "sqlite://{folder}/gateway.db"

[tenants.billing]
"""

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    file = tmp_path / "gateway.toml"
    file.write_text(CONFIG.format(folder=tmp_path))
    monkeypatch.chdir(tmp_path)
    environ = {"GATEWAY_CONFIG": str(file), "COLUMNS": "200"}

    def run(*arguments: str, input: str | bytes | None = None) -> Result:
        words = ["suppressions", *arguments]
        return CliRunner().invoke(app, words, env=environ, input=input)

    return run


def listed(run: Run, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("list", "--json", *options).stdout)
    return found


def test_csv_is_read_in_and_bad_rows_are_reported(run: Run, tmp_path: Path) -> None:
    Path("left.csv").write_text(
        "\ufeffEmail,phone,reason,expires_at\r\n"
        "li@example.com,,,\r\n"
        ",+14155550100,complaint,2030-01-01T00:00:00Z\r\n"
        "\r\n"
        "nonsense,,,\r\n"
        '"x@example.com,,,\r\n',
        encoding="utf-8",
    )

    result = run("import", "left.csv", "--reason", "hard_bounce")
    found = listed(run)

    assert result.exit_code == exits.FAILED
    assert "2 recorded, 2 refused." in result.stdout
    assert "line 5: to.email: not an email address" in result.stderr
    assert "nonsense" not in result.output
    assert [(one["channel"], one["reason"], one["source"]) for one in found] == [
        ("rcs", "complaint", "left.csv"),
        ("sms", "complaint", "left.csv"),
        ("email", "hard_bounce", "left.csv"),
    ]
    assert all(one["everybody"] for one in found)


def test_ndjson_comes_from_standard_input_for_one_tenant(run: Run) -> None:
    rows = [
        {"to": {"recipient": "user-42"}, "reason": "opt_out"},
        {"to": {"push": [{"app": "ios", "token": "t"}]}, "source": "crm"},
        {"to": {"email": "li@example.com"}, "at": "2126-01-01T00:00:00Z"},
        7,
    ]
    lines = [*map(json.dumps, rows), "", "nonsense", "x" * 70_000, json.dumps(rows[0])]

    result = run("import", "-", "--tenant", "billing", "--json", input="\n".join(lines))

    told = json.loads(result.stdout)
    assert (told["read"], told["recorded"], told["refused"]) == (7, 3, 4)
    assert [(one["line"], one["field"]) for one in told["faults"]] == [
        (3, "at"),
        (4, ""),
        (6, ""),
        (7, ""),
    ]
    assert [one["source"] for one in listed(run, "--tenant", "billing")] == ["crm", "import"]
    assert listed(run) == []


def test_a_stray_quote_spoils_its_own_row_and_no_other(run: Run) -> None:
    rows = ["email,source", '"a@example.com,x', 'b@example.com,"y', "c@example.com,z"]
    Path("left.csv").write_text("\n".join(rows))

    result = run("import", "left.csv")

    assert "1 recorded, 2 refused." in result.stdout
    assert [one["source"] for one in listed(run)] == ["z"]


@pytest.mark.parametrize(
    ("name", "row"),
    [("left.csv", "caf\xe9@example.com"), ("left.ndjson", '{"to": {"email": "caf\xe9@e.com"}}')],
)
def test_what_is_not_utf_8_is_refused(run: Run, name: str, row: str) -> None:
    head = "email\n" if name.endswith("csv") else ""
    Path(name).write_bytes(f"{head}{row}\n".encode("latin-1"))

    result = run("import", name)

    assert result.exit_code == exits.FAILED
    assert "0 recorded, 1 refused." in result.stdout
    assert listed(run) == []


def test_same_list_again_does_no_harm(run: Run) -> None:
    Path("left.csv").write_text("email\nli@example.com\n")

    results = [run("import", "left.csv") for _ in range(2)]

    assert [one.exit_code for one in results] == [0, 0]
    assert len(listed(run)) == 1


def test_large_list_is_read_in_pieces(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suppressions, "_NOTE_EVERY", 1_000)
    addresses = [f"user{number}@example.com" for number in range(2_500)]
    Path("left.csv").write_text("\n".join(["email", *addresses]))

    result = run("import", "left.csv")

    assert "2,500 recorded, 0 refused." in result.stdout
    assert "1,000 rows, 0 refused\n2,000 rows, 0 refused\n" in result.stderr
    assert len(listed(run, "--limit", "10000")) == 2_500
    assert len(listed(run, "--limit", "3")) == 3


@pytest.mark.parametrize(
    ("arguments", "content", "words"),
    [
        (["left.csv"], "name\nLi\n", "names columns"),
        (["left.csv"], "email,email\na@b,c@d\n", "names columns"),
        (["left.csv"], "", "names columns"),
        (["left.csv", "--tenant", "nobody"], "email\na@b\n", "no tenant nobody"),
        (["other.csv"], "", "other.csv"),
    ],
)
def test_what_cannot_be_done_at_all_is_said(
    run: Run, arguments: list[str], content: str, words: str
) -> None:
    Path("left.csv").write_text(content)

    result = run("import", *arguments)

    assert result.exit_code == exits.CONFIG
    assert words in result.stderr


def test_suppressions_are_lifted_by_address_or_by_record(run: Run) -> None:
    Path("left.csv").write_text("email,phone\nli@example.com,\nmei@example.com,\n,+14155550100\n")
    run("import", "left.csv")

    first = run("lift", "--email", "LI@example.com")
    again = run("lift", "--email", "li@example.com")
    numbers = run("lift", "--phone", "+1 415 555 0100", "--reason", "import")
    (left,) = listed(run)
    last = run("lift", "--id", left["id"])

    assert [one.exit_code for one in (first, again, numbers, last)] == [0, exits.FAILED, 0, 0]
    assert "2 lifted" in numbers.stdout
    assert "no such suppression" in again.stderr
    assert "There are no such suppressions." in run("list").stdout


def test_table_shows_no_address(run: Run) -> None:
    Path("left.csv").write_text("recipient,channel\nuser-42,sms\n")
    run("import", "left.csv", "--tenant", "billing", "--category", "marketing")

    shown = run("list", "--tenant", "billing").stdout

    assert "recipient sms" in shown
    assert "marketing" in shown
    assert "user-42" not in shown


@pytest.mark.parametrize("options", [[], ["--id", "1", "--email", "a@b.example"]])
def test_lift_wants_to_know_what(run: Run, options: list[str]) -> None:
    assert run("lift", *options).exit_code == 2
