"""The units of a machine, as text; what systemd makes of them is seen on a real one (tests/vm)."""

import re

import pytest

from agent.install import units

SECRETS = ("tokens", "node.key")


def test_the_agents_secrets_come_as_credentials_and_never_in_its_environment() -> None:
    text = units.agent("/usr/bin/python3", {"GAXX_AGENT_PORT": "8088"})

    for secret in SECRETS:
        assert re.search(rf"^LoadCredential={secret}:/etc/gaxx/", text, re.MULTILINE)
    environment = re.findall(r"^Environment=(.*)$", text, re.MULTILINE)
    assert all("/etc/gaxx/tokens" not in line and "/etc/gaxx/tls/node.key" not in line for line in environment)


def test_agent_and_runner_are_different_users_without_rights() -> None:
    agent, runner = units.agent("/usr/bin/python3", {}), units.runner("/usr/bin/python3", {})

    assert f"User={units.AGENT_USER}" in agent
    assert f"User={units.RUNNER_USER}" in runner
    for text in (agent, runner):
        assert "\nCapabilityBoundingSet=\n" in text
        assert "\nNoNewPrivileges=yes\n" in text


def test_the_runner_does_not_see_what_the_agent_keeps() -> None:
    hidden = " ".join(re.findall(r"^InaccessiblePaths=(.*)$", units.runner("/usr/bin/python3", {}), re.MULTILINE))

    for path in ("/etc/gaxx/tls", "/etc/gaxx/tokens", "/etc/gaxx/manifest.json", "/run/gaxx-agent"):
        assert path in hidden


def test_the_audit_trail_is_the_agents_alone() -> None:
    agent, runner = units.agent("/usr/bin/python3", {}), units.runner("/usr/bin/python3", {})

    (writable,) = re.findall(r"^ReadWritePaths=(.*)$", agent, re.MULTILINE)
    assert units.AUDIT.startswith(f"{writable}/")
    (items,) = re.findall(r"^ReadWritePaths=(.*)$", runner, re.MULTILINE)
    assert not units.AUDIT.startswith(items)
    assert f"-{units.AUDIT}" in " ".join(re.findall(r"^InaccessiblePaths=(.*)$", runner, re.MULTILINE)).split()


@pytest.mark.parametrize(
    ("total_mib", "percent"), [(256, 50), (480, 50), (965, 70), (975, 70), (1960, 85), (3900, 90), (64000, 90)]
)
def test_a_small_machine_keeps_more_of_its_memory_for_itself(total_mib: int, percent: int) -> None:
    assert units.items_memory_percent(total_mib << 20) == percent
    assert f"MemoryMax={percent}%\n" in units.runner("/usr/bin/python3", {}, memory_percent=percent)


@pytest.mark.parametrize(
    ("value", "written"),
    [("plain", "plain"), ('say "hi"', 'say \\"hi\\"'), ("100%", "100%%"), ("back\\slash", "back\\\\slash")],
)
def test_values_reach_the_service_as_they_are(value: str, written: str) -> None:
    assert f'Environment="NAME={written}"\n' in units.runner("/usr/bin/python3", {"NAME": value})


def test_only_the_agent_may_open_the_runners_socket() -> None:
    text = units.runner_socket()

    assert f"SocketUser={units.AGENT_USER}" in text
    assert "SocketMode=0600" in text


@pytest.mark.parametrize("expires", ["2026-11-22T12:00:00+00:00", "2026-11-22T13:00:00+01:00", "2026-11-22T12:00:00Z"])
def test_the_end_is_written_in_utc(expires: str) -> None:
    assert "OnCalendar=2026-11-22 12:00:00 UTC\n" in units.expire_timer(expires)


def test_the_agent_ends_a_machine_by_a_file_that_nobody_else_can_make() -> None:
    (watched,) = re.findall(r"^PathExists=(.*)$", units.idle_path(), re.MULTILINE)
    (folder,) = re.findall(r"^RuntimeDirectory=(.*)$", units.agent("/usr/bin/python3", {}), re.MULTILINE)

    assert watched == units.END_FILE
    assert units.END_FILE.startswith(f"/run/{folder}/")
    assert "\nRuntimeDirectoryMode=0700\n" in units.agent("/usr/bin/python3", {})
    assert f"-/run/{folder}" in units.runner("/usr/bin/python3", {})
    assert f"\nUnit={units.EXPIRE_UNIT}\n" in units.idle_path()


def test_at_the_end_secrets_go_before_the_power() -> None:
    steps = re.findall(r"^ExecStart=-?\S*/(\w+)", units.expire(), re.MULTILINE)

    assert steps == ["systemctl", "shred", "systemctl"]
    assert units.expire().rstrip().endswith("poweroff")
