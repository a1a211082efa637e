"""debootstrap -> what a cloud image has beyond it -> an ext4 file system in a qcow2 file, and its kernel beside it.

The image lies under a name that is the digest of all that it is made from (packages, files, release), so that a
changed recipe is another image, and an unchanged one is never built twice. Building needs root.
"""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from components.places import image_folder
from tools.machine import Need, install

NAME = "debian-12"
"""As stack files call it."""
RELEASE = "bookworm"
PACKAGES = (
    "linux-image-cloud-amd64",
    "systemd-sysv",
    "cloud-init",
    "openssh-server",
    "python3",
    "python3-cffi-backend",
    "nftables",
    "iproute2",
    "netbase",
    "sudo",
    "dbus",
    "ifupdown",
    "isc-dhcp-client",
    "udev",
    "kmod",
    "procps",
    "systemd-timesyncd",
)
DISK_MIB = 3072
MIRROR = "http://deb.debian.org/debian"
MASKED = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "systemd-networkd-wait-online.service",
)
"""What a machine that lives for an hour does not need, and waits for or computes while it boots."""
# Of cloud-init's modules those that a machine of ours has something for: each costs seconds under emulation.
_CLOUD_CFG = """\
datasource_list: [NoCloud, None]
locale: false
cloud_init_modules: [bootcmd, write-files, growpart, resizefs, set_hostname, update_hostname, users-groups, ssh]
cloud_config_modules: [runcmd, package-update-upgrade-install]
cloud_final_modules: [scripts-user, final-message]
"""
FILES = {
    "etc/fstab": "/dev/vda / ext4 defaults,discard 0 1\n",
    "etc/hostname": "node\n",
    "etc/cloud/cloud.cfg.d/90-gaxx.cfg": _CLOUD_CFG,
    "etc/network/interfaces": "auto lo\niface lo inet loopback\nsource /etc/network/interfaces.d/*\n",
    # cloud-init's own waiting and key scan take longer under emulation than all else.
    "etc/apt/apt.conf.d/90-gaxx": 'APT::Install-Recommends "false";\n',
}
NEEDS = (
    Need("debootstrap", command="debootstrap"),
    Need("e2fsprogs", command="mkfs.ext4"),
    Need("genisoimage", command="genisoimage"),
    Need("qemu-system-x86", command="qemu-system-x86_64"),
    Need("qemu-utils", command="qemu-img"),
)
"""What building an image and booting a machine from it take beyond a set-up clone."""


class ImageError(Exception):
    """The image could not be built; one line."""


def digest() -> str:
    """Of all that the image is made from."""
    recipe = json.dumps([RELEASE, PACKAGES, DISK_MIB, MASKED, FILES], sort_keys=True)
    return hashlib.sha256(recipe.encode()).hexdigest()[:16]


def build() -> pathlib.Path:
    """Build the image unless it is there; return its folder. Raise ImageError, MachineError without its tools."""
    missing = [need for need in NEEDS if not need.met()]
    if missing:
        install(missing)
    target = image_folder(NAME)
    # Written last, and the folder appears as a whole.
    recipe = target / "recipe"
    if recipe.exists() and recipe.read_text() == digest():
        return target
    if os.geteuid() != 0:
        message = "debootstrap needs root; run `make image` as root, or put a cloud image's path into the stack file"
        raise ImageError(message)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=target.parent) as work:
        folder = pathlib.Path(work)
        folder.chmod(0o755)
        root = folder / "root"
        _say(f"installing Debian {RELEASE} ({len(PACKAGES)} packages and what they need); a few minutes")
        include = ",".join(PACKAGES)
        _run("debootstrap", "--variant=minbase", f"--include={include}", RELEASE, str(root), MIRROR)
        _furnish(root)
        made = folder / "made"
        made.mkdir(mode=0o755)
        for name in ("vmlinuz", "initrd.img"):
            shutil.copyfile(_inside(root, name), made / name)
        _say("writing the file system")
        raw = folder / "disk.raw"
        with raw.open("wb") as file:
            file.truncate(DISK_MIB << 20)
        _run("mkfs.ext4", "-q", "-F", "-L", "root", "-d", str(root), str(raw))
        _run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(made / "disk.qcow2"))
        (made / "recipe").write_text(digest())
        for path in made.iterdir():
            path.chmod(0o644)
        if target.exists():
            shutil.rmtree(target)
        made.rename(target)
        shutil.rmtree(root)
    return target


def _inside(root: pathlib.Path, link: str) -> pathlib.Path:
    # The kernel package leaves links there; an absolute one would lead out of the image.
    return root / (root / link).readlink().as_posix().lstrip("/")


def _furnish(root: pathlib.Path) -> None:
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for unit in MASKED:
        link = root / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    (root / "etc/machine-id").write_text("")
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    shutil.rmtree(root / "var/cache/apt/archives")
    (root / "var/cache/apt/archives/partial").mkdir(parents=True)


def _run(*argv: str) -> None:
    done = subprocess.run(argv, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()
        message = f"{argv[0]} failed: {words[-1] if words else f'exit {done.returncode}'}"
        raise ImageError(message)


def _say(text: str) -> None:
    sys.stderr.write(f"gaxx: image: {text}\n")
