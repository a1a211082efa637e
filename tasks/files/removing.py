"""`sync --delete`: what lies in the folder on a node and not here goes, once everything else has arrived there."""

import collections.abc
import os
import posixpath
import stat

from agent.client import AgentChannel
from tasks.captured import CallFailedError, captured
from tasks.files import faults, names
from tasks.files.local_files import Plan
from tasks.files.results import FileFault, FileResult, NodeFault, NodeReport, State
from tasks.files.ssh_node import SshNode, said_of

_LIST_LIMIT_BYTES = 256 * 1024 * 1024


class Doomed:
    """What must go from one node's folder, files before the folders that they are in."""

    def __init__(self, plan: Plan, target: str) -> None:
        self.target = target
        prefix = f"{target}/"
        wanted = [source.remote for source in plan.sources]
        # What could not be sent is no reason to remove what stands in its place.
        self._kept = tuple(path.removeprefix(prefix) for path, _ in plan.skipped)
        self._files = {path.removeprefix(prefix) for path in (*wanted, *self._kept)}
        self._folders = {path.removeprefix(prefix) for path in plan.folders}
        for path in tuple(self._files):
            while path := posixpath.dirname(path):
                self._folders.add(path)

    def choose(self, found: collections.abc.Iterable[tuple[str, bool]]) -> tuple[list[str], list[str]]:
        """From (path below the target, whether it is a folder) choose the files and the folders that go."""
        files: list[str] = []
        folders: list[str] = []
        for path, is_folder in found:
            if any(f"{path}/".startswith(f"{kept}/") for kept in self._kept):
                continue
            if path not in (self._folders if is_folder else self._files):
                (folders if is_folder else files).append(path)
        return sorted(files), sorted(folders, reverse=True)


async def remove_by_agent(
    doomed: Doomed, agent: AgentChannel, report: NodeReport, tell: collections.abc.Callable[[FileResult], None]
) -> None:
    """Remove with the node's own find, rm and rmdir, as the user that items are. Raises NodeFault."""
    top = doomed.target if doomed.target.startswith("/") else f"./{doomed.target}"
    listing = ["find", top, "-mindepth", "1", "(", "-type", "d", "-printf", "d%P\\0", ")", "-o", "-printf", "f%P\\0"]
    code, said, error = await _execute(agent, listing)
    if code != 0 and b"No such file" in error and not said:
        return
    if code != 0:
        raise NodeFault(State.FAILED, f"what is in {doomed.target} cannot be listed: {_first_line(error)}")
    entries = [(os.fsdecode(entry[1:]), entry[:1] == b"d") for entry in said.split(b"\0") if entry]
    files, folders = doomed.choose(entries)
    for command, paths in ((["rm", "-f", "--"], files), (["rmdir", "--"], folders)):
        if not paths:
            continue
        stdin = b"".join(os.fsencode(f"{top}/{path}") + b"\0" for path in paths)
        code, _, error = await _execute(agent, ["xargs", "-0", *command], stdin)
        if code != 0:
            fault = FileResult(report.node, doomed.target, State.FAILED, error=_first_line(error))
            report.add(fault)
            tell(fault)
            return
        for path in paths:
            _removed(doomed, report, tell, path)


def remove_by_ssh(
    doomed: Doomed, remote: SshNode, report: NodeReport, tell: collections.abc.Callable[[FileResult], None]
) -> None:
    """The same by SFTP. Raises NodeFault."""
    try:
        remote.parent(names.joined(doomed.target, "x"), makes=False)
        files, folders = doomed.choose(_walk(remote, remote.path(doomed.target), ""))
    except FileFault as fault:
        if fault.missing:
            return
        raise NodeFault(fault.state, fault.text) from fault
    for remove, paths in ((remote.sftp.remove, files), (remote.sftp.rmdir, folders)):
        for path in paths:
            remote.check()
            try:
                remove(remote.path(f"{doomed.target}/{path}"))
            except OSError as error:
                shown = f"{doomed.target}/{path}"
                result = FileResult(report.node, shown, State.FAILED, error=said_of(error))
                report.add(result)
                tell(result)
            else:
                _removed(doomed, report, tell, path)


def _removed(doomed: Doomed, report: NodeReport, tell: collections.abc.Callable[[FileResult], None], path: str) -> None:
    result = FileResult(report.node, f"{doomed.target}/{path}", State.REMOVED)
    report.add(result)
    tell(result)


def _walk(remote: SshNode, folder: str, prefix: str) -> collections.abc.Iterator[tuple[str, bool]]:
    for entry in remote.entries(folder):
        if names.why_unsafe(entry.filename) or "/" in entry.filename:
            continue
        is_folder = stat.S_ISDIR(entry.st_mode or 0)
        yield f"{prefix}{entry.filename}", is_folder
        if is_folder:
            yield from _walk(remote, f"{folder}/{entry.filename}", f"{prefix}{entry.filename}/")


async def _execute(agent: AgentChannel, argv: list[str], stdin: bytes | None = None) -> tuple[int, bytes, bytes]:
    """Execute to the end; return exit code, stdout and stderr. Raises NodeFault."""
    try:
        said = await captured(agent, argv, purpose="sync", limit_bytes=_LIST_LIMIT_BYTES, stdin=stdin)
    except CallFailedError as ended:
        fault = faults.of_status(ended.code, ended.details)
        raise fault if isinstance(fault, NodeFault) else NodeFault(fault.state, fault.text) from ended
    if said.exit_code is None or said.fault:
        raise NodeFault(State.FAILED, f"{argv[0]}: {said.fault}")
    return said.exit_code, said.stdout, said.stderr


def _first_line(said: bytes) -> str:
    return said.decode("utf-8", "backslashreplace").strip().partition("\n")[0] or "it failed without a word"
