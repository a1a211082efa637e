"""An image as vendors publish them: one file, which boots by a loader of its own."""

import pathlib
import subprocess

import pytest

from components.places import image_folder
from tests.stack.project import new_project
from tests.vm import hypervisor
from tools.machine import Need, install

pytestmark = [pytest.mark.vm, pytest.mark.soak, pytest.mark.timeout(1800)]

NEEDS = (
    Need("dosfstools", command="mkfs.vfat"),
    Need("mtools", command="mcopy"),
    Need("syslinux", command="syslinux"),
    Need("syslinux-common", file="/usr/lib/syslinux/mbr/mbr.bin"),
)
# Here: a test has folders of its own.
PARTS = image_folder("debian-12")
MIB = 1 << 20
BOOT_MIB = 64
# Nothing tells it where its user-data is: cloud-init finds the seed by its label.
LOADER = """\
DEFAULT linux
LABEL linux
LINUX /vmlinuz
INITRD /initrd.img
APPEND root=/dev/vda2 rw console=ttyS0 net.ifnames=0 quiet
"""


def run(*argv: str, stdin: str = "") -> str:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    return done.stdout


def make(target: pathlib.Path) -> None:
    """Put the image `debian-12` behind a boot sector, a loader and a partition table: a qcow2 file at `target`."""
    folder = target.parent
    root = folder / "root.raw"
    run("qemu-img", "convert", "-O", "raw", str(PARTS / "disk.qcow2"), str(root))
    (folder / "fstab").write_text("/dev/vda2 / ext4 defaults,discard 0 1\n")
    (folder / "commands").write_text(f"rm /etc/fstab\nwrite {folder}/fstab /etc/fstab\n")
    run("debugfs", "-w", "-f", str(folder / "commands"), str(root))
    boot = folder / "boot.raw"
    with boot.open("wb") as file:
        file.truncate(BOOT_MIB * MIB)
    run("mkfs.vfat", str(boot))
    (folder / "syslinux.cfg").write_text(LOADER)
    files = (folder / "syslinux.cfg", PARTS / "vmlinuz", PARTS / "initrd.img")
    run("mcopy", "-i", str(boot), *map(str, files), "::")
    run("syslinux", "--install", str(boot))
    disk = folder / "disk.raw"
    with disk.open("wb") as file:
        file.truncate((1 + BOOT_MIB + 1) * MIB + root.stat().st_size)
    table = f"label: dos\nstart=1MiB, size={BOOT_MIB}MiB, type=c, bootable\nstart={1 + BOOT_MIB}MiB, type=83\n"
    run("sfdisk", "--quiet", str(disk), stdin=table)
    for part, at_mib in ((boot, 1), (root, 1 + BOOT_MIB)):
        run("dd", f"if={part}", f"of={disk}", "bs=1M", f"seek={at_mib}", "conv=notrunc,sparse", "status=none")
    run("dd", "if=/usr/lib/syslinux/mbr/mbr.bin", f"of={disk}", "bs=440", "count=1", "conv=notrunc", "status=none")
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(disk), str(target))


def test_a_disk_that_boots_by_itself_becomes_a_node(tmp_path: pathlib.Path) -> None:
    install([need for need in NEEDS if not need.met()])
    bundles = tmp_path / "bundles"
    bundles.mkdir()
    with new_project(bundles) as project:
        folder = pathlib.Path(project.environment["GAXX_STATE_DIR"]) / "vendor"
        folder.mkdir(mode=0o755)
        image = folder / "debian-12-generic.qcow2"
        make(image)
        for path in folder.iterdir():
            path.chmod(0o644) if path == image else path.unlink()
        project.create("demo", {"fleets": [{"name": "demo", "cloud": "qemu", "nodes": 1, "image": str(image)}]})
        project.up(limit_s=1200)

        (node,) = project.inventory().nodes
        started = pathlib.Path(f"/proc/{hypervisor.pid(project, node)}/cmdline").read_text()
        assert "-kernel" not in started.split("\0")
        assert "vda2" in project.gaxx("run", "--", "findmnt", "-no", "SOURCE", "/").stdout
        project.gaxx("status", "--exposure")
