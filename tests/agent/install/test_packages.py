"""Declared packages, by the real apt and dpkg, in a root of the test's own."""

import json
import pathlib
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from agent.install import packages
from agent.install.apt import Apt
from agent.install.layout import Layout
from tests.agent.install.apt_machine import Machine
from tests.apt_repository import Repository, served


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    with served(tmp_path_factory.mktemp("repository")) as made:
        made.add("probe")
        made.add("probe", "2.0")
        made.add("other")
        made.add("wants-other", fields="Depends: other\n")
        made.add("stands-in", fields="Provides: virtual-thing\n")
        yield made


@pytest.fixture
def machine(tmp_path: pathlib.Path, repository: Repository) -> Machine:
    return Machine(tmp_path / "root", repository)


def test_what_is_declared_is_installed_and_how_far_it_is_is_said(machine: Machine) -> None:
    machine.install("probe", "wants-other")

    assert machine.versions() == {"probe": "2.0", "other": "1.0", "wants-other": "1.0"}
    assert (machine.root / "usr/share/probe/version").read_text() == "2.0\n"
    assert any("%" in words for words in machine.said)


def test_nobody_is_asked_when_all_is_there(machine: Machine) -> None:
    machine.install("probe", "stands-in", "virtual-thing")
    machine.sources.write_text("nothing that apt could read\n")

    machine.install("virtual-thing", "probe", "stands-in")
    machine.install("stands-in", "probe=2.0")

    assert machine.versions() == {"probe": "2.0", "stands-in": "1.0"}


def test_what_is_declared_no_more_goes_unless_it_was_there_before(machine: Machine) -> None:
    machine.by_hand("apt-get", "--yes", "update")
    machine.by_hand("apt-get", "--yes", "install", "other")
    machine.install("probe", "other")

    machine.install()

    assert machine.versions() == {"other": "1.0"}
    assert json.loads((machine.root / "etc/gaxx/packages.json").read_text()) == []


def test_what_another_package_needs_stays(machine: Machine) -> None:
    machine.install("other", "wants-other")
    machine.install("wants-other")
    assert machine.versions() == {"other": "1.0", "wants-other": "1.0"}

    machine.install()

    assert machine.versions() == {"other": "1.0"}, "it came along with the other one then"


def test_packages_that_need_each_other_go_together(machine: Machine) -> None:
    machine.install("other", "wants-other")

    machine.install()

    assert machine.versions() == {}


def test_a_version_is_installed_also_when_it_is_the_older_one(machine: Machine) -> None:
    machine.install("probe")
    machine.install("probe=1.0")

    assert machine.versions() == {"probe": "1.0"}
    assert machine.refusal("other", "probe=3.0") == (
        "packages[1] of fleet demo (probe=3.0): no version 3.0 in the machine's repositories"
    )


def test_an_unknown_package_is_named_with_its_key_and_the_next_declaration_converges(machine: Machine) -> None:
    assert machine.refusal("probe", "nosuch", "neither") == (
        "packages[1], packages[2] of fleet demo (nosuch, neither): no such package in the machine's repositories"
    )
    assert machine.versions() == {}

    machine.install("probe")

    assert machine.versions() == {"probe": "2.0"}


@pytest.mark.parametrize("name", ["probe.", "prob+", "^probe"])
def test_a_name_that_apt_would_take_for_another_is_unknown(machine: Machine, name: str) -> None:
    assert "no such package" in machine.refusal(name)


