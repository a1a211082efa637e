"""Review in a GitHub job: `python -m tasks.ci.review FOLDER [--static]`, or `--before SHA --stack S --save-plan FILE`.

FOLDER holds a checkout of the pull request merged into its base; the folder that this runs in is the base's. The
comment goes to the job's summary and, as `comment`, to the step's outputs. The exit code is that of `gaxx review`.
"""

import argparse
import os
import pathlib
import secrets
import subprocess
import sys

from tasks.ci import comment

_NO_COMMIT = "0" * 40
"""What GitHub calls the commit before a branch's first."""
_VARIABLE_LIMIT_BYTES = 120_000
"""The comments reach the job that writes them as one variable, and Linux takes none of 128 KiB."""


def main(argv: list[str] | None = None) -> int:
    """Review, and hand the comment on."""
    arguments = _arguments(argv)
    words = ["review", "--format", "markdown"]
    if arguments.folder:
        base, head = _fetched(arguments.folder)
        words += ["--base", base, "--head", head]
    elif arguments.before and arguments.before != _NO_COMMIT:
        words += ["--base", arguments.before]
    else:
        words += ["--base", "HEAD"]
    words += ["--static"] if arguments.static else []
    words += ["--stack", arguments.stack] if arguments.stack else []
    if arguments.save_plan:
        arguments.save_plan.parent.mkdir(parents=True, exist_ok=True)
        words += ["--save-plan", str(arguments.save_plan)]
    done = subprocess.run(
        [sys.executable, "-m", "tasks.cli.main", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False
    )
    told = done.stdout.decode()
    sys.stdout.write(told)
    _append("GITHUB_STEP_SUMMARY", told)
    if told:
        # Nobody can end the value early who cannot guess the word.
        word = secrets.token_hex(16)
        _append("GITHUB_OUTPUT", f"comment<<{word}\n{bounded(told)}\n{word}\n")
    return done.returncode


def bounded(text: str, limit_bytes: int = _VARIABLE_LIMIT_BYTES) -> str:
    """The comments that together fit into one variable; of the others a line that says where to read them."""
    found = comment.split(text)
    short = {marker: f"{marker}\nToo long to be told here: see the summary of this run.\n" for marker in found}
    room = limit_bytes - sum(len(words.encode()) for words in short.values())
    told = []
    for marker, body in found.items():
        size = len(body.encode()) + 1
        if size <= room:
            room -= size
            told.append(f"{body}\n")
        else:
            told.append(short[marker])
    return "".join(told) if len(text.encode()) > limit_bytes else text


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tasks.ci.review", description=__doc__)
    parser.add_argument("folder", nargs="?", default="", help="a checkout of the pull request's merge commit")
    parser.add_argument("--static", action="store_true", help="run none of its code")
    parser.add_argument("--before", default="", help="the commit before the push")
    parser.add_argument("--stack", default="")
    parser.add_argument("--save-plan", type=pathlib.Path)
    return parser.parse_args(argv)


def _fetched(folder: str) -> tuple[str, str]:
    """Get the merge commit from the other checkout; return it and the base that it was merged into."""
    _git("fetch", "--quiet", "--no-tags", folder, "+HEAD:refs/gaxx/head")
    return _git("rev-parse", "refs/gaxx/head^1"), _git("rev-parse", "refs/gaxx/head")


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def _append(variable: str, text: str) -> None:
    path = os.environ.get(variable)
    if path:
        with pathlib.Path(path).open("a", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    sys.exit(main())
