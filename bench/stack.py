"""A throw-away project with the real engine and real local nodes, for as long as a measurement needs them.

Everything (backend, passphrase, operator's keys, machines, caches) lies in one folder of its own and is gone
afterwards; only the built agent bundle and downloaded wheels are shared with the user's cache.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

import yaml

from components import places
from components.inventory import Inventory

ROOT = pathlib.Path(__file__).resolve().parents[1]
STACK = "bench"
FLEET = "bench"
_LIMIT_S = 900.0
PARALLEL = "32"
_TRANSPORT = ("SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "NO_PROXY", "UV_DEFAULT_INDEX", "UV_INDEX_URL")


@dataclasses.dataclass(frozen=True, slots=True)
class Project:
    """A project folder with its own backend, operator and machines."""

    base: pathlib.Path
    environment: dict[str, str]

    @property
    def folder(self) -> pathlib.Path:
        """Where commands are started."""
        return self.base / "project"

    @property
    def operator(self) -> pathlib.Path:
        """The operator's keys."""
        return self.base / "home/config/gaxx/operator"

    def run(self, *argv: str, codes: tuple[int, ...] = (0,)) -> str:
        """Run a command in the project, return its stdout; raise RuntimeError when its exit code is none of these."""
        done = subprocess.run(
            argv, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
        if done.returncode not in codes:
            message = f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            raise RuntimeError(message)
        return done.stdout

    def pulumi(self, *argv: str, codes: tuple[int, ...] = (0,)) -> str:
        """Run `pulumi` on the stack."""
        return self.run("pulumi", *argv, "--stack", STACK, "--non-interactive", codes=codes)

    def configure(self, nodes: int) -> None:
        """Declare one local fleet of so many nodes."""
        path = self.folder / "stacks" / f"Pulumi.{STACK}.yaml"
        content = yaml.safe_load(path.read_text()) if path.exists() else {}
        fleet = {"name": FLEET, "cloud": "local", "nodes": nodes}
        content["config"] = {**content.get("config", {}), "gaxx:fleets": [fleet]}
        path.write_text(yaml.safe_dump(content))

    def up(self, *options: str) -> None:
        """`pulumi up`."""
        self.pulumi("up", "--yes", "--skip-preview", "--parallel", PARALLEL, *options)

    def destroy(self, *options: str) -> None:
        """`pulumi destroy`."""
        self.pulumi("destroy", "--yes", "--skip-preview", "--parallel", PARALLEL, *options)

    def inventory(self) -> Inventory:
        """What the stack exports."""
        return Inventory.from_dict(json.loads(self.pulumi("stack", "output", "inventory", "--json", "--show-secrets")))


@contextlib.contextmanager
def project() -> Iterator[Project]:
    """Make a project with an empty stack; afterwards destroy what it has and remove it."""
    # Not below a 0700 folder: the account that runs root's nodes must get there. And short: paths of sockets.
    base = pathlib.Path(tempfile.mkdtemp(prefix="gaxx-", dir="/tmp"))
    base.chmod(0o711)
    try:
        made = _made(base)
        try:
            yield made
        finally:
            made.pulumi("cancel", "--yes", codes=(0, 255))
            made.destroy()
    finally:
        _kill(base)
        shutil.rmtree(base)


@contextlib.contextmanager
def fleet(nodes: int) -> Iterator[Project]:
    """A project whose stack is up with so many local nodes."""
    with project() as made:
        made.configure(nodes)
        made.up()
        yield made


def _made(base: pathlib.Path) -> Project:
    home, state, folder = base / "home", base / "state", base / "project"
    for private in (home, home / "backend", home / "cache"):
        private.mkdir(mode=0o700)
    state.mkdir(mode=0o711)
    (folder / "stacks").mkdir(parents=True)
    for name in ("agent", "components", "policy", "jobs", ".venv", "__main__.py", "fabfile.py", "tasks"):
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "Pulumi.yaml", folder)
    (home / "passphrase").touch(mode=0o600)
    (home / "passphrase").write_text(secrets.token_hex(12))
    # What it takes to build the bundle is downloaded and zipped once a machine, not once a measurement.
    bundles = places.cache_dir() / "bundles"
    bundles.mkdir(parents=True, exist_ok=True, mode=0o700)
    (home / "cache/gaxx").mkdir(mode=0o700)
    (home / "cache/gaxx/bundles").symlink_to(bundles)
    made = Project(base, _environment(home, state))
    made.run("gaxx", "env")
    made.configure(1)
    made.run("pulumi", "stack", "init", STACK, "--non-interactive")
    made.run("pulumi", "stack", "select", STACK, "--non-interactive")
    return made


def _environment(home: pathlib.Path, state: pathlib.Path) -> dict[str, str]:
    user_cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
    return {
        "PATH": f"{ROOT / '.venv/bin'}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "USER": "bench",
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_STATE_HOME": str(home / "local-state"),
        "GAXX_STATE_DIR": str(state),
        "PULUMI_HOME": str(home / "pulumi"),
        "PULUMI_BACKEND_URL": f"file://{home / 'backend'}",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(home / "passphrase"),
        "PULUMI_SKIP_UPDATE_CHECK": "1",
        "PULUMI_DEBUG_COMMANDS": "true",  # makes --event-log known
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(user_cache / "uv")),
        **{name: os.environ[name] for name in _TRANSPORT if name in os.environ},
    }


def _kill(base: pathlib.Path) -> None:
    """End what a failed destroy left: processes whose environment or command line names this folder."""
    mark = f"{base}/state/nodes".encode()
    for folder in pathlib.Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):
                if mark in (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes():
                    os.kill(int(folder.name), 9)
