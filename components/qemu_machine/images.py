"""What machines of the `qemu` cloud boot from, once it is on this computer."""

import dataclasses
import pathlib
from collections.abc import Callable

from components.errors import ImageError
from components.places import image_folder
from components.qemu_machine import downloads
from components.qemu_machine.reference import Download, Named, parse

PARTS = ("disk.qcow2", "vmlinuz", "initrd.img")


@dataclasses.dataclass(frozen=True, slots=True)
class Image:
    """A disk to lay a machine's own over. Without kernel and initrd QEMU boots what the disk's boot loader says."""

    disk: pathlib.Path
    kernel: pathlib.Path | None = None
    initrd: pathlib.Path | None = None

    @property
    def files(self) -> tuple[pathlib.Path, ...]:
        """All that the account which runs machines must be able to read."""
        return tuple(path for path in (self.disk, self.kernel, self.initrd) if path is not None)


def is_whole(folder: pathlib.Path) -> bool:
    """Whether every part of an image is there."""
    return not _missing(folder)


def find(text: str, say: Callable[[str], None]) -> Image:
    """Find the image that a stack file names so, downloading it where it has to be; raise ImageError.

    Blocks, for as long as a download takes; `say` is told how far it is. Whether the account that runs machines can
    read it is for that account to find out.
    """
    try:
        reference = parse(text)
    except ValueError as error:
        message = f"image: {error}"
        raise ImageError(message) from error
    if isinstance(reference, Download):
        return Image(downloads.fetch(reference, say))
    if isinstance(reference, Named):
        folder = image_folder(reference.name)
        if not is_whole(folder):
            message = f"the image {text} is not on this computer ({folder})"
            raise ImageError(message, hint="run `make image` (as root)")
        return _parts(folder)
    if reference.path.is_dir():
        if missing := _missing(reference.path):
            message = f"the image's folder {text} has no {' and no '.join(missing)}"
            raise ImageError(
                message,
                hint=f"it holds {', '.join(PARTS)}; of a disk with a boot loader of its own, `image` is the file",
            )
        return _parts(reference.path)
    if not reference.path.exists():
        message = f"the image {text} is not on this computer"
        raise ImageError(message, hint="put it there, or correct `image`")
    return Image(reference.path)


def _missing(folder: pathlib.Path) -> list[str]:
    return [part for part in PARTS if not (folder / part).is_file()]


def _parts(folder: pathlib.Path) -> Image:
    return Image(*(folder / part for part in PARTS))
