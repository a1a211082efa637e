"""What a machine boots from: images by name and by path, QEMU's command line, and who may read them."""

import json
import os
import pathlib
import shutil
import subprocess
import typing

import pytest

from components import account_script
from components.errors import ImageError, NodeError
from components.local_machine.machine import Machine
from components.places import image_folder, local_account
from components.qemu_machine import images, machine
from components.qemu_machine.images import Image, find
from components.qemu_machine.machine import BootRequest, command_line

MIB = 1024 * 1024


def nobody(words: str) -> None:
    """Hears of the progress."""


def fill(folder: pathlib.Path, *parts: str) -> pathlib.Path:
    """Make an image's folder."""
    folder.mkdir(parents=True)
    for part in parts or images.PARTS:
        (folder / part).write_bytes(b"x")
    return folder


def test_a_name_is_a_folder_of_parts_below_the_image_folder() -> None:
    folder = fill(image_folder("debian-12"))
    assert find("debian-12", nobody) == Image(*(folder / part for part in images.PARTS))


def test_a_name_that_is_not_there_says_how_to_build_it() -> None:
    with pytest.raises(ImageError, match=r"debian-12 is not on this computer \(/.*\); run `make image`"):
        find("debian-12", nobody)


def test_a_path_is_such_a_folder_or_a_disk_with_a_boot_loader_of_its_own(tmp_path: pathlib.Path) -> None:
    folder = fill(tmp_path / "debian-12")
    assert find(str(folder), nobody) == Image(*(folder / part for part in images.PARTS))
    assert find(str(folder / "disk.qcow2"), nobody) == Image(folder / "disk.qcow2")


def test_a_folder_that_lacks_parts_is_told_which(tmp_path: pathlib.Path) -> None:
    folder = fill(tmp_path / "debian-12", "disk.qcow2")
    with pytest.raises(ImageError, match=r"debian-12 has no vmlinuz and no initrd\.img; it holds disk\.qcow2, vmlinuz"):
        find(str(folder), nobody)


def test_a_path_where_nothing_is_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ImageError, match=r"/none-12\.qcow2 is not on this computer; put it there"):
        find(f"{tmp_path}/none-12.qcow2", nobody)


def test_what_the_settings_refuse_is_refused_here_too() -> None:
    with pytest.raises(ImageError, match="is not pinned; with #sha256="):
        find("https://example.org/debian-12.qcow2", nobody)


@pytest.fixture
def boots(monkeypatch: pytest.MonkeyPatch) -> typing.Callable[[Image], list[str]]:
    """QEMU's command line for an image; whether KVM works is not the question here."""
    monkeypatch.setattr(machine, "_accelerator", lambda node: ("-accel", node))

    def of(image: Image) -> list[str]:
        request = BootRequest("127.3.4.5", "#cloud-config\n", "0" * 64, "2026-01-01T00:00:00+00:00", image, MIB, 2)
        return command_line(Machine.of("key", "demo-1", "0a"), request)

    return of


def test_an_image_of_parts_is_booted_by_its_kernel(boots: typing.Callable[[Image], list[str]]) -> None:
    argv = boots(Image(pathlib.Path("/i/disk.qcow2"), pathlib.Path("/i/vmlinuz"), pathlib.Path("/i/initrd.img")))
    assert argv[argv.index("-kernel") + 1] == "/i/vmlinuz"
    assert argv[argv.index("-initrd") + 1] == "/i/initrd.img"
    assert "ds=nocloud" in argv[argv.index("-append") + 1]
    assert "-boot" not in argv


def test_a_disk_with_a_boot_loader_is_booted_by_it(boots: typing.Callable[[Image], list[str]]) -> None:
    argv = boots(Image(pathlib.Path("/i/cloud.qcow2")))
    assert not {"-kernel", "-initrd", "-append"} & set(argv)
    assert argv[argv.index("-boot") + 1] == "order=c"
    drives = [argv[index + 1] for index, word in enumerate(argv) if word == "-drive"]
    assert [drive.partition(",")[0].rpartition("/")[2] for drive in drives] == ["disk.qcow2", "seed.iso"]
    assert "/i/cloud.qcow2" not in argv, "the machine writes to a disk of its own, laid over the image"


