"""A throw-away project per test: the real engine on a file backend, its own home, its own local nodes."""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import typing
from collections.abc import Iterator

import pytest
import yaml

from components.inventory import Inventory

ROOT = pathlib.Path(__file__).resolve().parents[2]
_UP_LIMIT_S = 300.0


@dataclasses.dataclass(slots=True)
class Done:
    """A finished command."""

    argv: list[str]
    code: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        """All that it said."""
        return self.stdout + self.stderr


@dataclasses.dataclass(slots=True)
class Project:
    """A project folder with its own backend, passphrase, operator and state."""

    folder: pathlib.Path
    home: pathlib.Path
    environment: dict[str, str]
    stacks: list[str] = dataclasses.field(default_factory=list)

    def run(self, *argv: str, check: int | None = 0, stdin: str = "", limit_s: float = _UP_LIMIT_S) -> Done:
        """Run a command of the virtual environment in the project; `check` is the exit code that it must have."""
        done = subprocess.run(
            argv,
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
        result = Done(list(argv), done.returncode, done.stdout, done.stderr)
        assert check is None or result.code == check, f"{argv} ended with {result.code}:\n{result.text}"
        return result

    def pulumi(self, *argv: str, check: int | None = 0, **options: typing.Any) -> Done:
        """Run `pulumi`."""
        return self.run("pulumi", *argv, "--non-interactive", check=check, **options)

    def gaxx(self, *argv: str, check: int | None = 0, **options: typing.Any) -> Done:
        """Run `gaxx`."""
        return self.run("gaxx", *argv, check=check, **options)

    def create(self, stack: str, configuration: dict[str, typing.Any]) -> None:
        """Create and select a stack with this `gaxx:` configuration."""
        self.configure(stack, configuration)
        self.pulumi("stack", "select", "--create", stack)
        self.stacks.append(stack)

    def configure(self, stack: str, configuration: dict[str, typing.Any]) -> None:
        """Write the stack's configuration; what Pulumi keeps in the same file stays."""
        path = self.folder / "stacks" / f"Pulumi.{stack}.yaml"
        content = yaml.safe_load(path.read_text()) if path.exists() else {}
        kept = {
            key: value
            for key, value in (content.get("config") or {}).items()
            if isinstance(value, dict) and "secure" in value
        }
        content["config"] = {**kept, **{f"gaxx:{key}": value for key, value in configuration.items()}}
        path.write_text(yaml.safe_dump(content))

    def up(self, stack: str | None = None, *, check: int | None = 0) -> Done:
        """`pulumi up --yes`."""
        chosen = ("--stack", stack) if stack else ()
        return self.pulumi("up", "--yes", "--skip-preview", "--parallel", "32", *chosen, check=check)

    def destroy(self, stack: str | None = None) -> Done:
        """`pulumi destroy --yes`."""
        chosen = ("--stack", stack) if stack else ()
        return self.pulumi("destroy", "--yes", "--skip-preview", "--parallel", "32", *chosen)

    def inventory(self, stack: str | None = None) -> Inventory:
        """The stack's exported inventory."""
        chosen = ("--stack", stack) if stack else ()
        done = self.pulumi("stack", "output", "inventory", "--json", "--show-secrets", *chosen)
        return Inventory.from_json(done.stdout)

    def state(self, stack: str) -> dict[str, typing.Any]:
        """The checkpoint as it lies on disk."""
        text = self.state_text(stack)
        state: dict[str, typing.Any] = json.loads(text)
        return state

    def state_text(self, stack: str) -> str:
        """The checkpoint's bytes."""
        return (self.home / "backend/.pulumi/stacks/gaxx" / f"{stack}.json").read_text()

    def nodes_folder(self) -> pathlib.Path:
        """Where this project's local machines live."""
        return pathlib.Path(self.environment["GAXX_STATE_DIR"]) / "nodes"

    def processes(self) -> list[str]:
        """Command lines of processes that belong to this project's machines."""
        mark = self.environment["GAXX_STATE_DIR"]
        found = []
        for folder in pathlib.Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
                command = (folder / "cmdline").read_bytes()
                environment = (folder / "environ").read_bytes() + command
                if state != "Z" and f"{mark}/nodes".encode() in environment:
                    found.append(command.replace(b"\0", b" ").decode(errors="replace"))
        return found


def _environment(home: pathlib.Path, state: pathlib.Path, cache: pathlib.Path) -> dict[str, str]:
    return {
        "PATH": f"{ROOT / '.venv/bin'}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "USER": "tester",
        "XDG_CACHE_HOME": str(cache),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_STATE_HOME": str(home / "local-state"),
        "GAXX_STATE_DIR": str(state),
        "PULUMI_HOME": str(home / "pulumi"),
        "PULUMI_BACKEND_URL": f"file://{home / 'backend'}",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(home / "passphrase"),
        "PULUMI_SKIP_UPDATE_CHECK": "1",
        # Wheels that the machine has downloaded once are used again.
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(_USER_CACHE / "uv")),
        # How this machine reaches package registries is not the tests' business.
        **{name: value for name, value in os.environ.items() if name in _TRANSPORT},
    }


_TRANSPORT = {"SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "NO_PROXY", "UV_DEFAULT_INDEX", "UV_INDEX_URL"}
_USER_CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Agent bundles are built once a session."""
    return tmp_path_factory.mktemp("cache")


@contextlib.contextmanager
def new_project(cache: pathlib.Path) -> Iterator[Project]:
    """Make a project; afterwards destroy its stacks and prove that nothing is left of them."""
    # Not below pytest's 0700 folders: the account that runs root's nodes must get there. And short: sockets.
    base = pathlib.Path(tempfile.mkdtemp(prefix="gaxx-", dir="/tmp"))
    base.chmod(0o711)
    home, state, folder = base / "home", base / "state", base / "project"
    home.mkdir(mode=0o700)
    (home / "backend").mkdir(mode=0o700)
    state.mkdir(mode=0o711)
    (folder / "stacks").mkdir(parents=True)
    for name in ("agent", "components", "policy", "jobs", ".venv", "__main__.py", "fabfile.py", "tasks"):
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "Pulumi.yaml", folder)
    passphrase = home / "passphrase"
    passphrase.touch(mode=0o600)
    passphrase.write_text(os.urandom(12).hex())
    project = Project(folder, home, _environment(home, state, cache))
    try:
        project.gaxx("env")
        yield project
        for stack in project.stacks:
            project.pulumi("cancel", "--yes", "--stack", stack, check=None)
            project.destroy(stack)
        assert project.processes() == [], "a destroyed stack leaves no process"
        assert not list(project.nodes_folder().rglob("*")), "a destroyed stack leaves no file of a machine"
    finally:
        _kill(project)
        shutil.rmtree(base)


def _kill(project: Project) -> None:
    mark = f"{project.environment['GAXX_STATE_DIR']}/nodes".encode()
    for folder in pathlib.Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):
                if mark in (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes():
                    os.kill(int(folder.name), 9)


@pytest.fixture
def project(shared_cache: pathlib.Path) -> Iterator[Project]:
    """A throw-away project."""
    with new_project(shared_cache) as made:
        yield made
