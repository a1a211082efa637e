"""The upkeep of a machine: its units as systemd reads them, its settings as apt does."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from agent.install import units, upkeep_units

SERVICE = upkeep_units.service(sys.executable, {"PYTHONPATH": "/opt/gaxx/bundles/100%"})


def said(*argv: str, **environment: str) -> str:
    done = subprocess.run(argv, check=False, capture_output=True, text=True, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stderr + done.stdout


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / upkeep_units.SERVICE_UNIT).write_text(SERVICE)
    (tmp_path / upkeep_units.TIMER_UNIT).write_text(upkeep_units.timer())
    return tmp_path


def test_systemd_finds_no_fault_with_either_unit(folder: pathlib.Path) -> None:
    for unit in (upkeep_units.SERVICE_UNIT, upkeep_units.TIMER_UNIT):
        # What it says of other units of this computer is not ours.
        complaints = [
            line for line in said("systemd-analyze", "verify", str(folder / unit)).splitlines() if unit in line
        ]
        assert complaints == []


def test_systemd_calls_the_service_well_enough_closed(folder: pathlib.Path) -> None:
    judged = said("systemd-analyze", "security", "--offline=yes", "--no-pager", str(folder / upkeep_units.SERVICE_UNIT))

    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", judged)
    assert found, judged
    assert float(found[1]) <= 5.0


def test_it_takes_only_what_nobody_else_wants_and_no_node_waits_for_it() -> None:
    for line in ("Nice=19", "CPUSchedulingPolicy=batch", "IOSchedulingClass=idle", "Type=oneshot"):
        assert f"\n{line}\n" in SERVICE
    assert units.AGENT_UNIT in re.findall(r"^After=(.*)$", SERVICE, re.MULTILINE)[0].split()
    assert upkeep_units.SERVICE_UNIT not in units.agent("/usr/bin/python3", {})


def test_no_answer_is_no_failure() -> None:
    assert f"\nSuccessExitStatus={upkeep_units.NO_ANSWER_STATUS}\n" in SERVICE


def test_apt_reads_security_as_the_only_origins_whatever_else_is_set(tmp_path: pathlib.Path) -> None:
    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / "20auto-upgrades").write_text('APT::Periodic::Enable "1";\nAPT::Periodic::Unattended-Upgrade "1";\n')
    (parts / "50unattended-upgrades").write_text(
        'Unattended-Upgrade::Allowed-Origins { "${distro_id}:${distro_codename}"; };\n'
        'Unattended-Upgrade::Origins-Pattern { "origin=Debian,codename=${distro_codename},label=Debian"; };\n'
        'Unattended-Upgrade::Automatic-Reboot "true";\n'
    )
    (parts / pathlib.Path(upkeep_units.APT_SETTINGS).name).write_text(upkeep_units.apt_settings())
    settings = tmp_path / "apt.conf"
    settings.write_text(f'Dir::Etc::Parts "{parts}";\n')

    dumped = said("apt-config", "dump", APT_CONFIG=str(settings))

    origins = re.findall(r'^Unattended-Upgrade::(?:Origins-Pattern|Allowed-Origins):: "(.*)";$', dumped, re.MULTILINE)
    assert len(origins) == 3
    assert all("security" in origin.lower() for origin in origins)
    assert 'Unattended-Upgrade::Automatic-Reboot "false";' in dumped
    assert 'APT::Periodic::Enable "0";' in dumped
