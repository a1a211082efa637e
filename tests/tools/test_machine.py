"""What set-up wants of the machine, and how it says what it cannot do."""

import os
import pathlib

import pytest

from tools import machine


def command(folder: pathlib.Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def commands(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A machine with no commands but those that the test puts into this folder."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(machine, "SBIN", str(folder))
    monkeypatch.setattr(machine, "SERVICE_POLICY", tmp_path / "policy-rc.d")
    return folder


def need(package: str) -> machine.Need:
    return next(one for one in machine.NEEDS if one.package == package)


def test_this_machine_lacks_nothing_after_set_up() -> None:
    assert machine.missing() == []
    assert machine.account_ready()


def test_only_what_is_not_there_is_missing(commands: pathlib.Path) -> None:
    for one in machine.NEEDS:
        if one.command and one.package != "nftables":
            command(commands, one.command, "true")
    assert machine.missing() == [need("nftables")]


@pytest.mark.usefixtures("commands")
def test_a_machine_that_is_not_debian_is_told_what_it_lacks() -> None:
    with pytest.raises(machine.MachineError, match="lacks what Debian has in: nftables make"):
        machine.install([need("nftables"), need("make")])


def test_an_ordinary_user_is_told_the_command_that_root_types(
    commands: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command(commands, "apt-get", "exit 99")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(machine.MachineError, match=r"as root: apt-get install nftables make$"):
        machine.install([need("nftables"), need("make")])


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.mark.usefixtures("root")
def test_no_service_is_started_by_an_installation(commands: pathlib.Path, tmp_path: pathlib.Path) -> None:
    policy = machine.SERVICE_POLICY
    # What Debian's maintainer scripts do: ask the policy, start nothing when it says 101.
    command(commands, "apt-get", f"'{policy}'; echo $? >> '{tmp_path}/asked'")
    command(commands, "nft", "true")
    machine.install([need("nftables")])
    assert (tmp_path / "asked").read_text().split() == ["101", "101"]
    assert not policy.exists()


@pytest.mark.usefixtures("root")
def test_a_service_policy_that_is_there_stays_as_it_is(commands: pathlib.Path) -> None:
    command(commands, "apt-get", "true")
    command(commands, "nft", "true")
    machine.SERVICE_POLICY.write_text("the administrator's own")
    machine.install([need("nftables")])
    assert machine.SERVICE_POLICY.read_text() == "the administrator's own"


@pytest.mark.usefixtures("root")
def test_a_failed_installation_is_one_line_with_apts_own_reason(commands: pathlib.Path) -> None:
    command(
        commands, "apt-get", "echo Reading...; echo 'E: Unable to locate package nftables' >&2; echo more; exit 100"
    )
    with pytest.raises(machine.MachineError, match=r"^apt-get update failed: E: Unable to locate package nftables$"):
        machine.install([need("nftables")])
    assert not machine.SERVICE_POLICY.exists()


@pytest.mark.usefixtures("root")
def test_a_package_that_brings_no_command_is_noticed(commands: pathlib.Path) -> None:
    command(commands, "apt-get", "true")
    with pytest.raises(machine.MachineError, match="installed, and yet not found: nftables"):
        machine.install([need("nftables")])


def test_an_ordinary_users_nodes_need_no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(machine, "ACCOUNT", "no-such-account")
    assert machine.account_ready()


def test_root_without_the_account_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(machine, "ACCOUNT", "no-such-account")
    assert not machine.account_ready()
