"""A throw-away project: the real engine on a file backend, its own home, its own local nodes."""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import typing
from collections.abc import Iterator, Mapping

import yaml

from components.inventory import Inventory
from tests.stack import remains

ROOT = pathlib.Path(__file__).resolve().parents[2]
_LIMIT_S = 300.0
_PARALLEL = ("--parallel", "32")
# How this machine reaches package registries is not the tests' business.
_TRANSPORT = {"SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "NO_PROXY", "UV_DEFAULT_INDEX", "UV_INDEX_URL"}
_USER_CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))


def fleet(nodes: int, name: str = "demo", **more: object) -> dict[str, object]:
    """A stack's configuration: one local fleet."""
    return {"fleets": [{"name": name, "cloud": "local", "nodes": nodes, **more}]}


@dataclasses.dataclass(frozen=True, slots=True)
class Done:
    """A finished command."""

    argv: tuple[str, ...]
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

    base: pathlib.Path
    """Holds all of it, and nothing else."""
    environment: dict[str, str]
    prefix: tuple[str, ...] = ()
    """Goes before every command: another user, another mount namespace."""
    stacks: list[str] = dataclasses.field(default_factory=list)

    @property
    def folder(self) -> pathlib.Path:
        """Where commands are run."""
        return self.base / "project"

    @property
    def home(self) -> pathlib.Path:
        """The user's home: backend, Pulumi's own folder, configuration."""
        return self.base / "home"

    @property
    def private(self) -> pathlib.Path:
        """What only the user may read: authorities, claims of addresses."""
        return self.home / "local-state/gaxx"

    @property
    def cache(self) -> pathlib.Path:
        """What can be made again: inventories, and the bundles that projects share."""
        return self.home / "cache/gaxx"

    @property
    def nodes_folder(self) -> pathlib.Path:
        """Where this project's local machines live."""
        return pathlib.Path(self.environment["GAXX_STATE_DIR"]) / "nodes"

    def run(
        self,
        *argv: str,
        check: int | None = 0,
        stdin: str = "",
        limit_s: float = _LIMIT_S,
        env: Mapping[str, str] | None = None,
    ) -> Done:
        """Run a command in the project; `check` is the exit code that it must have, None for any."""
        finished = subprocess.run(
            (*self.prefix, *argv),
            cwd=self.folder,
            env={**self.environment, **(env or {})},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
        done = Done(argv, finished.returncode, finished.stdout, finished.stderr)
        assert check is None or done.code == check, f"{argv} ended with {done.code}, not {check}:\n{done.text}"
        return done

    @contextlib.contextmanager
    def started(self, *argv: str) -> Iterator["subprocess.Popen[bytes]"]:
        """A command in a session of its own, its output in one pipe; killed at the end if it still runs."""
        with subprocess.Popen(
            (*self.prefix, *argv),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process:
            try:
                yield process
            finally:
                # Once it has been waited for, its number may be somebody else's.
                if process.returncode is None:
                    os.killpg(process.pid, signal.SIGKILL)

    def pulumi(self, *argv: str, check: int | None = 0, **options: typing.Any) -> Done:
        """Run `pulumi`."""
        return self.run("pulumi", *argv, "--non-interactive", check=check, **options)

    def gaxx(self, *argv: str, check: int | None = 0, **options: typing.Any) -> Done:
        """Run `gaxx`."""
        return self.run("gaxx", *argv, check=check, **options)

    def create(self, stack: str, configuration: Mapping[str, object]) -> None:
        """Create and select a stack with this `gaxx:` configuration."""
        self.configure(stack, configuration)
        self.pulumi("stack", "select", "--create", stack)
        self.stacks.append(stack)

    def configure(self, stack: str, configuration: Mapping[str, object]) -> None:
        """Write the stack's configuration; what Pulumi keeps encrypted in the same file stays."""
        path = self.folder / "stacks" / f"Pulumi.{stack}.yaml"
        content = yaml.safe_load(path.read_text()) if path.exists() else {}
        kept = {
            key: value
            for key, value in (content.get("config") or {}).items()
            if isinstance(value, dict) and "secure" in value
        }
        content["config"] = {**kept, **{f"gaxx:{key}": value for key, value in configuration.items()}}
        path.write_text(yaml.safe_dump(content))
        # Whose the folder is may be another user.
        os.chown(path, path.parent.stat().st_uid, path.parent.stat().st_gid)

    def up(self, *more: str, check: int | None = 0, **options: typing.Any) -> Done:
        """`pulumi up --yes`, by default of the selected stack."""
        return self.pulumi("up", "--yes", "--skip-preview", *_PARALLEL, *more, check=check, **options)

    def destroy(self, *more: str, check: int | None = 0) -> Done:
        """`pulumi destroy --yes`, by default of the selected stack."""
        return self.pulumi("destroy", "--yes", "--skip-preview", *_PARALLEL, *more, check=check)

    def inventory(self, stack: str = "demo") -> Inventory:
        """The stack's exported inventory."""
        done = self.pulumi("stack", "output", "inventory", "--json", "--show-secrets", "--stack", stack)
        return Inventory.from_json(done.stdout)

    def state_file(self, stack: str = "demo") -> pathlib.Path:
        """The checkpoint as it lies on disk."""
        project: str = yaml.safe_load((self.folder / "Pulumi.yaml").read_text())["name"]
        return self.home / "backend/.pulumi/stacks" / project / f"{stack}.json"

    def resources(self, stack: str = "demo") -> list[dict[str, typing.Any]]:
        """What the state knows of, encrypted where it is secret; empty after a destroy."""
        checkpoint = json.loads(self.state_file(stack).read_text())["checkpoint"]
        return list((checkpoint.get("latest") or {}).get("resources") or [])

    def resource(self, pulumi_type: str, node: str, stack: str = "demo") -> dict[str, typing.Any]:
        """The state of one node's resource of that type (without `gaxx:index:`)."""
        for resource in self.resources(stack):
            if resource["type"] == f"gaxx:index:{pulumi_type}" and resource["inputs"].get("node") == node:
                return resource
        message = f"no {pulumi_type} of {node} in the state of {stack}"
        raise LookupError(message)

    def machine(self, node: str) -> pathlib.Path:
        """The folder of a local machine."""
        (found,) = self.nodes_folder.glob(f"*/{node}")
        return found

    def machines(self) -> list[str]:
        """Names of the machines that lie in this project's folders, of all stacks."""
        return sorted(path.name for path in self.nodes_folder.glob("*/*") if path.name != ".bundles")


def _environment(base: pathlib.Path) -> dict[str, str]:
    home = base / "home"
    return {
        "PATH": f"{ROOT / '.venv/bin'}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "USER": "tester",
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_STATE_HOME": str(home / "local-state"),
        "GAXX_STATE_DIR": str(base / "state"),
        "PULUMI_HOME": str(home / "pulumi"),
        "PULUMI_BACKEND_URL": f"file://{home / 'backend'}?metadata=skip",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(home / "passphrase"),
        "PULUMI_SKIP_UPDATE_CHECK": "1",
        # Wheels that the machine has downloaded once are used again.
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(_USER_CACHE / "uv")),
        **{name: value for name, value in os.environ.items() if name in _TRANSPORT},
    }


@contextlib.contextmanager
def new_project(bundles: pathlib.Path) -> Iterator[Project]:
    """Make a project; afterwards destroy its stacks and prove that nothing is left of them.

    Agent bundles come from the folder `bundles`, and are put there.
    """
    # Not below pytest's 0700 folders: the account that runs root's nodes must get there. And short: sockets.
    base = pathlib.Path(tempfile.mkdtemp(prefix="gaxx-", dir="/tmp"))
    base.chmod(0o711)
    project = Project(base, _environment(base))
    (base / "state").mkdir(mode=0o711)
    for folder in (project.home, project.home / "backend"):
        folder.mkdir(mode=0o700)
    project.cache.mkdir(parents=True)
    (project.cache / "bundles").symlink_to(bundles)
    (project.folder / "stacks").mkdir(parents=True)
    for name in ("agent", "components", "policy", "jobs", ".venv", "__main__.py", "fabfile.py", "tasks"):
        if (ROOT / name).exists():
            (project.folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "Pulumi.yaml", project.folder)
    passphrase = project.home / "passphrase"
    passphrase.touch(mode=0o600)
    passphrase.write_text(os.urandom(12).hex())
    try:
        project.gaxx("env")
        yield project
        for stack in project.stacks:
            project.pulumi("cancel", "--yes", "--stack", stack, check=None)
            project.destroy("--stack", stack)
        assert_nothing_left(project)
    finally:
        remains.kill(f"{project.environment['GAXX_STATE_DIR']}/nodes")
        shutil.rmtree(base)


def assert_nothing_left(project: Project) -> None:
    """Fail unless every stack of the project is gone with all that belonged to it."""
    assert remains.processes(f"{project.environment['GAXX_STATE_DIR']}/nodes") == [], "no process"
    assert list(project.nodes_folder.rglob("*")) == [], "no file of a machine"
    assert list(project.private.glob("authorities/*")) == [], "no key"
    assert list(project.private.glob("addresses/*")) == [], "no claim of an address"
    assert list(project.private.glob("enrolling/*")) == [], "no announced host key"
    inventories = [path.name for path in project.cache.glob("inventory/*")]
    assert inventories == [], f"no inventory, but there is {inventories}"
    for stack in project.stacks:
        assert project.resources(stack) == [], f"nothing in the state of {stack}"
