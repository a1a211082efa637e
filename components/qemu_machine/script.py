"""What runs as the account of a virtual machine: disk, seed, start, power off. Only the standard library, none of ours.

The request comes as JSON on standard input, the answer goes out as JSON on standard output (account_script).
Removing is the local cloud's: it finds QEMU by the machine's folder on its command line.
"""

import json
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from typing import Any

QEMU = "qemu-system-x86_64"
KVM_LIMIT_S = 5.0
ROM_BYTES = 64 * 1024
# mov al, 0; out 0xf4, al; hlt: at the reset vector, the last sixteen bytes of the ROM.
ROM_CODE = b"\xb0\x00\xe6\xf4\xf4"
QCOW2_MAGIC = b"QFI\xfb"
ENDED_BY_GUEST = 1  # isa-debug-exit: twice the byte that was written, plus one


class ScriptError(Exception):
    """What went wrong, for a person."""


def main() -> None:
    """Answer one request."""
    request = json.load(sys.stdin)
    verbs = {"accelerate": accelerate, "boot": boot, "shut-down": shut_down, "look": look}
    try:
        answer = verbs[request["verb"]](request)
    except ScriptError as error:
        answer = {"error": str(error)}
    except OSError as error:
        answer = {"error": f"{error.strerror}: {error.filename or request['root']}"}
    json.dump(answer, sys.stdout)


def accelerate(request: dict[str, Any]) -> dict[str, Any]:
    """Whether KVM works for us: it may open and its guests hang, so a guest of five bytes must come to its end."""
    del request
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return {"kvm": False}
    with tempfile.NamedTemporaryFile() as rom:
        rom.write(bytes(ROM_BYTES - 16) + ROM_CODE.ljust(16, b"\xf4"))
        rom.flush()
        # With processor and machine as ours have them: it is those that a half-working KVM trips over.
        argv = [QEMU, "-accel", "kvm", "-cpu", "host", "-machine", "q35", "-smp", "2", "-m", "64"]
        argv += ["-nodefaults", "-display", "none"]
        argv += ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04", "-bios", rom.name]
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=KVM_LIMIT_S, check=False)
        except FileNotFoundError as error:
            message = f"{QEMU} is missing: install qemu-system-x86 and qemu-utils"
            raise ScriptError(message) from error
        except subprocess.TimeoutExpired:
            return {"kvm": False}
    return {"kvm": done.returncode == ENDED_BY_GUEST}


def boot(request: dict[str, Any]) -> dict[str, Any]:
    """Make what is not there yet and start QEMU; asked again, only start what does not run."""
    root = pathlib.Path(request["root"])
    for name in request["files"]:
        check_readable(pathlib.Path(name))
    if not (root / "machine.json").exists():
        size = max(request["diskBytes"], disk_size(request["image"]))
        if root.exists():
            shutil.rmtree(root)
        (root / "seed").mkdir(parents=True, mode=0o700)
        for name, text in request["seed"].items():
            _write(root / "seed" / name, text)
        _run("genisoimage", "-quiet", "-output", "seed.iso", "-volid", "cidata", "-joliet", "-rock",
             *(f"seed/{name}" for name in request["seed"]), folder=root)  # fmt: skip
        shutil.rmtree(root / "seed")
        _run("qemu-img", "create", "-q", "-f", "qcow2", "-b", request["image"], "-F", "qcow2",
             "disk.qcow2", str(size), folder=root)  # fmt: skip
        # The marker comes last: a machine whose making was interrupted is made anew.
        _write(root / "machine.json", json.dumps(request["marker"], sort_keys=True))
    if _pid(root):
        return {"started": False}
    _run(*request["argv"], folder=root)
    return {"started": True}


def check_readable(path: pathlib.Path) -> None:
    """Raise ScriptError unless we may read a file of the image: whoever named it may be somebody else."""
    try:
        with path.open("rb"):
            return
    except PermissionError as error:
        closed = next((str(folder) for folder in reversed(path.parents) if not os.access(folder, os.X_OK)), str(path))
        who = pwd.getpwuid(os.geteuid()).pw_name
        message = f"the account {who}, which runs machines, cannot read the image {path}: {closed} is closed to it; "
        message += "open it (chmod o+x folders, chmod o+r files), or put the image elsewhere"
        raise ScriptError(message) from error
    except FileNotFoundError as error:
        message = f"the image has no {path}: the file is gone"
        raise ScriptError(message) from error


def disk_size(image: str) -> int:
    """The bytes of an image's disk as a machine sees it; raise ScriptError where it is none that stands alone."""
    with pathlib.Path(image).open("rb") as file:
        if file.read(len(QCOW2_MAGIC)) != QCOW2_MAGIC:
            message = f"{image} is no qcow2; `qemu-img convert -O qcow2` makes one of another format"
            raise ScriptError(message)
    said = json.loads(_run("qemu-img", "info", "--output=json", "-f", "qcow2", image, folder=pathlib.Path("/")))
    others = said.get("backing-filename") or said.get("format-specific", {}).get("data", {}).get("data-file")
    if others:
        # Such an image shows a machine whatever file of this computer it names.
        message = f"{image} is not whole, the rest is in {others}; `qemu-img convert -O qcow2` makes one that is"
        raise ScriptError(message)
    return int(said["virtual-size"])


def shut_down(request: dict[str, Any]) -> dict[str, Any]:
    """Press the power button, as QEMU's monitor does it; return whether somebody was there to press it for."""
    root = pathlib.Path(request["root"])
    if not _pid(root):
        return {"pressed": False}
    # A socket's name ends at 107 bytes, a machine's folder may be longer.
    os.chdir(root)
    try:
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.settimeout(5)
            monitor.connect("monitor.sock")
            talk = monitor.makefile("rwb")
            talk.readline()
            for command in ("qmp_capabilities", "system_powerdown"):
                talk.write(json.dumps({"execute": command}).encode() + b"\n")
                talk.flush()
                talk.readline()
    except OSError:
        return {"pressed": False}
    return {"pressed": True}


def look(request: dict[str, Any]) -> dict[str, Any]:
    """Whether QEMU runs, and what the machine's console said last."""
    root = pathlib.Path(request["root"])
    log = root / "serial.log"
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return {"running": bool(_pid(root)), "serial": [line.strip() for line in lines[-200:] if line.strip()][-3:]}


def _pid(root: pathlib.Path) -> int:
    try:
        pid = int((root / "qemu.pid").read_text())
        command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return 0
    return pid if f"{root}/".encode() in command else 0


def _run(*argv: str, folder: pathlib.Path) -> str:
    try:
        done = subprocess.run(
            argv, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=50, check=False
        )
    except FileNotFoundError as error:
        message = f"{argv[0]} is missing: install {request_package(argv[0])}"
        raise ScriptError(message) from error
    if done.returncode != 0:
        words = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
        message = f"{argv[0]}: {words[-1]}"
        raise ScriptError(message)
    return done.stdout


def request_package(program: str) -> str:
    """The Debian package of a program that is missing."""
    return {"genisoimage": "genisoimage", "qemu-img": "qemu-utils"}.get(program, "qemu-system-x86")


def _write(path: pathlib.Path, content: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)


if __name__ == "__main__":
    main()
