"""`make demo`: a fleet by the real engine, real work spread over it, the picture, and everything gone again.

It uses a throw-away project folder, backend, passphrase and operator, so that nothing of the user's is touched; with
KEEP=1 it uses the user's own environment (`gaxx env`) and the stack `demo` of this clone, and leaves it up.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

ROOT = pathlib.Path(__file__).resolve().parents[1]
OUTPUT = ROOT / "demo-output"
STACK = "demo"
JOB = "mandelbrot"
_LINKED = ("agent", "components", "jobs", "policy", "tasks", ".venv", "__main__.py", "fabfile.py")
_WANTED = ("gaxx:index:LocalNode", "gaxx:index:Enrolment", "gaxx:index:Inventory")


class DemoError(Exception):
    """A step failed; its own words are on the screen already."""


@dataclasses.dataclass(slots=True)
class Demo:
    """One run: where it happens, and how long each phase took."""

    console: Console
    folder: pathlib.Path
    environment: dict[str, str]
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Announce a phase and take its time."""
        self.console.rule(f"[bold]{name}", align="left")
        start = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - start

    def _show(self, *argv: str) -> None:
        """Show a command as one would type it, in one line that can be copied."""
        self.console.print(f"$ {shlex.join(argv)}", style="dim", markup=False, soft_wrap=True)

    def run(self, *argv: str) -> None:
        """Run a command on this terminal."""
        self._show(*argv)
        if subprocess.run(argv, cwd=self.folder, env=self.environment, check=False).returncode:
            raise DemoError(argv[0])

    def quiet(self, *argv: str) -> str:
        """Run a command and return what it says; show it only when it fails."""
        done = subprocess.run(argv, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            self.console.print(done.stdout + done.stderr, markup=False)
            raise DemoError(argv[0])
        return done.stdout

    def engine(self, *argv: str) -> None:
        """Run the engine and show a line for each machine and enrolment as it is done."""
        self._show("pulumi", *argv)
        lines = []
        with subprocess.Popen(
            ["pulumi", *argv, "--non-interactive"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            for line in process.stdout or ():
                lines.append(line)
                words = line.split()
                done = [word for word in words if word in {"created", "deleted", "updated"}]
                if done and any(word in _WANTED for word in words):
                    at = words.index(done[0])
                    self.console.print(f"  {words[1].removeprefix('gaxx:index:'):<10} {words[at - 1]:<18} {done[0]}")
        if process.returncode:
            self.console.print("".join(lines), markup=False)
            raise DemoError(argv[0])


def main() -> int:
    """Run the demo; 0 when all of it worked and nothing is left, 1 otherwise."""
    console = Console(highlight=False)
    keep = os.environ.get("KEEP", "") not in {"", "0"}
    # A terminated demo cleans up like an interrupted one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        with _place(keep=keep) as (folder, environment):
            return _play(Demo(console, folder, environment), keep=keep)
    except DemoError as error:
        console.print(f"[bold red]The demo stopped at `{error}`.")
        return 1
    except KeyboardInterrupt:
        console.print("[bold red]Interrupted.")
        return 130


def _play(demo: Demo, *, keep: bool) -> int:
    try:
        with demo.phase("Declare: three machines by the Pulumi engine"):
            demo.quiet("pulumi", "stack", "select", "--create", STACK)
            demo.engine("up", "--yes", "--skip-preview", "--stack", STACK)
        with demo.phase("Ask every node"):
            demo.run("gaxx", "run", "--", "sh", "-c", "python3 --version; nproc")
        with demo.phase("Work: a picture in tiles, each on whichever node is free"):
            shutil.rmtree(OUTPUT, ignore_errors=True)
            demo.run("gaxx", "job", JOB, "--output", str(OUTPUT))
            picture = _assemble(demo)
    finally:
        left = [] if keep else _destroy(demo)
    _summary(demo, picture)
    if left:
        demo.console.print(f"[bold red]Left behind: {', '.join(left)}")
        return 1
    if keep:
        _say_next(demo)
    else:
        demo.console.print("Nothing of the fleet is left: no process, no listening port, no file, no key.")
    return 0


def _assemble(demo: Demo) -> pathlib.Path:
    picture = OUTPUT / "mandelbrot.png"
    demo.run(sys.executable, str(ROOT / "jobs" / JOB / "assemble.py"), str(OUTPUT), str(picture))
    return picture


def _destroy(demo: Demo) -> list[str]:
    """Destroy the stack, and return what is left nevertheless."""
    addresses = [node["address"] for node in _nodes(demo)]
    with demo.phase("Destroy"):
        demo.engine("destroy", "--yes", "--skip-preview", "--stack", STACK)
        demo.quiet("pulumi", "stack", "rm", "--yes", STACK)
    state = pathlib.Path(demo.environment["GAXX_STATE_DIR"]) / "nodes"
    left = [str(path) for path in state.rglob("*")]
    left += [f"port {address}" for address in addresses if _listens(address)]
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(state).encode() in (folder / "cmdline").read_bytes():
                left.append(f"process {folder.name}")
    return left


def _nodes(demo: Demo) -> list[dict[str, str]]:
    done = subprocess.run(
        ["gaxx", "ls", "--json", "--stack", STACK],
        cwd=demo.folder,
        env=demo.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def _listens(address: str) -> bool:
    # The kernel's own list: a connect could be answered by somebody who listens on all addresses.
    packed = "".join(f"{int(part):02X}" for part in reversed(address.split(".")))
    lines = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[1].startswith(f"{packed}:") and line.split()[3] == "0A" for line in lines)


def _summary(demo: Demo, picture: pathlib.Path) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    for name, seconds in demo.seconds.items():
        table.add_row(name, f"{seconds:.1f} s")
    demo.console.rule("[bold]Seconds", align="left")
    demo.console.print(table)
    demo.console.print(f"The picture: {picture}")


def _say_next(demo: Demo) -> None:
    demo.console.print(
        f"""
The fleet is up. Try, in {ROOT}:
  . .venv/bin/activate && eval "$(gaxx env)"
  gaxx status
  gaxx run -- uptime
  seq 100 | gaxx map -- sh -c 'echo "$GAXX_ITEM" | sha256sum'
  gaxx ssh demo-1
  pulumi destroy        # when you are done""",
        markup=False,
    )


@contextlib.contextmanager
def _place(*, keep: bool) -> Iterator[tuple[pathlib.Path, dict[str, str]]]:
    path = f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"
    if keep:
        environment = {**os.environ, "PATH": path}
        environment |= _exports(ROOT, environment)
        environment.setdefault("GAXX_STATE_DIR", str(_state_dir()))
        yield ROOT, environment
        return
    # Short, since sockets lie below it, and open to the account that runs root's nodes.
    base = pathlib.Path(tempfile.mkdtemp(prefix="gaxx-demo-", dir="/tmp"))
    base.chmod(0o711)
    try:
        yield _throw_away(base, path)
    finally:
        shutil.rmtree(base)


def _throw_away(base: pathlib.Path, path: str) -> tuple[pathlib.Path, dict[str, str]]:
    folder, private, state = base / "project", base / "private", base / "state"
    (folder / "stacks").mkdir(parents=True)
    private.mkdir(mode=0o700)
    state.mkdir(mode=0o711)
    for name in _LINKED:
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "Pulumi.yaml", folder)
    shutil.copy(ROOT / "stacks" / f"Pulumi.{STACK}.yaml", folder / "stacks")
    foreign = ("PULUMI_", "GAXX_")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(foreign)},
        "PATH": path,
        "XDG_CONFIG_HOME": str(private / "config"),
        "XDG_STATE_HOME": str(private / "state"),
        "GAXX_STATE_DIR": str(state),
        "PULUMI_HOME": str(private / "pulumi"),
        "PULUMI_BACKEND_URL": f"file://{private / 'backend'}",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(private / "passphrase"),
        "PULUMI_SKIP_UPDATE_CHECK": "1",
    }
    (private / "backend").mkdir(mode=0o700)
    passphrase = private / "passphrase"
    passphrase.touch(mode=0o600)
    passphrase.write_text(os.urandom(16).hex())
    _exports(folder, environment)
    return folder, environment


def _exports(folder: pathlib.Path, environment: dict[str, str]) -> dict[str, str]:
    """What `gaxx env` prints, as a mapping; it also makes the operator's keys."""
    done = subprocess.run(
        ["gaxx", "env", "--json"], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        step = "gaxx env"
        raise DemoError(step)
    exports: dict[str, str] = json.loads(done.stdout)
    return exports


def _state_dir() -> pathlib.Path:
    sys.path.insert(0, str(ROOT))
    from components.places import state_dir

    return state_dir()


if __name__ == "__main__":
    sys.exit(main())
