"""`gateway recipients` against a gateway that runs."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli import exits, upload
from gateway.cli.main import app
from tests.cli.conftest import Run, Sandbox

README = Path(__file__).parent.parent.parent / "README.md"
GOOD = {"phone": "+8613800138000", "zone": "Asia/Shanghai"}


@pytest.fixture
def call(gateway: Run, sandbox: Sandbox) -> Any:
    """`gateway recipients` with the sandbox's address and key."""
    env = {"GATEWAY_URL": sandbox.url, "GATEWAY_KEY": "gw_sandbox"}
    return lambda *words: gateway("recipients", *words, env=env)


def ndjson(file: Path, *rows: Any) -> Path:
    file.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return file


def test_a_recipient_is_imported_shown_and_erased(call: Any, tmp_path: Path) -> None:
    file = ndjson(tmp_path / "people.ndjson", {"id": "李 1/2", **GOOD})

    done = [
        call("import", file),
        call("show", "李 1/2"),
        call("show", "李 1/2", "--json"),
        call("delete", "李 1/2"),
        call("show", "李 1/2"),
    ]

    assert [one.returncode for one in done] == [0, 0, 0, 0, exits.FAILED], done
    assert done[0].stdout == "1 rows: 1 new, 0 changed, 0 unchanged, 0 refused.\n"
    assert "Asia/Shanghai" in done[1].stdout
    assert json.loads(done[2].stdout)["phone"] == GOOD["phone"]
    assert done[3].stdout.startswith("Erased, with 0 messages")


def test_examples_of_the_readme_run(sandbox: Sandbox, tmp_path: Path) -> None:
    section = README.read_text().partition("\n## Recipients\n")[2].partition("\n## ")[0]
    script = "set -e\n" + "".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    done = subprocess.run(
        ["bash", "-c", script.replace("http://127.0.0.1:8080", sandbox.url)],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "GATEWAY_URL": sandbox.url},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 rows: 1 new, 1 changed" in done.stdout
    assert '"unchanged":2' in done.stdout
    assert "Erased" in done.stdout


def test_rows_of_a_long_file_are_named_by_their_lines(call: Any, tmp_path: Path) -> None:
    rows = [{"id": f"u{n}", **GOOD} for n in range(2_500)]
    bad = [*range(1_000, 1_250), 2_499]
    for number in bad:
        rows[number] = {"id": f"u{number}"}
    file = ndjson(tmp_path / "people.ndjson", *rows)
    report = tmp_path / "refused.ndjson"

    done = call("import", file, "--refused", report, "--json")

    assert done.returncode == exits.FAILED
    counts = json.loads(done.stdout)
    assert {name: counts[name] for name in ("rows", "new", "refused")} == {
        "rows": 2_500,
        "new": 2_500 - len(bad),
        "refused": len(bad),
    }
    named = [json.loads(line) for line in report.read_text().splitlines()]
    assert [one["row"] for one in named] == [number + 1 for number in bad]


def test_csv_has_its_header_with_each_piece(call: Any, tmp_path: Path) -> None:
    file = tmp_path / "people.CSV"
    lines = [f"c{n},+8613800138000,ios:t{n}" for n in range(1_500)]
    lines[1_200] = "c1200,nonsense,"
    file.write_text("\ufeffid,phone,push\r\n" + "\r\n".join(lines))
    report = tmp_path / "refused.csv"

    done = call("import", file, "--refused", report)

    assert done.returncode == exits.FAILED
    assert done.stdout.startswith("1,500 rows: 1,499 new")
    assert report.read_text().splitlines()[1].startswith("1202,phone,")


def test_refused_rows_are_shown_where_no_file_is_named(call: Any, tmp_path: Path) -> None:
    file = ndjson(tmp_path / "people.ndjson", *({"id": f"x{n}"} for n in range(30)))

    done = call("import", file)

    assert done.returncode == exits.FAILED
    assert "no usable address" in done.stdout
    assert "… and 10 more" in done.stdout


@pytest.mark.parametrize(("text", "reason"), [("", "no header"), ("phone\n1\n", "no column `id`")])
def test_a_file_that_cannot_be_used_is_explained(
    call: Any, tmp_path: Path, text: str, reason: str
) -> None:
    file = tmp_path / "people.csv"
    file.write_text(text)

    done = call("import", file)

    assert done.returncode == exits.FAILED
    assert reason in done.stderr


def test_nobody_at_the_address_is_said(gateway: Run) -> None:
    done = gateway("recipients", "show", "x", "--url", "http://127.0.0.1:9", "--key", "k")

    assert done.returncode == exits.UNAVAILABLE
    assert "cannot be reached" in done.stderr


def test_a_format_that_there_is_not(tmp_path: Path) -> None:
    file = ndjson(tmp_path / "x", {})

    result = CliRunner().invoke(
        app, ["recipients", "import", str(file), "--key", "k", "--format", "xlsx"]
    )

    assert result.exit_code == 2


def test_lines_without_an_end_do_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "_LINE", 10)
    file = tmp_path / "people"
    file.write_bytes(b"a\r\n" + b"b" * 95 + b"\nc")

    def pieces() -> Iterator[Any]:
        with file.open("rb") as stream:
            yield from upload._pieces(stream, with_header=False)

    (piece,) = pieces()
    assert piece.lines == [b"a\n", b"b" * 10 + b"\n", b"c\n"]
    assert piece.size == file.stat().st_size
