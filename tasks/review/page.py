"""A page of headings, tables and lists, as Markdown or as text for a terminal.

Whatever comes from a declaration is escaped here: a fleet may be called what it likes and still starts no link,
no mention and no table of its own.
"""

import dataclasses
import re
import typing
from collections.abc import Sequence

from tasks.review.redaction import redacted

COMMENT_LIMIT = 65_536
"""What GitHub takes as a comment, in characters."""
_ROWS_LIMIT = 60
_CELL_LIMIT = 300
_SENTENCE_LIMIT = 600
_PLAIN = re.compile(r"[A-Za-z0-9.,;:/()%$=+'\"?…→-]+")
_LINES_LIMIT = 40


Kind = typing.Literal["ours", "code", "prose"]
"""Words of ours as they are; a name or a value of others; a sentence in which others' words are."""


@dataclasses.dataclass(frozen=True, slots=True)
class Text:
    """Words of ours and of others."""

    parts: tuple[tuple[str, Kind], ...]
    strong: bool = False


def text(*parts: str | tuple[str], strong: bool = False) -> Text:
    """Words of ours as they are, names and values of others in a tuple of one."""
    return Text(tuple((part, "ours") if isinstance(part, str) else (part[0], "code") for part in parts), strong)


def prose(words: str) -> Text:
    """A sentence that quotes others."""
    return Text(((words, "prose"),))


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
    words = "".join(_part(part, kind, in_table=in_table) for part, kind in line.parts)
    return f"**{words}**" if line.strong and words else words


def _part(words: str, kind: Kind, *, in_table: bool) -> str:
    if kind == "ours":
        return words
    if kind == "code":
        return _code(words, in_table=in_table)
    # Mentions and links are found in the text that Markdown becomes, where escaping is no help: a word that could be
    # more than a word is code.
    told = _shortened(_flat(words), _SENTENCE_LIMIT).replace("`", "'").split(" ")
    return " ".join(
        word if _PLAIN.fullmatch(word) and "//" not in word else _code(word, in_table=in_table) for word in told
    )


def _code(words: str, *, in_table: bool) -> str:
    if not words:
        return ""
    # Inside a code span nothing means anything but the backtick, and inside a table the bar.
    clean = _shortened(_flat(words), _CELL_LIMIT).replace("`", "'")
    return f"`{clean.replace('|', '¦') if in_table else clean}`"


def _flat(words: str) -> str:
    return re.sub(r"[\x00-\x20\x7f-\xa0\u2028\u2029]+", " ", redacted(words)).strip()


def _shortened(words: str, limit: int) -> str:
    return words if len(words) <= limit else f"{words[: limit - 1]}…"


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
    return _flat("".join(re.sub(r"[*`]", "", part) if kind == "ours" else part for part, kind in line.parts))
