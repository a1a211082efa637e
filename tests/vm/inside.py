"""Scripts on a machine: as an item, and through the tests' back door as root."""

import json

from tests.stack.project import Project
from tests.vm.root_image import FOLDER

# The pipe is there before the script: whoever executes it has somebody to write to.
_ASK_ROOT = """\
mkdir -p "$1" && cd "$1" || exit 1
rm -f out; mkfifo out
cat > new && mv new script
timeout 300 cat out
"""


def inside(vm: Project, script: str, node: str = "demo-1") -> str:
    """What an item that executes `script` says, whatever its exit code."""
    return _said(vm, node, "sh", "-c", script)


def as_root(vm: Project, script: str, node: str = "demo-1") -> str:
    """What root says."""
    return _said(vm, node, "sh", "-c", _ASK_ROOT, "sh", FOLDER, stdin=script)


def _said(vm: Project, node: str, *argv: str, stdin: str = "") -> str:
    done = vm.gaxx("run", "-n", node, "--json", "--", *argv, check=None, stdin=stdin)
    found = [json.loads(line) for line in done.stdout.splitlines() if '"node"' in line]
    assert len(found) == 1, done.text
    return str(found[0]["stdout"]) + str(found[0]["stderr"])
