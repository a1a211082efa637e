"""Render one tile of the Mandelbrot set; runs on a node, needs nothing but its python3.

Writes tiles/ROW,COLUMN.tile: one line of JSON, then the pixels as zlib-compressed RGB.
"""

import argparse
import json
import math
import os
import pathlib
import sys
import time
import zlib

ESCAPE = 16.0


def colour(smooth: float) -> tuple[int, int, int]:
    """Map a smoothed number of iterations to a colour of a slowly turning wheel."""
    angle = 0.11 * smooth
    return tuple(int(127.5 + 127.5 * math.sin(angle + phase)) for phase in (0.4, 1.3, 2.4))  # type: ignore[return-value]


def point(real: float, imaginary: float, iterations: int) -> tuple[int, int, int]:
    """Colour one point: black inside of the set."""
    x = y = 0.0
    for count in range(iterations):
        xx, yy = x * x, y * y
        if xx + yy > ESCAPE:
            return colour(count + 1 - math.log2(math.log2(xx + yy) / 2))
        x, y = xx - yy + real, 2 * x * y + imaginary
    return (0, 0, 0)


def edges(size: int, parts: int, part: int) -> tuple[int, int]:
    """Cut `size` pixels into `parts` that differ by one at most."""
    return size * part // parts, size * (part + 1) // parts


def main() -> int:
    """Render the tile that the arguments name."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tile", required=True, help="ROW,COLUMN from 0")
    for name, default in (("columns", 16), ("rows", 9), ("width", 960), ("height", 540), ("iterations", 400)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--center", default="-0.743643887,0.131825904")
    parser.add_argument("--span", type=float, default=0.0045, help="width of the picture in the plane")
    asked = parser.parse_args()
    row, column = (int(part) for part in asked.tile.split(","))
    real, imaginary = (float(part) for part in asked.center.split(","))
    left, right = edges(asked.width, asked.columns, column)
    top, bottom = edges(asked.height, asked.rows, row)
    step = asked.span / asked.width
    began = time.monotonic()
    pixels = bytearray()
    for y in range(top, bottom):
        c_imaginary = imaginary - (y - asked.height / 2) * step
        for x in range(left, right):
            pixels += bytes(point(real + (x - asked.width / 2) * step, c_imaginary, asked.iterations))
    head = {
        "x": left, "y": top, "width": right - left, "height": bottom - top,
        "picture": [asked.width, asked.height], "node": os.environ.get("GAXX_NODE", "here"),
        "seconds": round(time.monotonic() - began, 4),
    }  # fmt: skip
    folder = pathlib.Path("tiles")
    folder.mkdir(exist_ok=True)
    data = json.dumps(head).encode() + b"\n" + zlib.compress(bytes(pixels))
    (folder / f"{asked.tile}.tile").write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
