"""The virtual environment of a clone, made from uv.lock by uv."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib

OLDEST_UV = (0, 9)
"""The first that reads this project's lock file and dependency groups as they are written."""

OLDEST_PYTHON = (3, 11)


class VenvError(Exception):
    """The environment could not be made; one line."""


def sync(root: pathlib.Path) -> None:
    """Bring `root`/.venv to what uv.lock says. Raises VenvError."""
    venv = root / ".venv"
    python = venv / "bin" / "python"
    if venv.exists() and not _usable(python):
        sys.stderr.write(f"gaxx: {venv} has no Python that runs and is {_dotted(OLDEST_PYTHON)} or newer: made anew\n")
        shutil.rmtree(venv)
    uv = _uv(venv)
    if uv is None:
        uv = _install_uv(root, venv)
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    environment |= {
        "UV_NO_PROGRESS": "1",
        "UV_PROJECT_ENVIRONMENT": str(venv),
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_SYSTEM_CERTS": "1",  # what this machine trusts, which may include a company's own proxy
    }
    argv = [uv, "sync", "--frozen", "--no-config"]
    if not venv.exists():
        argv += ["--python", interpreter()]
    sys.stderr.write("gaxx: .venv: uv sync\n")
    # Its words are for the person, and stdout is data.
    answer = subprocess.run(argv, check=False, cwd=root, env=environment, stdout=sys.stderr)
    if answer.returncode != 0:
        message = f"uv sync failed with exit code {answer.returncode}; its words are above"
        raise VenvError(message)


def interpreter() -> str:
    """The Python that a new environment is made of; for root one that other accounts may run too, if there is any.

    Root's local nodes run as another account, and what is bundled for them fits one Python version.
    """
    own = os.path.realpath(sys.executable)
    if os.geteuid() != 0 or _open_to_all(own):
        return own
    system = "/usr/bin/python3"
    return system if _usable(pathlib.Path(system)) else own


def _open_to_all(path: str) -> bool:
    return all(part.stat().st_mode & 0o001 for part in (pathlib.Path(path), *pathlib.Path(path).parents))


def _usable(python: pathlib.Path) -> bool:
    try:
        answer = subprocess.run(
            (str(python), "-I", "-c", "import sys; print(*sys.version_info[:2])"),
            check=False,
            capture_output=True,
            text=True,
        )
    except OSError:
        return False
    return answer.returncode == 0 and tuple(map(int, answer.stdout.split())) >= OLDEST_PYTHON


def _uv(venv: pathlib.Path) -> str | None:
    """A uv that is new enough: the environment's own, else the one on PATH."""
    for name in (str(venv / "bin" / "uv"), shutil.which("uv")):
        if name is None or not pathlib.Path(name).exists():
            continue
        answer = subprocess.run((name, "--version"), check=False, capture_output=True, text=True)
        match = re.search(r"uv (\d+)\.(\d+)", answer.stdout)
        if answer.returncode == 0 and match and (int(match[1]), int(match[2])) >= OLDEST_UV:
            return name
    return None


def _install_uv(root: pathlib.Path, venv: pathlib.Path) -> str:
    """Put the uv that the lock file names into the environment that it then fills."""
    lock = tomllib.loads((root / "uv.lock").read_text())
    version = next(package["version"] for package in lock["package"] if package["name"] == "uv")
    sys.stderr.write(f"gaxx: .venv: uv {version}\n")
    _run(interpreter(), "-m", "venv", str(venv))
    _run(str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", f"uv=={version}")
    return str(venv / "bin" / "uv")


def _run(*argv: str) -> None:
    answer = subprocess.run(argv, check=False, capture_output=True, text=True)
    if answer.returncode != 0:
        words = (answer.stderr or answer.stdout).strip().splitlines()[-1:] or [f"exit code {answer.returncode}"]
        message = f"{' '.join(argv[:4])} failed: {words[0]}"
        raise VenvError(message)


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
