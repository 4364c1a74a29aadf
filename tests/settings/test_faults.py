"""What is wrong with a file: every fault at once, each with its place, none with a secret."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway import settings
from gateway.model.errors import SettingsError

WriteFile = Callable[[str], Path]

#: A small configuration that is right; tests add what is wrong.
BASE = """\
[lanes.sms]
channel = "sms"
providers = ["tencent"]

[providers.tencent]
kind = "tencent"
rate = 10
"""


def faults_of(path: Path, **environ: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as refusal:
        settings.load(path, environ)
    return tuple(fault.removeprefix(f"{path}:") for fault in refusal.value.faults)


def test_the_base_of_these_tests_is_right(write_file: WriteFile) -> None:
    loaded = settings.load(write_file(BASE), {})

    assert list(loaded.lanes) == ["sms"]


CASES = (Path(__file__).parent / "faults.txt").read_text(encoding="utf-8").split("\n\n")[1:]


@pytest.mark.parametrize("case", CASES)
def test_each_fault_is_told_with_line_and_key(write_file: WriteFile, case: str) -> None:
    before, _, rest = case.partition("#! ")
    expected = rest.partition("\n")[0]
    line = (BASE + before).count("\n") + 2

    found = faults_of(write_file(BASE + case))

    assert len(found) == 1, found
    assert found[0].startswith(f"{line} {expected}"), found


def test_all_faults_are_told_at_once_in_the_order_of_the_file(write_file: WriteFile) -> None:
    tables = (
        "[tenants.a]|keys = ['${NOT_THERE}']|rate = 0|wieght = 1|[store]|url = ''",
        "[lanes.sms]|channel = 'sms'|providers = ['gone', 'broken']",
        "[providers.broken]|kind = 'x'|rate = 'fast'|[api]|listen = 'x'",
    )
    text = "|".join(tables).replace("|", "\n")

    found = faults_of(write_file(text))

    assert [fault.partition(":")[0] for fault in found] == [
        "2 tenants.a.keys[0]",
        "3 tenants.a.rate",
        "4 tenants.a.wieght",
        "6 store.url",
        "9 lanes.sms.providers[0]",
        "12 providers.broken.rate",
        "14 api.listen",
    ]


def test_every_category_of_a_circle_that_yields_is_told(write_file: WriteFile) -> None:
    text = """
