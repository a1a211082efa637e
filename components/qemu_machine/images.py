"""What an image of the `qemu` cloud consists of."""

import pathlib

PARTS = ("disk.qcow2", "vmlinuz", "initrd.img")


def is_whole(folder: pathlib.Path) -> bool:
    """Whether every part of an image is there."""
    return all((folder / part).is_file() for part in PARTS)
