"""The releases that nodes may be and no virtual machine is booted from here: each as a folder that one can chroot into.

What the user-data and an enrolment bring is held to the programs in there: its cloud-init, sshd, sudo, nft and Python.
"""

import dataclasses
import pathlib
import shutil

from components.places import image_folder
from tools.image.debian import NEEDS, bootstrap, digest, is_made, made_whole, require

PACKAGES = ("openssh-server", "nftables", "cloud-init", "python3", "python3-cffi-backend", "sudo")


@dataclasses.dataclass(frozen=True, slots=True)
class Release:
    """A release; `name` is what stack files would call an image of it."""

    name: str
    suite: str

    @property
    def folder(self) -> pathlib.Path:
        """Where its root is kept, with the recipe beside."""
        return image_folder(f"{self.name}-root")

    @property
    def root(self) -> pathlib.Path:
        """The root itself."""
        return self.folder / "root"

    @property
    def recipe(self) -> str:
        """The digest of what it is made from."""
        return digest(self.suite, PACKAGES)

    @property
    def is_made(self) -> bool:
        """Whether it is there, whole and of this recipe."""
        return is_made(self.folder, self.recipe)


RELEASES = (Release("debian-13", "trixie"),)


def make(release: Release) -> pathlib.Path:
    """Make a release's root unless it is there; return its folder. Raise ImageError, and MachineError without tools."""
    if release.is_made:
        return release.folder
    require(NEEDS)
    # Root's alone: nobody else has any use for another system's setuid programs.
    with made_whole(release.folder, release.recipe, mode=0o700) as made:
        bootstrap(made / "root", release.suite, PACKAGES)
        shutil.rmtree(made / "root/var/lib/apt/lists")
    return release.folder
