"""The agent as one file: its sources and its few locked dependencies, for one Python on one architecture.

A node needs neither the internet nor pip to run it. The same sources give the same bytes, wherever they are
built, so the sha256 names the bundle in manifests, in the node's folders and in the inventory.
"""

import contextlib
import dataclasses
import fcntl
import functools
import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import typing
import zipfile
from collections.abc import Iterator

from components.errors import GaxxError

PLATFORMS = {"x86_64": "x86_64-manylinux_2_28", "aarch64": "aarch64-manylinux_2_28"}
"""By what `uname -m` says on the node; glibc 2.28 is older than every supported image."""

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_GROUP = "agent"
_FORMAT = "1"
_PYTHON = re.compile(r"3\.(\d+)")
_OLDEST_MINOR = 11
# The oldest date that a zip file can hold.
_TIMESTAMP = (1980, 1, 1, 0, 0, 0)
_FILE_MODE = 0o100644
_LEVEL = 6
"""Three times as fast as the highest one, for a file that is half a percent larger: somebody waits for it."""
_LEFT_OUT_FOLDERS = frozenset({"__pycache__", "bin", "test", "tests"})
_LEFT_OUT_SUFFIXES = frozenset({".pyi", ".pyc", ".proto", ".pxd", ".pyx", ".c", ".h"})
_LEFT_OUT_NAMES = frozenset({"RECORD", "INSTALLER", "REQUESTED", "WHEEL", "uv_cache.json", "direct_url.json"})
_UV_LIMIT_S = 600.0


@dataclasses.dataclass(frozen=True, slots=True)
class Bundle:
    """A built bundle."""

    path: pathlib.Path
    sha256: str
    """Hex, of the file."""


def build(python_version: str, architecture: str, cache: pathlib.Path, *, root: pathlib.Path = _ROOT) -> Bundle:
    """Build the bundle for a node's Python ("3.11") and `uname -m`, or take it from `cache`.

    Concurrent builds of the same bundle wait for the first. Blocking: seconds, or minutes when wheels have to be
    fetched. Raises GaxxError.
    """
    match = _PYTHON.fullmatch(python_version)
    if match is None or int(match.group(1)) < _OLDEST_MINOR:
        message = f"no agent for Python {python_version}; 3.{_OLDEST_MINOR} and newer are supported"
        raise GaxxError(message, hint="choose an image with Debian 12, Debian 13 or Ubuntu 24.04")
    if architecture not in PLATFORMS:
        message = f"no agent for the architecture {architecture}; {' and '.join(PLATFORMS)} are supported"
        raise GaxxError(message)
    key = _sha256(f"{source_digest(root)}|{python_version}|{architecture}".encode())[:24]
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(cache / f"{key}.lock"):
        return _cached(cache, key) or _built(python_version, architecture, cache, key, root)


def source_digest(root: pathlib.Path = _ROOT) -> str:
    """Hex sha256 of all that goes into a bundle, the same for every Python and architecture. Takes milliseconds."""
    digest = hashlib.sha256(_FORMAT.encode())
    digest.update(_locked_packages((root / "uv.lock").read_bytes()))
    for name, path in _sources(root):
        digest.update(f"\0{name}\0{_sha256(path.read_bytes())}".encode())
    return digest.hexdigest()


def _built(python_version: str, architecture: str, cache: pathlib.Path, key: str, root: pathlib.Path) -> Bundle:
    with tempfile.TemporaryDirectory(prefix="building-", dir=cache) as folder:
        packages = pathlib.Path(folder, "packages")
        requirements = pathlib.Path(folder, "requirements.txt")
        export = ["export", "--frozen", "--only-group", _GROUP, "--no-emit-project", "--format", "requirements-txt"]
        requirements.write_text(_uv([*export, "--no-header", "--no-annotate"], root))
        install = ["pip", "install", "--target", str(packages), "--python", sys.executable]
        install += ["--python-version", python_version, "--python-platform", PLATFORMS[architecture]]
        install += ["--only-binary", ":all:", "--require-hashes", "--no-deps", "-r", str(requirements)]
        _uv(install, pathlib.Path(folder))
        zipped = pathlib.Path(folder, "bundle.zip")
        _write_zip(zipped, {**dict(_tree(packages, packages)), **dict(_sources(root))})
        sha256 = _sha256(zipped.read_bytes())
        # One key has one file: what an older and damaged one leaves is of no use.
        for old in cache.glob(f"{key}-*.zip"):
            old.unlink()
        path = cache / f"{key}-{sha256}.zip"
        zipped.replace(path)
    return Bundle(path, sha256)


def _cached(cache: pathlib.Path, key: str) -> Bundle | None:
    for path in cache.glob(f"{key}-*.zip"):
        sha256 = path.stem.rpartition("-")[2]
        if _sha256(path.read_bytes()) == sha256:
            return Bundle(path, sha256)
    return None


def _write_zip(path: pathlib.Path, files: dict[str, pathlib.Path]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _TIMESTAMP)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = _FILE_MODE << 16
            archive.writestr(entry, files[name].read_bytes(), compresslevel=_LEVEL)


def _sources(root: pathlib.Path) -> Iterator[tuple[str, pathlib.Path]]:
    yield "__main__.py", root / "components" / "bundle_unpack.py"
    yield from _tree(root / "agent", root)


def _tree(folder: pathlib.Path, base: pathlib.Path) -> Iterator[tuple[str, pathlib.Path]]:
    """The files that travel, with their names inside the bundle, in one order."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(base)
        left_out = (
            path.suffix in _LEFT_OUT_SUFFIXES
            or path.name in _LEFT_OUT_NAMES
            or any(part in _LEFT_OUT_FOLDERS or part.startswith(".") for part in name.parts)
        )
        if path.is_file() and not left_out:
            yield name.as_posix(), path


@functools.lru_cache(maxsize=4)
def _locked_packages(lock: bytes) -> bytes:
    """The lock's entries of the group and of all that it needs: other groups may change without a new agent."""
    packages: dict[str, list[dict[str, typing.Any]]] = {}
    wanted: list[str] = []
    for package in tomllib.loads(lock.decode())["package"]:
        packages.setdefault(package["name"], []).append(package)
        wanted += [entry["name"] for entry in package.get("dev-dependencies", {}).get(_GROUP, ())]
    found: dict[str, list[dict[str, typing.Any]]] = {}
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = packages[name]
            wanted += [entry["name"] for package in packages[name] for entry in package.get("dependencies", ())]
    return json.dumps(found, sort_keys=True, default=str).encode()


def _uv(arguments: list[str], folder: pathlib.Path) -> str:
    beside = pathlib.Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        message = f"uv is missing: neither {beside} nor on PATH"
        raise GaxxError(message, hint="make setup")
    try:
        done = subprocess.run(
            # What this machine trusts, which may include a company's own proxy.
            [uv, "--quiet", "--no-progress", "--system-certs", *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_UV_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        message = f"the agent cannot be built: uv took longer than {_UV_LIMIT_S:.0f} s"
        raise GaxxError(message) from error
    if done.returncode:
        words = " ".join(done.stderr.split())
        message = f"the agent cannot be built: {words[-500:]}"
        raise GaxxError(message)
    return done.stdout


@contextlib.contextmanager
def _locked(path: pathlib.Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
