"""A Git repository that holds this project as a user's clone would, and `gaxx` run in it."""

import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping

from tasks import identity
from tests.conftest import GUARDED_PREFIXES

ROOT = pathlib.Path(__file__).resolve().parents[2]
_FOLDERS = ("agent", "components", "policy", "tasks", "jobs")
_FILES = ("__main__.py", "Pulumi.yaml", "fabfile.py", "pyproject.toml", "uv.lock")
_LIMIT_S = 300.0

LOCAL = """\
config:
  gaxx:ttl: 4h # then it ends by itself
  gaxx:fleets:
    - name: demo
      cloud: local
      nodes: 2
      type: small
"""
PAID = """\
config:
  gaxx:ttl: 4h
  gaxx:allowedRegions: [nl-ams, de-fra-2]
  gaxx:authorityKey:
    secure: v1:AAAAAAAAAAAAAAAA:ciphertext
  gaxx:operators:
    - name: ada
      role: operator
      sshPublicKey: {ssh}
      csr: |
{csr}
  gaxx:fleets:
    - name: render
      cloud: linode
      nodes: 8
      type: g6-standard-2
      regions: [nl-ams]
      image: linode/debian12
      sshCidrs: [203.0.113.7/32]
"""
PARAMETERS = '{"node-budget": {"nodes": 12}, "hourly-budget": {"usd": 1}, "job-limits-declared": "mandatory"}\n'


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What a command said."""

    code: int
    stdout: str
    stderr: str


@dataclasses.dataclass(frozen=True, slots=True)
class TestRepository:
    """A clone, with main checked out."""

    __test__ = False

    folder: pathlib.Path
    environment: Mapping[str, str]

    def git(self, *words: str) -> str:
        """Run git; fail the test where it fails."""
        done = subprocess.run(
            ("git", *words), cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def branch(self, name: str, edits: Mapping[str, Callable[[str], str]]) -> None:
        """Make a branch of main on which files are edited; one that becomes empty is removed."""
        self.git("switch", "--quiet", "--create", name, "main")
        try:
            for path, edit in edits.items():
                file = self.folder / path
                before = file.read_text() if file.exists() else ""
                after = edit(before)
                assert after != before, f"{path} is edited on {name}"
                if after:
                    file.write_text(after)
                else:
                    file.unlink()
            self.git("add", "--all")
            self.git("commit", "--quiet", "--message", name)
        finally:
            self.git("switch", "--quiet", "main")

    def gaxx(self, *words: str) -> Answer:
        """Run this project's own `gaxx` in the clone."""
        done = subprocess.run(
            (sys.executable, "-m", "tasks.cli.main", *words),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def review(self, branch: str, *words: str) -> Answer:
        """Review a branch against main; commits are named BASE and HEAD in the answer."""
        answer = self.gaxx("review", "--base", "main", "--head", branch, *words)
        text = answer.stdout
        for ref, name in (("main", "BASE"), (branch, "HEAD")):
            text = text.replace(self.git("rev-parse", ref)[:12], name)
        return dataclasses.replace(answer, stdout=text)


def replaced(before: str, after: str) -> Callable[[str], str]:
    """An edit of a file."""
    return lambda text: text.replace(before, after)


def new_repository(base: pathlib.Path) -> TestRepository:
    """Make it below `base`: this project's files as they are now, two stacks, the pack's parameters."""
    folder, home = base / "project", base / "home"
    (folder / "stacks").mkdir(parents=True)
    home.mkdir()
    ignore = shutil.ignore_patterns("__pycache__")
    for name in _FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    for name in _FILES:
        shutil.copy(ROOT / name, folder / name)
    (folder / ".gitignore").write_text(".venv\n__pycache__/\n")
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "stacks" / "Pulumi.demo.yaml").write_text(LOCAL)
    (folder / "stacks" / "Pulumi.render.yaml").write_text(_paid(base))
    shutil.copy(ROOT / "stacks" / "examples" / "Pulumi.both.yaml", folder / "stacks")
    (folder / "policy" / "parameters.json").write_text(PARAMETERS)
    # It is made once for many tests, before or after other fixtures have chosen backends for theirs.
    bare = {name: value for name, value in os.environ.items() if not name.startswith(GUARDED_PREFIXES)}
    environment = {
        **bare,
        "PATH": f"{pathlib.Path(sys.prefix) / 'bin'}:{os.environ['PATH']}",
        "HOME": str(home),
        **{f"XDG_{name}_HOME": str(home / name.lower()) for name in ("CACHE", "CONFIG", "STATE")},
        "GAXX_STATE_DIR": str(base / "nodes"),
        "PULUMI_HOME": str(home / "pulumi"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        **{f"GIT_{who}_{what}": "ada@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    made = TestRepository(folder, environment)
    made.git("init", "--quiet", "--initial-branch", "main")
    made.git("add", "--all")
    made.git("commit", "--quiet", "--message", "main")
    return made


def _paid(base: pathlib.Path) -> str:
    operator = base / "operator"
    operator.mkdir(mode=0o700)
    identity.make(operator, "ada")
    csr = "\n".join(f"        {line}" for line in (operator / identity.CSR).read_text().splitlines())
    return PAID.format(ssh=(operator / f"{identity.SSH_KEY}.pub").read_text().strip(), csr=csr)
