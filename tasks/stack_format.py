"""Stack files in one form: indentation, spaces, blank lines. Comments, order, quotes and line breaks stay.

Only what stands before, between and after the words of a line is touched, and the result must read as the same
values with the same comments: what would not is refused.
"""

import collections.abc
import pathlib
import re

import yaml

from components.errors import GaxxError

_STEP = 2
_BLANK_LINES = 1
"""So many in a row are left."""


def formatted(text: str, path: pathlib.Path | str = "") -> str:
    """The file's text in our form; raise GaxxError for what is no YAML, or could not be kept as it is."""
    text = text.replace("\r\n", "\n")
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        message = f"{path}:{line}: not YAML: {error.problem}"
        raise GaxxError(message) from error
    except yaml.YAMLError as error:
        message = f"{path}: not YAML: {error}"
        raise GaxxError(message) from error
    result = _Lines(text).formatted(tree) if tree is not None else text.rstrip("\n") + "\n"
    if _values(result) != _values(text) or _comments(result) != _comments(text):
        message = f"{path}: cannot be formatted without a change of what it says"
        raise GaxxError(message, hint="indent it by hand: two spaces a level, lists two further than their key")
    return result


def _values(text: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return GaxxError  # equal to nothing that was read


def _comments(text: str) -> list[str]:
    """What follows the first # of each line, be it a comment or not: none of it may change."""
    return [line[line.index("#") :].strip() for line in text.splitlines() if "#" in line]


class _Lines:
    """The lines of a file, and where each is to start."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()
        self._indents: dict[int, int] = {}
        """Of the lines where a key or an item starts."""
        self._kept: set[int] = set()
        """Lines inside of texts that span several: they move as a whole, and lose nothing."""
        self._owner: dict[int, int] = {}
        """Of other lines of a value: the line whose move they make too."""
        self._gaps: dict[int, list[tuple[int, int, str]]] = {}
        """In a line: from, to, what is to stand there."""

    def formatted(self, tree: yaml.Node) -> str:
        self._visit(tree, 0, 0)
        moved = {line: indent - self._column(line) for line, indent in self._indents.items()}
        result = []
        for number, line in enumerate(self._lines):
            if number in self._kept:
                result.append(self._shifted(line, moved.get(self._owner[number], 0)))
            elif not line.strip():
                result.append("")
            elif number in self._indents:
                result.append(" " * self._indents[number] + self._spaced(number).strip())
            elif number in self._owner:
                result.append(self._shifted(line, moved.get(self._owner[number], 0)).rstrip())
            else:
                result.append(" " * self._of_comment(number, moved) + line.strip())
        return _without_blank_runs(result, {n for n in self._kept if n < len(result)})

    def _visit(self, node: yaml.Node, indent: int, owner: int) -> None:
        first, last = node.start_mark.line, self._last_line(node)
        block = isinstance(node, yaml.CollectionNode) and not node.flow_style
        if block and isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                self._entry(key, value, indent)
        elif block:
            for item in node.value:
                self._item(item, indent)
        else:
            for line in range(first + 1, last + 1):
                self._owner[line] = owner
                if isinstance(node, yaml.ScalarNode):
                    self._kept.add(line)

    def _entry(self, key: yaml.Node, value: yaml.Node, indent: int) -> None:
        line = key.start_mark.line
        self._indents.setdefault(line, indent)
        if value.start_mark.line == key.end_mark.line:
            self._gap(line, key.end_mark.column, value.start_mark.column, r"\s*:\s+", ": ")
        # An empty value stands nowhere: its mark is where the next thing starts.
        if value.end_mark.index > value.start_mark.index:
            self._visit(value, indent + _STEP, line)

    def _item(self, item: yaml.Node, indent: int) -> None:
        line = item.start_mark.line
        if self._lines[line][: item.start_mark.column].strip() in ("-", ""):
            self._indents.setdefault(line, indent)
            self._gap(line, 0, item.start_mark.column, r"\s*-\s+", " " * indent + "- ")
        if item.end_mark.index > item.start_mark.index:
            self._visit(item, indent + _STEP, line)

    def _last_line(self, node: yaml.Node) -> int:
        # A block text ends where the next token starts, which is a line further.
        end = node.end_mark
        return end.line - 1 if end.column == 0 and end.line > node.start_mark.line else end.line

    def _gap(self, line: int, start: int, end: int, pattern: str, words: str) -> None:
        if re.fullmatch(pattern, self._lines[line][start:end]):
            self._gaps.setdefault(line, []).append((start, end, words))

    def _spaced(self, number: int) -> str:
        line = self._lines[number]
        for start, end, words in sorted(self._gaps.get(number, ()), reverse=True):
            line = line[:start] + words + line[end:]
        return line

    def _column(self, number: int) -> int:
        line = self._lines[number]
        return len(line) - len(line.lstrip(" "))

    def _shifted(self, line: str, by: int) -> str:
        if not line.strip():
            return ""
        lead = len(line) - len(line.lstrip(" "))
        return " " * max(0, lead + by) + line.lstrip(" ")

    def _of_comment(self, number: int, moved: collections.abc.Mapping[int, int]) -> int:
        """A comment belongs to the line after it when both start at one column, else to the line before."""
        column = self._column(number)
        after = next((line for line in sorted(self._indents) if line > number), None)
        if after is not None and self._column(after) == column:
            return self._indents[after]
        before = max((line for line in self._indents if line < number), default=None)
        return max(0, column + (moved[before] if before is not None else -column))


def _without_blank_runs(lines: list[str], kept: collections.abc.Set[int]) -> str:
    result: list[str] = []
    blank = 0
    for number, line in enumerate(lines):
        blank = 0 if line or number in kept else blank + 1
        if blank <= _BLANK_LINES and (line or result):
            result.append(line)
    while result and not result[-1]:
        result.pop()
    return "\n".join(result) + "\n"
