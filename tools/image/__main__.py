"""`python -m tools.image`: what the tests of machines need and is not there yet; print the folders.

That is the image `debian-12` of the qemu cloud, and a root of each release that nodes may be and is not booted here.
"""

import sys

from tools.image import releases
from tools.image.build import build
from tools.image.debian import ImageError
from tools.machine import MachineError


def main() -> int:
    """Return the exit code."""
    try:
        sys.stdout.write(f"{build()}\n")
        for release in releases.RELEASES:
            sys.stdout.write(f"{releases.make(release)}\n")
    except (ImageError, MachineError) as fault:
        sys.stderr.write(f"gaxx: image: {fault}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
