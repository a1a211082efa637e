"""Resize one image; runs on a node, with whichever of ImageMagick and Pillow is there."""

import argparse
import pathlib
import shutil
import subprocess
import sys


def main() -> int:
    """Resize the image that the arguments name, never to more than it has."""
    parser = argparse.ArgumentParser()
    parser.add_argument("image")
    parser.add_argument("--edge", type=int, required=True, help="pixels of the longer edge")
    parser.add_argument("--quality", type=int, default=85)
    parser.add_argument("--to", required=True)
    asked = parser.parse_args()
    pathlib.Path(asked.to).parent.mkdir(parents=True, exist_ok=True)
    try:
        from PIL import Image
    except ModuleNotFoundError:
        return with_imagemagick(asked)
    with Image.open(asked.image) as image:
        image.thumbnail((asked.edge, asked.edge))
        image.save(asked.to, quality=asked.quality)
        print(f"{asked.image}\t{image.width}x{image.height}")
    return 0


def with_imagemagick(asked: argparse.Namespace) -> int:
    """Let ImageMagick do it: version 7 is called magick, version 6 convert."""
    program = shutil.which("magick") or shutil.which("convert")
    if program is None:
        sys.stderr.write("this node has neither ImageMagick nor Pillow; add imagemagick to the fleet's packages\n")
        return 127
    size = f"{asked.edge}x{asked.edge}>"
    # A file called -x.jpg or msl:x is a file here, not an option or a coder.
    source = str(pathlib.Path(asked.image).absolute())
    argv = [program, source, "-auto-orient", "-resize", size, "-quality", str(asked.quality), asked.to]
    return subprocess.run(argv, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
