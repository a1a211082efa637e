#!/usr/bin/python3 -I
"""gaxx-enrol: the bootstrap user's only right. Installs nothing that the authority has not signed."""

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path
from subprocess import DEVNULL, PIPE, run
from typing import IO, Any, NoReturn

Json = dict[str, Any]
VERBS = "facts", "status", "bundle", "identity", "apply", "confirm"
# A local node's folder. Root never lets its environment say where "/" is.
ROOT = Path((os.environ.get("GAXX_ROOT") if os.geteuid() else "") or "/")
ETC = ROOT / "etc/gaxx"
STORE = ROOT / "opt/gaxx/bundles"
RESERVE = 1 << 23
STDIN = sys.stdin.buffer


class FaultError(Exception):
    """A text and an exit code."""


def fail(text: str, code: int = 1) -> NoReturn:
    """Code 2: it does not prove itself."""
    raise FaultError(text, code)


def read(path: Path) -> Json:
    """Empty when there is no file."""
    return json.loads(path.read_text()) if path.exists() else {}


def store() -> Path:
    """Local nodes share one."""
    folder = Path((read(ETC / "machine.json").get("bundleStore") if os.geteuid() else "") or STORE)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def need(count: int, folder: Path) -> None:
    """Check the free space."""
    free = shutil.disk_usage(folder).free
    if free < count:
        fail(f"disk full: needs {count} bytes, {free} free at {folder}", 28)


def cloud_init() -> str:
    """How far it is."""
    state = ROOT / "run/cloud-init"
    if (state / "result.json").exists():
        faults = read(state / "result.json")["v1"]["errors"]
        return f"error: {faults}" if faults else "done"
    if (state / "disabled").exists() or (ROOT / "etc/cloud/cloud-init.disabled").exists():
        return "disabled"
    return "running" if state.exists() else "none"


def facts() -> Json:
    """What enrolment needs to know."""
    folder = store()
    return {
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "architecture": os.uname().machine,
        "enrolled": (ETC / "enrolled").exists(),
        "manifestSerial": read(ETC / "manifest.json").get("serial", 0),
        "cloudInit": cloud_init(),
        "bundles": sorted(p.name for p in folder.iterdir() if p.name[0] != "."),
        "bundleStore": "" if folder == STORE else str(folder),
        "free_bytes": shutil.disk_usage(folder).free,
    }


def read_signature() -> bytes:
    """Length in 4 bytes, then the signature."""
    size = int.from_bytes(STDIN.read(4), "big")
    signature = STDIN.read(size) if size <= 1 << 14 else b""
    if len(signature) != size or not size:
        fail("no signature came first", 2)
    return signature


def verify(file: IO[bytes], signature: bytes, what: str) -> None:
    """Ask OpenSSH."""
    file.flush()
    file.seek(0)
    with tempfile.NamedTemporaryFile() as detached:
        detached.write(signature)
        detached.flush()
        command = ["ssh-keygen", "-Y", "verify", "-n", f"gaxx-{what}", "-I", "authority"]
        command += ["-s", detached.name, "-f", str(ETC / "authority.allowed_signers")]
        if run(command, stdin=file, capture_output=True, check=False).returncode:
            fail(f"the authority's signature of this {what} does not verify", 2)


