"""Put the tiles of jobs/mandelbrot together: python3 assemble.py FOLDER [PNG]. Standard library only.

Above the picture; below it a chart: a small map of which node rendered which tile, and a bar a node.
"""

import colorsys
import json
import pathlib
import struct
import sys
import typing
import zlib

CHART_HEIGHT = 96
MARGIN = 12
BACKGROUND = (18, 18, 24)
INK = (230, 230, 235)
SCALE = 2
# Letters of 3 by 5 points, a row a digit: bit 2 is the left column.
GLYPHS = {
    "0": "75557", "1": "26227", "2": "71747", "3": "71717", "4": "55711", "5": "74717", "6": "74757", "7": "71111",
    "8": "75757", "9": "75717", "a": "75755", "b": "65656", "c": "74447", "d": "65556", "e": "74647", "f": "74644",
    "g": "74557", "h": "55755", "i": "72227", "j": "11157", "k": "55655", "l": "44447", "m": "57755", "n": "65555",
    "o": "75557", "p": "75744", "q": "75771", "r": "75655", "s": "34216", "t": "72222", "u": "55557", "v": "55552",
    "w": "55775", "x": "55255", "y": "55222", "z": "71247", "-": "00700", ".": "00002", "_": "00007", " ": "00000",
}  # fmt: skip

Colour = tuple[int, int, int]


class Canvas:
    """An RGB picture in memory."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.pixels = bytearray(bytes(BACKGROUND) * (width * height))

    def paste(self, x: int, y: int, width: int, rgb: bytes) -> None:
        """Copy rows of `width` pixels to (x, y)."""
        for row in range(len(rgb) // (3 * width)):
            at = 3 * ((y + row) * self.width + x)
            self.pixels[at : at + 3 * width] = rgb[3 * width * row : 3 * width * (row + 1)]

    def box(self, x: int, y: int, width: int, height: int, colour: Colour) -> None:
        """Fill a rectangle, as much of it as is inside."""
        width, height = min(width, self.width - x), min(height, self.height - y)
        if width > 0 and height > 0:
            self.paste(x, y, width, bytes(colour) * (width * height))

    def text(self, x: int, y: int, words: str) -> None:
        """Write small letters."""
        for place, letter in enumerate(words.lower()):
            for row, bits in enumerate(GLYPHS.get(letter, GLYPHS["_"])):
                for column in range(3):
                    if int(bits) & (4 >> column):
                        self.box(x + SCALE * (4 * place + column), y + SCALE * row, SCALE, SCALE, INK)

    def png(self) -> bytes:
        """Encode."""
        rows = b"".join(
            b"\0" + self.pixels[3 * self.width * row : 3 * self.width * (row + 1)] for row in range(self.height)
        )
        head = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows, 6)), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in chunks
        )


class Tile(typing.NamedTuple):
    """One rendered tile."""

    head: dict[str, typing.Any]
    rgb: bytes


def read_tile(path: pathlib.Path) -> Tile:
    """Read what tile.py wrote."""
    head, _, body = path.read_bytes().partition(b"\n")
    return Tile(json.loads(head), zlib.decompress(body))


def colours(nodes: list[str]) -> dict[str, Colour]:
    """Give each node a colour of its own."""
    return {
        node: typing.cast(
            "Colour", tuple(int(255 * part) for part in colorsys.hsv_to_rgb(place / len(nodes), 0.65, 0.95))
        )
        for place, node in enumerate(nodes)
    }


def assemble(folder: pathlib.Path, target: pathlib.Path) -> dict[str, int]:
    """Write the picture; return how many tiles each node rendered. Raise ValueError when tiles are missing."""
    tiles = [read_tile(path) for path in sorted(folder.glob("**/*.tile"))]
    if not tiles:
        message = f"no tiles in {folder}"
        raise ValueError(message)
    width, height = tiles[0].head["picture"]
    covered = sum(tile.head["width"] * tile.head["height"] for tile in tiles)
    if covered != width * height:
        message = f"{folder}: the tiles cover {covered} of {width * height} pixels"
        raise ValueError(message)
    canvas = Canvas(width, height + CHART_HEIGHT)
    counts: dict[str, int] = {}
    seconds: dict[str, float] = {}
    for tile in tiles:
        canvas.paste(tile.head["x"], tile.head["y"], tile.head["width"], tile.rgb)
        node = tile.head["node"]
        counts[node] = counts.get(node, 0) + 1
        seconds[node] = seconds.get(node, 0.0) + tile.head["seconds"]
    _chart(canvas, tiles, colours(sorted(counts)), counts, seconds, height)
    target.write_bytes(canvas.png())
    return dict(sorted(counts.items()))


def _chart(
    canvas: Canvas,
    tiles: list[Tile],
    palette: dict[str, Colour],
    counts: dict[str, int],
    seconds: dict[str, float],
    top: int,
) -> None:
    width, height = tiles[0].head["picture"]
    room = CHART_HEIGHT - 2 * MARGIN
    scale = room / height
    for tile in tiles:
        head = tile.head
        left, right = int(head["x"] * scale), int((head["x"] + head["width"]) * scale)
        above, below = int(head["y"] * scale), int((head["y"] + head["height"]) * scale)
        canvas.box(
            MARGIN + left,
            top + MARGIN + above,
            max(right - left - 1, 1),
            max(below - above - 1, 1),
            palette[head["node"]],
        )
    start = 2 * MARGIN + int(width * scale)
    line = max(min(room // len(palette), 18), 6)
    longest = max(seconds.values())
    for place, node in enumerate(palette):
        y = top + MARGIN + place * line
        if y + line > canvas.height:
            break
        label = f"{node} {counts[node]} tiles {seconds[node]:.1f}s"
        canvas.text(start, y, label)
        bar = start + SCALE * 4 * 34
        canvas.box(bar, y, int((canvas.width - bar - MARGIN) * seconds[node] / longest), line - 4, palette[node])


def main() -> int:
    """Assemble the folder that the arguments name."""
    if len(sys.argv) not in (2, 3):
        sys.stderr.write(f"usage: {sys.argv[0]} FOLDER [PNG]\n")
        return 1
    folder = pathlib.Path(sys.argv[1])
    target = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else folder / "mandelbrot.png"  # noqa: PLR2004
    try:
        counts = assemble(folder, target)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    print(f"{target}: " + ", ".join(f"{node} {count}" for node, count in counts.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
