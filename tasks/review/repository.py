"""The commits that a review compares: names, tree hashes, what differs, and each in a folder of its own."""

import collections.abc
import contextlib
import dataclasses
import os
import pathlib
import subprocess
import tempfile

from components.errors import GaxxError

DEFAULT_BASES = ("origin/HEAD", "origin/main", "main", "origin/master", "master")
_SHORT = 12


@dataclasses.dataclass(frozen=True, slots=True)
class Commit:
    """One commit, or with `dirty` the working tree above it."""

    sha: str
    tree: str
    """Hash of all that it holds."""
    dirty: bool = False

    @property
    def short(self) -> str:
        """The commit as a person names it."""
        return f"{self.sha[:_SHORT]}{' and uncommitted changes' if self.dirty else ''}"


@dataclasses.dataclass(frozen=True, slots=True)
class Repository:
    """A project inside a Git repository."""

    project: pathlib.Path
    """Where Pulumi.yaml lies."""
    top: pathlib.Path

    def commit(self, ref: str) -> Commit:
        """Resolve a name; raise GaxxError when there is no such commit."""
        # A name that starts with a hyphen would be an option.
        found = self._git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}", allow=(1, 128))
        if not found:
            message = f"no commit is called {ref}"
            raise GaxxError(message, hint="`git fetch` gets the branches of others")
        return Commit(found, self._git("rev-parse", f"{found}^{{tree}}"))

    def default_base(self) -> str:
        """The branch that changes are proposed to."""
        for ref in DEFAULT_BASES:
            if self._git("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", allow=(1, 128)):
                return ref
        message = f"none of {', '.join(DEFAULT_BASES)} is a commit here"
        raise GaxxError(message, hint="name the base of the review with --base REF")

    def working_tree(self, ignoring: collections.abc.Iterable[pathlib.Path] = ()) -> Commit:
        """What lies in the folder now, but for files that are of no account."""
        head = self.commit("HEAD")
        inside = [path.resolve() for path in ignoring if path.resolve().is_relative_to(self.top)]
        others = [f":(exclude,literal,top){path.relative_to(self.top)}" for path in inside]
        words = ("status", "--porcelain", "--untracked-files=all", "--", str(self.project), *others)
        dirty = bool(self._git(*words))
        return dataclasses.replace(head, dirty=dirty)

    def behind(self, base: Commit, head: Commit) -> int:
        """How many commits of the base the head does not have."""
        return int(self._git("rev-list", "--count", f"{head.sha}..{base.sha}"))

    def changed(self, base: Commit, head: Commit) -> tuple[str, ...]:
        """Files of the project that differ, relative to it; of a dirty head also what is not committed."""
        ends = [base.sha] if head.dirty else [base.sha, head.sha]
        names = self._git("diff", "--name-only", "--no-renames", "-z", "--relative", *ends, "--", ".", at=self.project)
        found = {name for name in names.split("\0") if name}
        if head.dirty:
            others = self._git("ls-files", "--others", "--exclude-standard", "-z", at=self.project)
            found |= {name for name in others.split("\0") if name}
        return tuple(sorted(found))

    @contextlib.contextmanager
    def checked_out(self, commit: Commit) -> collections.abc.Iterator[pathlib.Path]:
        """The project as a commit has it, in a folder that goes at the end; yield that folder."""
        with tempfile.TemporaryDirectory(prefix="gaxx-review-") as temporary:
            folder = pathlib.Path(temporary) / "tree"
            self._git("worktree", "add", "--quiet", "--detach", "--force", str(folder), commit.sha)
            try:
                project = folder / self.project.relative_to(self.top)
                # Dependencies are those of this checkout: a commit brings no libraries.
                venv = project / ".venv"
                if not venv.exists() and (self.project / ".venv").exists():
                    venv.symlink_to((self.project / ".venv").resolve())
                yield project
            finally:
                self._git("worktree", "remove", "--force", str(folder))

    def _git(self, *words: str, allow: tuple[int, ...] = (), at: pathlib.Path | None = None) -> str:
        return _git(at or self.top, *words, allow=allow)


def find(project: pathlib.Path) -> Repository:
    """The repository that a project lies in; raise GaxxError when it lies in none."""
    project = project.resolve()
    top = _git(project, "rev-parse", "--show-toplevel", allow=(128,))
    if not top:
        message = f"{project} lies in no Git repository"
        raise GaxxError(message, hint="a review compares two commits: `git init`, and commit the project")
    return Repository(project, pathlib.Path(top).resolve())


def _git(folder: pathlib.Path, *words: str, allow: tuple[int, ...] = ()) -> str:
    """Run git and return its stdout; "" where it ends with one of `allow`."""
    # Hooks and filters of a repository are programs: a review runs none of them that it did not ask for.
    options = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment["GIT_LFS_SKIP_SMUDGE"] = "1"  # a commit names the server that its large files come from
    try:
        done = subprocess.run(
            ["git", *options, *words], cwd=folder, capture_output=True, check=False, env=environment, text=True
        )
    except FileNotFoundError:
        message = "git is not on PATH"
        raise GaxxError(message, hint="apt-get install git") from None
    if done.returncode in allow:
        return ""
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        message = f"git {words[0]}: {lines[-1] if lines else f'ended with {done.returncode}'}"
        raise GaxxError(message)
    return done.stdout.rstrip("\n")
