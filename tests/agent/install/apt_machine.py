"""A root with an apt and a dpkg of its own, for tests of what is done with them; both are the real ones."""

import pathlib
import subprocess

import pytest

from agent.install import packages
from agent.install.apt import ENVIRONMENT, Apt
from agent.install.layout import InstallError, Layout
from tests.apt_repository import Repository

_FOLDERS = ("etc/apt/apt.conf.d", "etc/apt/preferences.d", "etc/apt/sources.list.d", "etc/apt/trusted.gpg.d",
            "var/lib/dpkg/updates", "var/lib/dpkg/info", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial",
            "var/log/apt", "tmp")  # fmt: skip


class Machine:
    """A root with a dpkg and an apt of its own; no right of root's is needed."""

    def __init__(self, root: pathlib.Path, repository: Repository) -> None:
        self.root = root
        self.repository = repository
        for folder in _FOLDERS:
            (root / folder).mkdir(parents=True)
        (root / "var/lib/dpkg/status").touch()
        self.sources = root / "etc/apt/sources.list"
        self.sources.write_text(repository.line())
        options = ("--force-not-root", "--force-script-chrootless", f"--log={root}/var/log/dpkg.log")
        quoted = " ".join(f'"{option}";' for option in options)
        settings = root / "etc/apt/test.conf"
        settings.write_text(
            f'Dir "{root}/";\nDir::State::status "{root}/var/lib/dpkg/status";\n'
            'Dir::Bin::methods "/usr/lib/apt/methods";\nAPT::Sandbox::User "";\nAcquire::Retries "0";\n'
            f"DPkg::Options {{ {quoted} }};\n"
        )
        admin = str(root / "var/lib/dpkg")
        self.environment = {**ENVIRONMENT, "APT_CONFIG": str(settings), "DPKG_ROOT": str(root), "DPKG_ADMINDIR": admin,
                            "DPKG_FORCE": "downgrade,not-root,script-chrootless"}  # fmt: skip
        self.said: list[str] = []

    def apt(self) -> Apt:
        """Its package manager."""
        return Apt(self.said.append, self.environment)

    def install(self, *declared: str) -> None:
        """What enrolment does."""
        manifest = {"packages": list(declared), "fleet": "demo"}
        packages.install(Layout(self.root), manifest, self.apt())

    def refusal(self, *declared: str) -> str:
        """The words of an enrolment that fails."""
        with pytest.raises(InstallError) as refused:
            self.install(*declared)
        (line,) = str(refused.value).splitlines()
        return line

    def versions(self) -> dict[str, str]:
        """What is installed."""
        known = self.apt().known()
        return {one.name: one.version for one in known if one.status == "installed"}

    def by_hand(self, *argv: str) -> None:
        """What somebody does on the machine, without us."""
        subprocess.run(argv, check=True, capture_output=True, env=self.environment)