def bundle(sha256: str, size: str = "0") -> Json:
    """All or nothing."""
    folder = store()
    fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_EX)
    if (folder / sha256).exists():
        return {"bundle": sha256, "installed": False}
    for stale in folder.glob(".new-*"):
        shutil.rmtree(stale)
    need(int(size) + RESERVE, folder)
    new = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
    try:
        receive(new / "bundle", sha256)
        with zipfile.ZipFile(new / "bundle") as archive:
            # Twice: compiled files come on top.
            need(sum(entry.file_size for entry in archive.infolist()) * 2 + RESERVE, folder)
        command = [sys.executable, "-I", str(new / "bundle"), "unpack", str(new / "tree")]
        done = run(command, stdin=DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            need(RESERVE, folder)
            fail(f"unpacking failed: {done.stderr.strip()[-300:]}")
        (new / "tree").rename(folder / sha256)
    finally:
        shutil.rmtree(new)
    return {"bundle": sha256, "installed": True}


def receive(path: Path, sha256: str) -> None:
    """From stdin, verified."""
    signature = read_signature()
    digest = hashlib.sha256()
    with path.open("w+b") as file:
        while chunk := STDIN.read(1 << 20):
            digest.update(chunk)
            file.write(chunk)
        if digest.hexdigest() != sha256:
            fail(f"the bundle's sha256 is {digest.hexdigest()}, not {sha256}", 2)
        verify(file, signature, "bundle")


def install(verb: str, sha256: str, data: bytes = b"") -> Json:
    """Run a verb of the bundle's installer."""
    folder = store() / sha256
    if not folder.is_dir():
        fail(f"no bundle {sha256} here")
    env = {name: os.environ[name] for name in ("GAXX_MACHINE", "PATH") if name in os.environ}
    env |= {"LANG": "C.UTF-8", "GAXX_ROOT": str(ROOT), "PYTHONPATH": str(folder)}
    command = [sys.executable, "-s", "-m", "agent.install", verb]
    done = run(command, input=data, stdout=PIPE, env=env, cwd=folder, check=False)
    try:
        answer: Json = json.loads(done.stdout)
    except ValueError:
        answer = {}
    if done.returncode:
        fail(answer.get("error") or f"{verb}: exit {done.returncode}", max(1, done.returncode))
    return answer


def apply(sha256: str) -> Json:
    """Install a signed, newer manifest for this node."""
    signature = read_signature()
    data = STDIN.read(1 << 26)
    with tempfile.TemporaryFile() as file:
        file.write(data)
        verify(file, signature, "manifest")
    fcntl.flock(os.open(ETC, os.O_RDONLY), fcntl.LOCK_EX)
    new = json.loads(data)
    old = read(ETC / "manifest.json")
    for known in read(ETC / "machine.json"), old:
        for name in "node", "machine":
            if known.get(name, new[name]) != new[name]:
                fail(f"the manifest is for {name} {new[name]}; this is {known[name]}", 2)
    if new["serial"] <= old.get("serial", 0):
        fail(f"the manifest's serial {new['serial']} is not above {old['serial']}: a replay", 2)
    if new["bundle"] != sha256:
        fail(f"the manifest is for bundle {new['bundle']}", 2)
    answer = install("apply", sha256, data)
    (ETC / "enrolled").touch()
    for other in store().iterdir() if store() == STORE else ():
        if other.name not in (sha256, old.get("bundle")):
            shutil.rmtree(other)
    return answer


def main() -> Json:
    """Do what is asked."""
    verb, *rest = sys.argv[1:] or [""]
    if verb not in VERBS:
        fail(f"usage: gaxx-enrol {'|'.join(VERBS)} [SHA256]")
    if verb == "facts":
        return facts()
    sha256 = rest[0] if rest else str(read(ETC / "manifest.json").get("bundle"))
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        fail("no bundle is in use")
    login = os.environ.get("SSH_USER_AUTH")
    if verb != "status" and (ETC / "enrolled").exists() and login and "-cert-v01@" not in Path(login).read_text():
        fail("this node is enrolled: its bootstrap key is used up", 2)
    if verb == "bundle":
        return bundle(*rest)
    if verb == "apply":
        return apply(sha256)
    return install(verb, sha256, STDIN.read(1 << 16) if verb == "identity" else b"")


if __name__ == "__main__":
    os.umask(0o022)
    code = 0
    try:
        result = main()
    except FaultError as fault:
        text, code = fault.args
        result = {"error": text}
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        result, code = {"error": f"disk full: {error}" if full else repr(error)}, 28 if full else 1
    json.dump(result, sys.stdout)
    sys.exit(code)