def boot(image: Image) -> Machine:
    """All that making a machine does, but for QEMU itself."""
    who = local_account()
    here = Machine.of("key", "demo-1", "0a")
    account_script.make_parent(here.root.parent, who)
    request = {
        "verb": "boot",
        "root": str(here.root),
        "id": here.id,
        "image": str(image.disk),
        "files": [str(path) for path in image.files],
        "diskBytes": 8 * MIB,
        "seed": {"user-data": "#cloud-config\n", "meta-data": "{}"},
        "marker": {"id": here.id},
        "argv": ["true"],
    }
    account_script.run(here.node, machine._SCRIPT, request)
    return here


def create(path: pathlib.Path, *options: str, size: str = "4M") -> Image:
    """A real qcow2 that everybody may read."""
    path.parent.mkdir(exist_ok=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, path, size], check=True)
    path.chmod(0o644)
    return Image(path)


def virtual_bytes(disk: pathlib.Path) -> int:
    """As a machine sees it."""
    argv = ["qemu-img", "info", "--output=json", str(disk)]
    return int(json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)["virtual-size"])


@pytest.mark.vm
@pytest.mark.parametrize(("size", "expected"), [("4M", 8 * MIB), ("64M", 64 * MIB)])
def test_a_machines_disk_lies_over_the_image_and_is_never_smaller(
    state_dir: pathlib.Path, size: str, expected: int
) -> None:
    image = create(state_dir / "images/debian-12.qcow2", size=size)
    before = image.disk.read_bytes()
    here = boot(image)
    assert virtual_bytes(here.root / "disk.qcow2") == expected
    assert image.disk.read_bytes() == before
    label = (here.root / "seed.iso").read_bytes()[0x8028 : 0x8028 + 32].strip()
    assert label == b"cidata", "what a vendor's cloud-init looks for"
    here.remove()


def test_what_is_no_qcow2_is_refused_before_a_machine_is_made(state_dir: pathlib.Path) -> None:
    raw = state_dir / "disk-12.img"
    raw.write_bytes(bytes(MIB))
    with pytest.raises(NodeError, match=r"demo-1: .*/disk-12\.img is no qcow2; `qemu-img convert -O qcow2` makes one"):
        boot(Image(raw))


@pytest.mark.vm
def test_an_image_that_shows_a_machine_another_file_of_this_computer_is_refused(state_dir: pathlib.Path) -> None:
    secret = state_dir / "secret"
    secret.write_bytes(bytes(MIB))
    over = create(state_dir / "over-12.qcow2", "-b", str(secret), "-F", "raw", size="1M")
    with pytest.raises(NodeError, match=r"over-12\.qcow2 is not whole, the rest is in .*/secret"):
        boot(over)
    beside = create(state_dir / "beside-12.qcow2", "-o", f"data_file={state_dir}/data,data_file_raw=on", size="1M")
    with pytest.raises(NodeError, match=r"beside-12\.qcow2 is not whole, the rest is in .*/data"):
        boot(beside)


@pytest.mark.vm
@pytest.mark.skipif(os.geteuid() != 0, reason="only root's machines run as another account")
def test_an_image_that_the_account_cannot_read_is_told_with_what_is_closed(state_dir: pathlib.Path) -> None:
    image = create(state_dir / "closed/debian-12.qcow2")
    image.disk.parent.chmod(0o700)
    who = local_account().name
    with pytest.raises(NodeError, match=rf"the account {who}, which .* cannot read .*: {state_dir}/closed is closed"):
        boot(image)
    image.disk.parent.chmod(0o755)
    image.disk.chmod(0o600)
    with pytest.raises(NodeError, match=r"/closed/debian-12\.qcow2 is closed to it; open it \(chmod o\+x"):
        boot(image)
    shutil.rmtree(image.disk.parent)
    with pytest.raises(NodeError, match="the file is gone"):
        boot(image)
