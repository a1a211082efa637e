"""`python -m tools.image`: build the image `debian-12` where there is none yet; print its folder."""

import sys

from tools.image.build import ImageError, build
from tools.machine import MachineError


def main() -> int:
    """Return the exit code."""
    try:
        sys.stdout.write(f"{build()}\n")
    except (ImageError, MachineError) as fault:
        sys.stderr.write(f"gaxx: image: {fault}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
