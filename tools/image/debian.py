"""What Debian's installer makes of a few names: a folder that is a whole system, made once for each recipe.

What is made has the digest of its recipe beside it: with another one it is made anew, and with the same never twice.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

from tools.machine import Need, install

MIRROR = "http://deb.debian.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
NEEDS = (
    Need("debootstrap", command="debootstrap"),
    Need("debian-archive-keyring", file=KEYRING),
    Need("gpgv", command="gpgv"),
)
"""What installing a release takes. The last two are on any Debian; without them no signature would be checked."""


class ImageError(Exception):
    """The image could not be built; one line."""


def digest(*recipe: object) -> str:
    """Of all that something is made from."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]


def is_made(target: pathlib.Path, recipe: str) -> bool:
    """Whether it is there, whole and of this recipe."""
    # Written last, and the folder appears as a whole.
    written = target / "recipe"
    return written.exists() and written.read_text() == recipe


@contextlib.contextmanager
def made_whole(target: pathlib.Path, recipe: str, mode: int = 0o755) -> Iterator[pathlib.Path]:
    """Yield a folder that becomes `target` when all went well; what else lies beside it is removed.

    Raise ImageError for who is not root.
    """
    if os.geteuid() != 0:
        message = "debootstrap needs root; run `make image` as root, or put a cloud image's path into the stack file"
        raise ImageError(message)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=target.parent) as work:
        folder = pathlib.Path(work)
        folder.chmod(mode)
        made = folder / "made"
        made.mkdir(mode=mode)
        yield made
        (made / "recipe").write_text(recipe)
        if target.exists():
            shutil.rmtree(target)
        made.rename(target)


def require(needs: Sequence[Need]) -> None:
    """Install what is missing. Raise MachineError."""
    missing = [need for need in needs if not need.met()]
    if missing:
        install(missing)


def bootstrap(root: pathlib.Path, release: str, packages: Sequence[str]) -> None:
    """Install a release with these packages into a folder. Raise ImageError."""
    say(f"installing Debian {release} ({len(packages)} packages and what they need); a few minutes")
    options = ["--variant=minbase", f"--include={','.join(packages)}", f"--keyring={KEYRING}", "--force-check-gpg"]
    run("debootstrap", *options, release, str(root), MIRROR)
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    shutil.rmtree(root / "var/cache/apt/archives")
    (root / "var/cache/apt/archives/partial").mkdir(parents=True)


def run(*argv: str) -> None:
    """Run a program; raise ImageError with its last words."""
    done = subprocess.run(argv, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()
        message = f"{argv[0]} failed: {words[-1] if words else f'exit {done.returncode}'}"
        raise ImageError(message)


def say(text: str) -> None:
    """Tell whoever waits."""
    sys.stderr.write(f"gaxx: image: {text}\n")
