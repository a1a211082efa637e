"""Runs a script as the account that machines on this computer run as: root never writes where such an account may."""

import json
import os
import pathlib
import subprocess
import typing

from components.errors import NodeError
from components.places import Account, local_account, state_dir

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SYSTEM_PYTHON = "/usr/bin/python3"
LIMIT_S = 60.0
# The script's text comes on standard input too: the account need not be able to read this checkout.
_LOADER = "import sys; n = int(sys.stdin.readline()); exec(compile(sys.stdin.read(n), 'script', 'exec'))"


def account(node: str) -> Account:
    """The account that `node` runs as; raise NodeError where set-up has not made it."""
    try:
        return local_account()
    except KeyError as error:
        raise NodeError(node, "root's machines on this computer need the account gaxx", hint="make setup") from error


def run(node: str, script: pathlib.Path, request: dict[str, typing.Any], *, group: str = "") -> dict[str, typing.Any]:
    """Run `script` as the account with the request as JSON on stdin; return its JSON answer, or raise NodeError.

    Root may lend the account one more group for what the script starts.
    Scripts import the standard library only. An answer with `error` is the node's failure in its own words.
    """
    who = account(node)
    text, body = script.read_text(), json.dumps(request)
    # A program of its own changes the user: Python's `user=` would fork this process with all of gRPC's threads.
    become = [
        "/usr/bin/setpriv",
        f"--reuid={who.uid}",
        f"--regid={who.gid}",
        f"--groups={group}" if group else "--clear-groups",
    ]
    try:
        done = subprocess.run(
            [*((*become, "--") if os.geteuid() == 0 else ()), SYSTEM_PYTHON, "-I", "-c", _LOADER],
            input=f"{len(text)}\n{text}{body}",
            capture_output=True,
            text=True,
            cwd="/",
            env={"PATH": PATH, "LANG": "C.UTF-8"},
            timeout=LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NodeError(node, f"{request['verb']} took longer than {LIMIT_S:.0f} s") from error
    except FileNotFoundError as error:
        raise NodeError(node, f"{SYSTEM_PYTHON} is missing", hint="install python3") from error
    if done.returncode != 0 or not done.stdout:
        tail = done.stderr.strip().splitlines()[-1:] or ["no answer"]
        raise NodeError(node, f"{request['verb']} failed: {tail[0]}")
    answer: dict[str, typing.Any] = json.loads(done.stdout)
    if "error" in answer:
        raise NodeError(node, answer["error"])
    return answer


def make_parent(folder: pathlib.Path, who: Account) -> None:
    """Make the folder that machines lie in, the account's own."""
    missing = [path for path in (folder, *folder.parents) if path.is_relative_to(state_dir()) and not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True, mode=0o711)
        if os.geteuid() == 0:
            os.chown(path, who.uid, who.gid)