def test_a_mirror_that_does_not_answer_is_named(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        # Under another name: what apt has learned of a host's one port it believes of the others.
        nowhere = f"http://localhost:{closed.getsockname()[1]}"
    machine.sources.write_text(f"{machine.sources.read_text()}deb [trusted=yes] {nowhere} ./\n")

    machine.install("probe")
    refusal = machine.refusal("probe", "nosuch")

    assert refusal.startswith("packages[1] of fleet demo (nosuch): no such package in")
    assert f"do not: {nowhere} (Could not connect" in refusal


def test_a_repository_that_is_not_signed_is_named(machine: Machine) -> None:
    machine.sources.write_text(machine.sources.read_text().replace("[trusted=yes] ", ""))

    refusal = machine.refusal("probe")

    assert refusal.startswith("packages[0] of fleet demo (probe): no such package in the machine's repositories; apt")
    assert "does not have a Release file" in refusal


def test_a_package_that_cannot_be_fetched_is_not_called_unknown(machine: Machine) -> None:
    vanished = machine.repository.add("vanished")
    vanished.unlink()

    assert "packages[0] of fleet demo (vanished): cannot be fetched: http://127.0.0.1" in machine.refusal("vanished")


def test_a_full_disk_is_called_one(tmp_path: pathlib.Path) -> None:
    with served(tmp_path / "repository") as repository:
        repository.add("huge")
        repository.index(size_bytes=1 << 60)

        refusal = Machine(tmp_path / "root", repository).refusal("huge")

    assert refusal.startswith("packages[0] of fleet demo (huge): the machine's disk is full (")


def test_a_package_that_does_not_install_says_why_and_is_mended_by_its_next_version(tmp_path: pathlib.Path) -> None:
    with served(tmp_path / "repository") as repository:
        repository.add("fails", scripts={"postinst": "#!/bin/sh\nexit 7\n"})
        machine = Machine(tmp_path / "root", repository)
        assert machine.refusal("fails") == (
            "packages[0] of fleet demo (fails): fails does not install: "
            "installed fails package post-installation script subprocess returned error exit status 7"
        )
        repository.add("fails", "2.0")

        machine.install("fails")

    assert machine.versions() == {"fails": "2.0"}


def test_what_an_interrupted_dpkg_has_left_is_finished_first(machine: Machine) -> None:
    machine.by_hand("dpkg", "--unpack", str(machine.repository.folder / "other_1.0_all.deb"))
    assert machine.versions() == {}

    machine.install("wants-other")

    assert machine.versions() == {"other": "1.0", "wants-other": "1.0"}
    assert any("interrupted" in words for words in machine.said)


@pytest.mark.parametrize("lock", ["var/lib/apt/lists/lock", "var/lib/dpkg/lock-frontend"])
def test_whoever_holds_the_lock_is_waited_for(machine: Machine, lock: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.install.apt._LOCK_POLL_S", 0.01)
    monkeypatch.setattr("agent.install.apt._SILENCE_LIMIT_S", 0.05)
    holder = _Holder(machine.root / lock)

    def release(words: str) -> None:
        if "waiting" in words or "apt-get works" in words:
            holder.release()

    manifest = {"packages": ["probe"], "fleet": "demo"}
    packages.install(Layout(machine.root), manifest, Apt(release, machine.environment))

    assert machine.versions() == {"probe": "2.0"}


def test_a_setting_that_somebody_changed_survives_the_next_version(tmp_path: pathlib.Path) -> None:
    with served(tmp_path / "repository") as repository:
        conffile = "/etc/settled.conf\n"
        repository.add("settled", files={"etc/settled.conf": "theirs\n"}, conffiles=conffile)
        machine = Machine(tmp_path / "root", repository)
        machine.install("settled")
        (machine.root / "etc/settled.conf").write_text("ours\n")
        repository.add("settled", "2.0", files={"etc/settled.conf": "newer\n"}, conffiles=conffile)

        machine.install("settled=2.0")

    assert machine.versions() == {"settled": "2.0"}
    assert (machine.root / "etc/settled.conf").read_text() == "ours\n"


def test_a_packages_script_sees_nothing_of_the_installers_environment(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/a/bundle")
    monkeypatch.setenv("GAXX_ROOT", "/a/root")
    with served(tmp_path / "repository") as repository:
        repository.add("tells", scripts={"postinst": '#!/bin/sh\nenv > "$DPKG_ROOT/tmp/seen"\n'})
        machine = Machine(tmp_path / "root", repository)
        machine.install("tells")

    seen = (machine.root / "tmp/seen").read_text()
    assert "DEBIAN_FRONTEND=noninteractive" in seen
    assert "PYTHONPATH" not in seen
    assert "GAXX" not in seen


_HOLD = """\
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
"""


class _Holder:
    """Another process that holds a lock: its own locks a process never waits for."""

    def __init__(self, path: pathlib.Path) -> None:
        path.touch(mode=0o640)
        argv = [sys.executable, "-c", _HOLD, str(path)]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"held\n"

    def release(self) -> None:
        """Let it go; asked twice, nothing more."""
        if self._process.poll() is None:
            self._process.communicate()
