"""The provider's side of a local machine: where it lives, and the script that runs as its account."""

import dataclasses
import json
import pathlib
import typing

from components import account_script
from components.account_script import PATH
from components.local_machine.cloud_config import BootFile, below_root, boot_files
from components.places import Account, nodes_dir
from components.ports import Port

SSH_PORT = int(Port.LOCAL_SSH)
BUNDLE_STORE = ".bundles"
_SCRIPT = pathlib.Path(__file__).parent / "script.py"


@dataclasses.dataclass(frozen=True, slots=True)
class Machine:
    """A local machine: its node, its folder and its id."""

    node: str
    root: pathlib.Path
    id: str

    @classmethod
    def of(cls, stack_key: str, node: str, machine_id: str) -> "Machine":
        """The machine of `node` in the stack with that key."""
        return cls(node, nodes_dir() / stack_key / node, machine_id)

    @property
    def helper(self) -> str:
        """The command that runs the enrolment helper on this machine."""
        return f"{self.root}/usr/local/sbin/gaxx-enrol"

    def marker(self) -> dict[str, typing.Any] | None:
        """What the machine's folder says of itself; None when there is no whole machine."""
        try:
            marker: dict[str, typing.Any] = json.loads((self.root / "machine.json").read_text())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return marker

    def boot(self, request: "BootRequest") -> bool:
        """Start what is not running; return whether anything had to be started. Raise NodeError when it cannot."""
        account = self._account()
        account_script.make_parent(self.root.parent, account)
        config = BootFile("/etc/ssh/sshd_config", _sshd_config(self.root, request.address, self.id), 0o600)
        files = [below_root(file, str(self.root)) for file in (*boot_files(request.user_data), config)]
        limit = request.open_files
        answer = self._call(
            {
                "verb": "boot",
                "address": request.address,
                "port": SSH_PORT,
                "path": PATH,
                "files": [dataclasses.asdict(file) for file in files],
                "limits": ["/usr/bin/prlimit", f"--nofile={limit}:{limit}", "--core=0:0"],
                "marker": {
                    "id": self.id,
                    "address": request.address,
                    "created": request.created,
                    "userData": request.user_data_digest,
                },
                "machine": {
                    "machine": self.id,
                    **({"node": self.node} if request.named else {}),
                    "services": "process",
                    # Unpacked once for all machines of the stack, and gone with the stack.
                    "bundleStore": str(self.root.parent / BUNDLE_STORE),
                    "memoryLimitBytes": request.memory_limit_bytes,
                },
            }
        )
        return bool(answer["started"])

    def remove(self) -> int:
        """End its processes and delete its folder; return how many processes there were."""
        return int(self._call({"verb": "remove"})["ended"])

    def stop(self) -> int:
        """End its processes only."""
        return int(self._call({"verb": "stop"})["ended"])

    def account_name(self) -> str:
        """The account that its processes run as."""
        return self._account().name

    def _account(self) -> Account:
        return account_script.account(self.node)

    def _call(self, request: dict[str, typing.Any]) -> dict[str, typing.Any]:
        return account_script.run(self.node, _SCRIPT, {**request, "root": str(self.root), "id": self.id})


@dataclasses.dataclass(frozen=True, slots=True)
class BootRequest:
    """What a machine is booted with."""

    address: str
    user_data: str = dataclasses.field(repr=False)
    user_data_digest: str
    """sha256: tells whether an interrupted create of the same machine can be adopted."""
    created: str
    """RFC 3339, UTC."""
    open_files: int
    memory_limit_bytes: int
    named: bool = True
    """Whether the machine knows its node's name before it is enrolled, which a vendor's does not."""


def machines(stack_key: str) -> list[Machine]:
    """All machines that lie in the stack's folder, whole or not."""
    folder = nodes_dir() / stack_key
    if not folder.is_dir():
        return []
    found = []
    for root in sorted(folder.iterdir()):
        if root.name == BUNDLE_STORE:
            continue
        machine = Machine(root.name, root, "")
        found.append(dataclasses.replace(machine, id=(machine.marker() or {}).get("id", "")))
    return found


def remove_all(stack_key: str) -> None:
    """Remove what is left in the stack's folder, and the folder."""
    root = nodes_dir() / stack_key
    if root.exists():
        Machine("the stack's folder", root, stack_key).remove()


def _sshd_config(root: pathlib.Path, address: str, machine_id: str) -> str:
    # The drop-in comes first: sshd keeps the first value that it reads, and the drop-in is what hardens.
    return f"""Include {root}/etc/ssh/sshd_config.d/*.conf
Port {SSH_PORT}
ListenAddress {address}
HostKey {root}/etc/ssh/ssh_host_ed25519_key
PidFile {root}/run/sshd.pid
AuthorizedKeysFile {root}/etc/ssh/authorized_keys
# The keys lie in folders that only the account may write; where the user's state folder lies is the user's choice.
StrictModes no
UsePAM no
PrintMotd no
MaxStartups 256:30:512
LoginGraceTime 30
Subsystem sftp internal-sftp
SetEnv GAXX_ROOT={root} GAXX_MACHINE={machine_id} PATH={PATH}
"""
