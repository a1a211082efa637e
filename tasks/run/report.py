"""Show the answers of many nodes: equal ones folded, different ones as a diff, or each as a line of JSON.

Remote output is written through as the bytes it is; what is ours is text around it.
"""

import collections.abc
import json
import typing

from tasks.outcome import NEVER_STARTED, Ending, Outcome
from tasks.selection import fold_names

_RED, _GREEN, _YELLOW, _BOLD, _RESET = b"\x1b[31m", b"\x1b[32m", b"\x1b[33m", b"\x1b[1m", b"\x1b[0m"


class Group(typing.NamedTuple):
    """Nodes that answered the same."""

    nodes: tuple[str, ...]
    answer: Outcome
    """That of the first of them, for all."""

    @property
    def title(self) -> str:
        """demo-[1-3] (3): exit 7."""
        return f"{fold_names(self.nodes)} ({len(self.nodes)}): {self.answer.describes}"


def fold(outcomes: collections.abc.Iterable[Outcome]) -> list[Group]:
    """Group outcomes by equal output and ending, the largest group first, then in the order asked."""
    groups: dict[tuple[object, ...], list[Outcome]] = {}
    for outcome in outcomes:
        key = (
            outcome.stdout, outcome.stderr, outcome.ending, outcome.exit_code, outcome.signal, outcome.error,
            outcome.stdout_cut, outcome.stderr_cut, outcome.started,
        )  # fmt: skip
        groups.setdefault(key, []).append(outcome)
    folded = [Group(tuple(member.node for member in members), members[0]) for members in groups.values()]
    return sorted(folded, key=lambda group: -len(group.nodes))


class Paper:
    """Where a report is written: data on stdout, the rest on stderr, colour only where asked."""

    def __init__(self, out: typing.BinaryIO, err: typing.BinaryIO, *, colour_out: bool, colour_err: bool) -> None:
        self.out, self.err, self.colour_out, self.colour_err = out, err, colour_out, colour_err

    def heading(self, text: str, *, good: bool, to_stderr: bool = False) -> None:
        """Write a line of ours above remote output."""
        coloured = self.colour_err if to_stderr else self.colour_out
        file = self.err if to_stderr else self.out
        line = f"--- {text}".encode()
        file.write((_BOLD + (_GREEN if good else _RED) + line + _RESET if coloured else line) + b"\n")
        file.flush()

    def body(self, data: bytes, *, to_stderr: bool = False) -> None:
        """Write remote output through, and end its last line where the remote did not."""
        file = self.err if to_stderr else self.out
        file.write(data if not data or data.endswith(b"\n") else data + b"\n")
        file.flush()

    def line(self, text: str) -> None:
        """Write a line for the person, on stderr."""
        self.err.write(f"{text}\n".encode(errors="surrogateescape"))
        self.err.flush()


def write_folded(groups: collections.abc.Sequence[Group], paper: Paper) -> None:
    """Write each group once: heading and stdout to stdout, stderr to stderr."""
    for group in groups:
        answer = group.answer
        paper.heading(group.title, good=bool(answer))
        paper.body(answer.stdout)
        if answer.stderr:
            paper.heading(f"{fold_names(group.nodes)}: stderr", good=bool(answer), to_stderr=True)
            paper.body(answer.stderr, to_stderr=True)
        _say_cut(group, paper)


def write_diff(groups: collections.abc.Sequence[Group], paper: Paper) -> None:
    """Write the largest group in full and every other as a unified diff against it."""
    import difflib

    write_folded(groups[:1], paper)
    for group in groups[1:]:
        paper.heading(group.title, good=bool(group.answer))
        base = groups[0]
        for name, ours, theirs in (
            ("stdout", base.answer.stdout, group.answer.stdout),
            ("stderr", base.answer.stderr, group.answer.stderr),
        ):
            labels = (f"{fold_names(base.nodes)} {name}".encode(), f"{fold_names(group.nodes)} {name}".encode())
            lines = difflib.diff_bytes(
                difflib.unified_diff, ours.splitlines(), theirs.splitlines(), *labels, b"", b"", lineterm=b""
            )
            for line in lines:
                paper.body(_diff_colour(line) if paper.colour_out else line)
        _say_cut(group, paper)


def _diff_colour(line: bytes) -> bytes:
    if line.startswith(b"+"):
        return _GREEN + line + _RESET
    return _RED + line + _RESET if line.startswith(b"-") else line


def _say_cut(group: Group, paper: Paper) -> None:
    for name, cut in (("stdout", group.answer.stdout_cut), ("stderr", group.answer.stderr_cut)):
        if cut:
            paper.line(f"{fold_names(group.nodes)}: {name} was longer and is cut; --output-limit keeps more")


def as_dict(outcome: Outcome) -> dict[str, object]:
    """One outcome as JSON can say it: output that is not UTF-8 comes as stdout_base64, stderr_base64."""
    line: dict[str, object] = {
        "event": "node",
        "node": outcome.node,
        "ending": outcome.ending.value,
        "exit_code": outcome.exit_code,
        "signal": outcome.signal,
        "error": outcome.error,
        "wall_s": round(outcome.wall_s, 6),
        **text_or_base64("stdout", outcome.stdout),
        **text_or_base64("stderr", outcome.stderr),
    }
    if outcome.stdout_cut or outcome.stderr_cut:
        line |= {"stdout_cut": outcome.stdout_cut, "stderr_cut": outcome.stderr_cut}
    return line


def text_or_base64(name: str, data: bytes) -> dict[str, str]:
    """Name the bytes as text, or as name_base64 where they are not UTF-8."""
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        import base64

        return {f"{name}_base64": base64.b64encode(data).decode()}


def ledger(run_id: str, outcomes: collections.abc.Sequence[Outcome], wall_s: float) -> dict[str, object]:
    """The sum: total = ok + failed + quarantined + skipped + cancelled; skipped are the nodes never reached."""
    skipped = [outcome.node for outcome in outcomes if outcome.ending in NEVER_STARTED]
    cancelled = sum(outcome.ending is Ending.CANCELLED for outcome in outcomes)
    good = sum(map(bool, outcomes))
    return {
        "event": "ledger",
        "run": run_id,
        "total": len(outcomes),
        "ok": good,
        "failed": len(outcomes) - good - len(skipped) - cancelled,
        "quarantined": 0,
        "skipped": len(skipped),
        "cancelled": cancelled,
        "wall_s": round(wall_s, 3),
    }


def json_line(data: collections.abc.Mapping[str, object]) -> bytes:
    """Encode one event as one line."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def summary(outcomes: collections.abc.Sequence[Outcome], wall_s: float) -> str:
    """One line: 3 nodes: 2 ok, 1 exit 7 (demo-3) in 0.21 s."""
    endings: dict[str, list[str]] = {}
    for outcome in outcomes:
        endings.setdefault(outcome.word, []).append(outcome.node)
    parts = [
        f"{len(names)} {words}" if words == "ok" else f"{len(names)} {words} ({fold_names(names)})"
        for words, names in sorted(endings.items(), key=lambda entry: (entry[0] != "ok", -len(entry[1])))
    ]
    count = "1 node" if len(outcomes) == 1 else f"{len(outcomes)} nodes"
    return f"{count}: {', '.join(parts)} in {wall_s:.2f} s"
