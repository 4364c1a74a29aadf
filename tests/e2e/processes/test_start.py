"""Starts that must fail, each with its exit code and a line that says why."""

from typing import Any

#: EX_CONFIG of sysexits.h: the same again will not help.
CONFIG = 78
#: EX_TEMPFAIL: it may, later.
UNAVAILABLE = 75


def errors_of(child: Any) -> list[str]:
    """What it says of itself, less its advice."""
    lines: list[str] = child.stderr.strip().splitlines()
    return [one for one in lines if not one.startswith("gateway: warning: ")]


async def test_second_gateway_on_the_same_file_is_refused(served: Any, free_port: int) -> None:
    served.configure()
    first = await served.start()
    served.configure(
        {"api": {"listen": "127.0.0.1:0", "internal": "127.0.0.1:0", "public_url": ""}}
    )

    child = await served.launch()
    code = await child.ended()

    assert code == CONFIG, child.stderr
    (line,) = errors_of(child)
    assert str(served.stand.database.path) in line
    assert "in use" in line
    assert first.is_running
    assert await served.readiness() == 200


async def test_wrong_configuration_is_refused_with_every_fault_on_a_line(served: Any) -> None:
    served.configure(
        {
            "lanes": {"sms": {"providers": ["nobody"]}},
            "retry": {"attempts": 0},
            "providers": {"twilio": {"auth_token": "${E2E_NOT_SET}"}},
            "tenants": {"shop": {"keys": ["gw_secret_of_this_test"]}},
        }
    )

    child = await served.launch()
    code = await child.ended()

    lines = errors_of(child)
    assert code == CONFIG, child.stderr
    assert len(lines) == 3
    assert any("lanes.sms.providers" in line for line in lines)
    assert any("retry.attempts" in line for line in lines)
    assert any("E2E_NOT_SET" in line for line in lines)
    assert "gw_secret_of_this_test" not in child.stderr
    assert all(f"{served.file}:" in line for line in lines)
    assert "Traceback" not in child.stderr


async def test_taken_port_may_be_free_later(served: Any) -> None:
    port = served.stand.acme.port
    served.configure({"api": {"listen": f"127.0.0.1:{port}"}})

    child = await served.launch()
    code = await child.ended()

    assert code == UNAVAILABLE, child.stderr
    assert len(errors_of(child)) == 1
