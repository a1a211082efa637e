"""debootstrap -> what a cloud image has beyond it -> an ext4 file system in a qcow2 file, and its kernel beside it.

A changed recipe (packages, files, release) is another image, and an unchanged one is never built twice. Takes root.
"""

import pathlib
import shutil

from components.places import image_folder
from tools.image import debian
from tools.image.debian import MIRROR, bootstrap, digest, is_made, made_whole, require, run, say
from tools.machine import Need

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
    "unattended-upgrades",
)
DISK_MIB = 3072
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
    "etc/apt/sources.list": f"deb {MIRROR} {RELEASE} main\ndeb {MIRROR}-security {RELEASE}-security main\n",
    "etc/cloud/cloud.cfg.d/90-gaxx.cfg": _CLOUD_CFG,
    "etc/network/interfaces": "auto lo\niface lo inet loopback\nsource /etc/network/interfaces.d/*\n",
    # cloud-init's own waiting and key scan take longer under emulation than all else.
    "etc/apt/apt.conf.d/90-gaxx": 'APT::Install-Recommends "false";\n',
}
NEEDS = (
    *debian.NEEDS,
    Need("e2fsprogs", command="mkfs.ext4"),
    Need("genisoimage", command="genisoimage"),
    Need("qemu-system-x86", command="qemu-system-x86_64"),
    Need("qemu-utils", command="qemu-img"),
)
"""What building an image and booting a machine from it take beyond a set-up clone."""


def recipe() -> str:
    """The digest of all that the image is made from."""
    return digest(RELEASE, PACKAGES, DISK_MIB, MASKED, FILES)


def build() -> pathlib.Path:
    """Build the image unless it is there; return its folder. Raise ImageError, MachineError without its tools."""
    require(NEEDS)
    target = image_folder(NAME)
    if is_made(target, recipe()):
        return target
    with made_whole(target, recipe()) as made:
        root = made.parent / "root"
        bootstrap(root, RELEASE, PACKAGES)
        _furnish(root)
        for name in ("vmlinuz", "initrd.img"):
            shutil.copyfile(_inside(root, name), made / name)
        say("writing the file system")
        raw = made.parent / "disk.raw"
        with raw.open("wb") as file:
            file.truncate(DISK_MIB << 20)
        run("mkfs.ext4", "-q", "-F", "-L", "root", "-d", str(root), str(raw))
        run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(made / "disk.qcow2"))
        for path in made.iterdir():
            path.chmod(0o644)
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
