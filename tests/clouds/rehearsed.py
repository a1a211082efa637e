"""A throw-away project whose vendors are a rehearsal, with stand-ins for the vendors' plugins."""

import contextlib
import dataclasses
import pathlib
import shlex
import signal
from collections.abc import Iterator, Mapping

from components.authority import Authority
from tests.clouds.accounts import Accounts
from tests.clouds.standin import launchers
from tests.stack import people
from tests.stack.project import Project, new_project
from tests.waiting import until

STACK = "prod"
_DESTROYS = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Rehearsed:
    """A project, and the accounts that its stacks live in."""

    project: Project
    accounts: Accounts

    def create(self, *fleets: Mapping[str, object], **more: object) -> None:
        """Create the stack `prod` with an authority and its owner as operator."""
        configuration = {"ttl": "1h", "operators": [people.owner(self.project).entry()], **more}
        self.project.create(STACK, {**configuration, "fleets": list(fleets)})
        pem = Authority.create(STACK).pem
        self.project.pulumi("config", "set", "--secret", "--stack", STACK, "gaxx:authorityKey", stdin=pem)

    def change(self, *fleets: Mapping[str, object], **more: object) -> None:
        """Declare other fleets; what is None is not declared."""
        wanted = {"ttl": "1h", "operators": [people.owner(self.project).entry()], **more}
        configuration = {key: value for key, value in wanted.items() if value is not None}
        self.project.configure(STACK, {**configuration, "fleets": list(fleets)})


def linode(nodes: int, name: str = "west", **more: object) -> dict[str, object]:
    """A fleet of Linodes that this computer reaches directly."""
    return {**_fleet(nodes, name), "cloud": "linode", "regions": ["nl-ams", "de-fra-2"], **more}


def vultr(nodes: int, name: str = "east", **more: object) -> dict[str, object]:
    """A fleet of Vultr's machines that this computer reaches directly."""
    return {**_fleet(nodes, name), "cloud": "vultr", "regions": ["ams"], **more}


def _fleet(nodes: int, name: str) -> dict[str, object]:
    own = ["127.0.0.0/8"]
    return {"name": name, "nodes": nodes, "sshCidrs": own, "trustedCidrs": own, "reach": "direct"}


@contextlib.contextmanager
def new_rehearsed(bundles: pathlib.Path, *options: str) -> Iterator[Rehearsed]:
    """Start a rehearsal with these options of `gaxx rehearse`; afterwards prove that nothing is left at the vendors."""
    with new_project(bundles) as project:
        plugins(project)
        # Its words go where nobody needs to read them while it runs.
        with project.started("sh", "-c", 'exec gaxx rehearse "$@" 2>rehearsal.log', "-", *options) as process:
            assert process.stdout is not None
            lines = (shlex.split(process.stdout.readline().decode())[1] for _ in range(6))
            variables = dict(line.split("=", 1) for line in lines)
            project.environment.update(variables)
            made = Rehearsed(project, Accounts(variables))
            try:
                yield made
                for stack in project.stacks:
                    _destroyed(project, stack)
                # A deletion that answers late is listed for a while.
                until(lambda: not any(made.accounts.left().values()), deadline_s=30)
            finally:
                process.send_signal(signal.SIGTERM)
                assert process.wait(60) == 0, (project.folder / "rehearsal.log").read_text()


def _destroyed(project: Project, stack: str) -> None:
    # A call that fails by wish fails the destroy honestly; it goes on where it stopped.
    for _ in range(_DESTROYS):
        if project.destroy("--stack", stack, check=None).code == 0:
            return
    project.destroy("--stack", stack)


def plugins(project: Project) -> None:
    """Put the stand-ins on the project's PATH."""
    folder = project.base / "plugins"
    folder.mkdir()
    launchers.write(folder)
    project.environment["PATH"] = f"{folder}:{project.environment['PATH']}"
