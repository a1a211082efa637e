"""A page of headings, tables and lists, as Markdown or as text for a terminal.

Whatever comes from a declaration is escaped here: a fleet may be called what it likes and still starts no link,
no mention and no table of its own.
"""

import dataclasses
import re
from collections.abc import Sequence

COMMENT_LIMIT = 65_536
"""What GitHub takes as a comment, in characters."""
_ROWS_LIMIT = 60
_CELL_LIMIT = 300
_LINES_LIMIT = 40


@dataclasses.dataclass(frozen=True, slots=True)
class Text:
    """Words of ours and of others: the latter are escaped, and in Markdown set as code."""

    parts: tuple[tuple[str, bool], ...]
    """(words, whether they are others')."""
    strong: bool = False


def text(*parts: str | tuple[str], strong: bool = False) -> Text:
    """Words of ours as they are, words of others in a tuple of one."""
    return Text(tuple((part, False) if isinstance(part, str) else (part[0], True) for part in parts), strong)


@dataclasses.dataclass(frozen=True, slots=True)
class Heading:
    """A section starts."""

    words: str
    level: int = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """Rows below a header."""

    header: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Lines:
    """A list, or paragraphs."""

    lines: tuple[Text, ...]
    bullets: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class Fold:
    """What is read when it is asked for."""

    summary: str
    blocks: tuple[Table | Lines, ...]


Block = Heading | Table | Lines | Fold


def markdown(blocks: Sequence[Block], start: str = "") -> str:
    """The page as Markdown, below a comment's limit."""
    page = start + "\n\n".join(_markdown(block) for block in blocks) + "\n"
    if len(page) <= COMMENT_LIMIT - 1:
        return page
    # Only a stack of very many different things comes here; what is cut is said, and the first sections are whole.
    ending = "\n\n</details>\n\n*Too long for a comment: `gaxx review --format json` holds the rest.*\n"
    return page[: COMMENT_LIMIT - 1 - len(ending)].rsplit("\n", 1)[0] + ending


def terminal(blocks: Sequence[Block]) -> str:
    """The page for a terminal, without colour."""
    return "\n\n".join(_terminal(block) for block in blocks) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Heading(words, level):
            return f"{'#' * level} {words}"
        case Table(header, rows):
            lines = [_row(header), _row(["---"] * len(header))]
            lines += [_row([_marked(cell, in_table=True) for cell in row]) for row in rows[:_ROWS_LIMIT]]
            return "\n".join(lines) + _more(len(rows) - _ROWS_LIMIT, "\n\n*and {} more rows*")
        case Lines(lines, bullets):
            sign, joint = ("- ", "\n") if bullets else ("", "\n\n")
            shown = joint.join(sign + _marked(line).replace("\n", "\n  ") for line in lines[:_LINES_LIMIT])
            return shown + _more(len(lines) - _LINES_LIMIT, "\n\n*and {} more*")
        case Fold(summary, inner):
            body = "\n\n".join(_markdown(part) for part in inner)
            return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _more(count: int, words: str) -> str:
    return words.format(count) if count > 0 else ""


def _marked(line: Text, *, in_table: bool = False) -> str:
    words = "".join(_code(part, in_table=in_table) if foreign else part for part, foreign in line.parts)
    return f"**{words}**" if line.strong and words else words


def _code(words: str, *, in_table: bool) -> str:
    if not words:
        return ""
    # Inside a code span nothing means anything but the backtick, and inside a table the bar.
    clean = _shortened(re.sub(r"[\x00-\x1f\x7f\s]+", " ", words)).replace("`", "'").strip()
    return f"`{clean.replace('|', '¦') if in_table else clean}`"


def _shortened(words: str) -> str:
    return words if len(words) <= _CELL_LIMIT else f"{words[: _CELL_LIMIT - 1]}…"


def _terminal(block: Block) -> str:
    match block:
        case Heading(words):
            plain = re.sub(r"[*`]", "", words)
            return f"{plain}\n{'-' * len(plain)}"
        case Table(header, rows):
            cells = [list(header), *([_unmarked(cell) for cell in row] for row in rows[:_ROWS_LIMIT])]
            widths = [max(len(row[index]) for row in cells) for index in range(len(header))]
            drawn = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells]
            return "\n".join(drawn) + _more(len(rows) - _ROWS_LIMIT, "\nand {} more rows")
        case Lines(lines, bullets):
            sign = "- " if bullets else ""
            shown = "\n".join(f"{sign}{_unmarked(line)}" for line in lines[:_LINES_LIMIT])
            return shown + _more(len(lines) - _LINES_LIMIT, "\nand {} more")
        case Fold(summary, inner):
            return f"{re.sub('<[^>]*>', '', summary)}\n" + "\n".join(_terminal(part) for part in inner)


def _unmarked(line: Text) -> str:
    # Escape sequences in a name would move the cursor of whoever reads it.
    return re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", "".join(part for part, _ in line.parts))
