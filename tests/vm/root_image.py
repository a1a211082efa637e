"""The image with a back door for tests: whoever works on the machine can have root execute a script.

What must not be on a machine is looked for by somebody from whom nothing is hidden, and what only root can do wrong
(kill the agent, set the clock) is done by root. Nothing else about the machine differs.
"""

import pathlib
import re
import subprocess

from tools.image.build import RELEASE
from tools.image.debian import MIRROR

DOOR = "/run/as-root"
"""A socket: what comes in is a script, what goes out is what the script says."""
# A shell for each caller, which leaves nothing that the next one, or the next boot, could meet.
_UNITS = {
    "as-root.socket": f"""\
[Socket]
ListenStream={DOOR}
SocketMode=0666
Accept=yes
[Install]
WantedBy=multi-user.target
""",
    "as-root@.service": """\
[Unit]
CollectMode=inactive-or-failed
[Service]
ExecStart=-/bin/sh
StandardInput=socket
StandardOutput=socket
StandardError=socket
""",
}


def make(image: pathlib.Path, target: pathlib.Path) -> None:
    """Make the folder `target`, an image like `image` with the back door in it."""
    target.mkdir(mode=0o755)
    raw = target / "disk.raw"
    _run("qemu-img", "convert", "-O", "raw", str(image / "disk.qcow2"), str(raw))
    folder = "/etc/systemd/system"
    commands = []
    for name, text in _UNITS.items():
        (target / name).write_text(text)
        commands.append(f"write {target / name} {folder}/{name}")
    commands.append(f"symlink {folder}/multi-user.target.wants/as-root.socket {folder}/as-root.socket")
    # Emulated, the security updates of a day take minutes that no test has.
    (target / "sources.list").write_text(f"deb {MIRROR} {RELEASE} main\n")
    commands += ["rm /etc/apt/sources.list", f"write {target}/sources.list /etc/apt/sources.list"]
    (target / "commands").write_text("".join(f"{command}\n" for command in commands))
    # It says what failed, and ends with 0 all the same.
    said = _run("debugfs", "-w", "-f", str(target / "commands"), str(raw))
    assert not re.search("rror|not found", said), said
    _run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(target / "disk.qcow2"))
    for path in target.iterdir():
        path.unlink() if path.name != "disk.qcow2" else path.chmod(0o644)
    for name in ("vmlinuz", "initrd.img"):
        (target / name).symlink_to(image / name)


def _run(*argv: str) -> str:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    return done.stdout + done.stderr.partition("\n")[2]