[categories.a]
yields_to = ["b"]
[categories.b]
yields_to = ["d", "c"]
[categories.c]
yields_to = ["a"]
[categories.d]
"""

    found = faults_of(write_file(BASE + text))

    assert [fault.split(" ", 1)[1] for fault in found] == [
        'categories.a.yields_to[0]: "b" itself yields to "a", or to one that does',
        'categories.b.yields_to[1]: "c" itself yields to "b", or to one that does',
        'categories.c.yields_to[0]: "a" itself yields to "c", or to one that does',
    ]


def test_category_that_yields_to_a_wrong_one_is_not_blamed_for_it(write_file: WriteFile) -> None:
    text = "[categories.a]\nyields_to = ['b']\n[categories.b]\nexpires_in = 'soon'"

    found = faults_of(write_file(BASE + text))

    assert [fault.split()[1] for fault in found] == ["categories.b.expires_in:"]


def test_sections_of_the_wrong_type_are_faults_and_no_crash(write_file: WriteFile) -> None:
    names = ["tenants", "categories", "lanes", "providers", "templates", "content", "store"]

    found = faults_of(write_file("\n".join(f"{name} = 5" for name in names)))

    assert [fault.split()[1] for fault in found] == [f"{name}:" for name in names]


def test_entries_of_the_wrong_type_are_faults_and_no_crash(write_file: WriteFile) -> None:
    names = ["tenants", "categories", "lanes", "providers", "templates"]

    found = faults_of(write_file("\n".join(f"{name}.x = 5" for name in names)))

    assert [fault.split()[1] for fault in found] == [f"{name}.x:" for name in names]


def test_a_syntax_error_has_its_line(write_file: WriteFile) -> None:
    assert faults_of(write_file("[api]\nlisten = \n")) == ("2 column 10: Invalid value",)


def test_a_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot be read: No such file"):
        settings.load(tmp_path / "none.toml", {})


def test_a_file_in_another_encoding_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_bytes("# ü".encode("latin-1"))

    with pytest.raises(SettingsError, match="is not UTF-8"):
        settings.load(path, {})


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_bytes(b"\xef\xbb\xbf" + BASE.encode())

    assert settings.load(path, {}).lanes["sms"].providers == ("tencent",)


def test_an_empty_variable_is_as_bad_as_none(write_file: WriteFile) -> None:
    path = write_file("tenants.a.keys = ['${A}', '${B}', 'x-${C}']")

    assert faults_of(path, A="", C="c") == (
        "1 tenants.a.keys[0]: environment variable A is empty",
        "1 tenants.a.keys[1]: environment variable B is not set",
    )


def test_a_secret_in_a_file_is_stripped_and_relative_to_the_configuration(
    write_file: WriteFile, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("from-file\n")

    loaded = settings.load(write_file("tenants.a.keys = ['file:key']"), {})

    assert loaded.tenants["a"].keys[0].get_secret_value() == "from-file"


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * (1 << 20) + b"x"])
def test_a_secret_file_must_be_small_text(
    write_file: WriteFile, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "key").write_bytes(content)

    found = faults_of(write_file("tenants.a.keys = ['file:key']"))

    assert found == ("1 tenants.a.keys[0]: cannot read key: not a small text file",)


def test_templates_are_not_searched_for_secrets(write_file: WriteFile) -> None:
    path = write_file(BASE + "[templates.t]\nsms = { text = '${HOME} file:/etc/passwd' }")

    loaded = settings.load(path, {})

    assert loaded.templates["t"].channels.popitem()[1] == {"text": "${HOME} file:/etc/passwd"}


def test_provider_kinds_are_asked_and_their_faults_placed(write_file: WriteFile) -> None:
    asked: list[tuple[str, str, dict[str, Any]]] = []

    def check(account: str, kind: str, options: Mapping[str, Any]) -> Sequence[str]:
        asked.append((account, kind, dict(options)))
        return [
            "sign: is odd",
            "body.to[1]: is odd",
            "providers.tencent.region: unknown",
            "unknown kind",
        ]

    with pytest.raises(SettingsError) as refusal:
        settings.load(write_file(BASE + "sign = 's'\nregion = 'r'"), {}, check)

    assert asked == [("tencent", "tencent", {"sign": "s", "region": "r"})]
    assert [fault.partition("gateway.toml:")[2] for fault in refusal.value.faults] == [
        "5 providers.tencent.body.to[1]: is odd",
        "5 providers.tencent: unknown kind",
        "8 providers.tencent.sign: is odd",
        "9 providers.tencent.region: unknown",
    ]


def test_a_fault_that_quotes_a_secret_is_scrubbed(write_file: WriteFile, tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text('{\n "key": "from-file"\n}')

    def check(account: str, kind: str, options: Mapping[str, Any]) -> Sequence[str]:
        return [f"{key}: bad value {value}" for key, value in options.items()]

    with pytest.raises(SettingsError) as refusal:
        settings.load(
            write_file(BASE + "a = 'x ${SECRET}'\nb = 'file:key.json'"),
            {"SECRET": "hunter2hunter2"},
            check,
        )

    assert "hunter2" not in str(refusal.value)
    assert "from-file" not in str(refusal.value)
    assert "providers.tencent.a: bad value x …" in str(refusal.value)


@pytest.mark.parametrize("key", ["rate", "rate_unit", "concurrency", "daily_zone", "kind", "burst"])
def test_a_secret_in_the_wrong_place_is_not_shown(write_file: WriteFile, key: str) -> None:
    path = write_file(f"[providers.p]\nkind = 'x'\n[providers.q]\n{key} = '${{SECRET}}'")

    found = faults_of(path, SECRET="Hunter2/hunter2")

    assert found
    assert not [fault for fault in found if "unter2" in fault]


def test_the_error_carries_no_other_exception_that_could_show_values(
    write_file: WriteFile,
) -> None:
    with pytest.raises(SettingsError) as refusal:
        settings.load(write_file("[tenants.a]\nkeys = 'hunter2'"), {})

    assert refusal.value.__cause__ is None
    assert refusal.value.__context__ is None
    assert "hunter2" not in str(refusal.value)
