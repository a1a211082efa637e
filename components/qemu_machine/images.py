"""Where images of the `qemu` cloud lie, and what one consists of."""

import pathlib

from components.places import state_dir

NAME = "debian-12"
PARTS = ("disk.qcow2", "vmlinuz", "initrd.img", "recipe")


def folder_of(name: str) -> pathlib.Path:
    """The folder of the image called `name`; the account that runs machines must get there, so not in a cache."""
    return state_dir() / "images" / name


def is_whole(folder: pathlib.Path) -> bool:
    """Whether every part of an image is there."""
    return all((folder / part).is_file() for part in PARTS)
