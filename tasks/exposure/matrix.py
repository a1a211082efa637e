"""Each port of each node: what answers, beside what must."""

import asyncio
import collections
import collections.abc
import dataclasses
import json
import pathlib
import typing

from components.errors import GaxxError, NodeError
from components.inventory import Node
from components.settings import Settings
from tasks import failure, identity
from tasks.captured import CallFailedError, captured
from tasks.exposure import expected, probe, standing, through
from tasks.exposure.expected import Asked
from tasks.fanout import fan_out
from tasks.inventory import Found
from tasks.selection import fold_names
from tasks.ssh import reach

COLUMNS = ("from", "nodes", "SSH", "agent", "metrics", "6060", "others")
HERE = "here"
_ANSWER_LIMIT_BYTES = 64 << 20
_OPEN = {"answers", "foreign", "silent"}
"""What says that a connection was accepted."""

_PROBE = pathlib.Path(probe.__file__).read_text()

Record = dict[str, typing.Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """One port of one node, asked from one place."""

    node: str
    port: int
    name: str
    asker: str
    """`here`, or the name of the peer that asked."""
    source: str
    """From which address, as far as it is known."""
    answer: str
    """A word of `probe`."""
    detail: str
    expected_open: bool

    @property
    def is_open(self) -> bool:
        """Whether a connection is accepted there."""
        return self.answer in _OPEN

    @property
    def is_right(self) -> bool:
        """Whether the node's own service answers where it must, and nobody where nobody may."""
        return self.answer == "answers" if self.expected_open else not self.is_open

    @property
    def word(self) -> str:
        """As the table has it; wrong ones stand out without colour, too."""
        state = ("open" if self.answer == "answers" else self.answer) if self.is_open else "closed"
        return state if self.is_right else f"{state.upper()}!"

    @property
    def fault(self) -> str:
        """A sentence for what is wrong."""
        what = f"{self.port} ({self.name})" if self.name else str(self.port)
        where = f"from {self.asker}" + (f" ({self.source})" if self.source else "")
        if self.expected_open:
            return f"{self.node}: {what} must answer {where}: {self.answer} ({self.detail})"
        return f"{self.node}: {what} must not be open {where}: {self.answer} ({self.detail})"

    def as_dict(self) -> dict[str, object]:
        """The same for programs."""
        return {**dataclasses.asdict(self), "open": self.is_open, "right": self.is_right}


@dataclasses.dataclass(frozen=True, slots=True)
class Matrix:
    """All that was asked, and why some could not be."""

    cells: tuple[Cell, ...]
    unasked: tuple[str, ...]
    """A sentence for each node that could not ask its peer."""
    without_peers: tuple[str, ...]
    """Nodes that no other one has a way to."""

    @property
    def wrong(self) -> tuple[Cell, ...]:
        """What is not as declared."""
        return tuple(cell for cell in self.cells if not cell.is_right)

    @property
    def exit_code(self) -> int:
        """3 when something is not as declared, 5 when not everything could be asked."""
        return 3 if self.wrong else 5 if self.unasked else 0

    def rows(self) -> collections.abc.Iterator[tuple[str, ...]]:
        """Cells of COLUMNS, equal nodes in one row."""
        by_place: dict[tuple[bool, str], list[Cell]] = collections.defaultdict(list)
        for cell in self.cells:
            by_place[cell.asker == HERE, cell.node].append(cell)
        names: dict[tuple[str, ...], list[str]] = collections.defaultdict(list)
        for (is_here, node), cells in by_place.items():
            own = {cell.name: cell.word for cell in cells if cell.name}
            others = [cell for cell in cells if not cell.name]
            wrong = [f"{cell.port} {cell.word}" for cell in others if not cell.is_right]
            rest = ", ".join(wrong) or (f"{len(others)} closed" if others else "-")
            place = f"here ({cells[0].source})" if is_here and cells[0].source else HERE if is_here else "a peer"
            names[place, own["SSH"], own["agent"], own["metrics"], own["profiler"], rest].append(node)
        for (place, *words), nodes in names.items():
            yield (place, fold_names(nodes), *words)


async def ask(
    found: Found,
    nodes: collections.abc.Sequence[Node],
    settings: Settings,
    *,
    timeout_s: float,
    ports: tuple[int, ...] = (),
) -> Matrix:
    """Ask every port of every node from here and from a peer. Raise Refused when we are none of its operators."""
    me = identity.agent_identity(found.inventory, identity.load())
    way = reach.Reach(found, me)
    fleets = {fleet.name: fleet for fleet in settings.fleets}
    strange = sorted({node.fleet for node in nodes} - fleets.keys())
    if strange:
        message = f"the stack file declares no fleet {', '.join(strange)}, which has nodes"
        raise GaxxError(message, hint="`pulumi up` makes the two agree")
    asked = {node.name: expected.ports_of(node, ports) for node in nodes}
    request = {"authority": found.inventory.authority_certificate, "timeout_s": timeout_s}
    sources, outside = await asyncio.gather(
        standing.seen_as(found, nodes),
        _ask_from_here(nodes, request, asked),
    )
    peers = standing.peers(nodes)
    by_name = {node.name: node for node in nodes}

    async def by_peer(name: str) -> tuple[list[Record], str]:
        targets = _targets(by_name[name], by_name[name].address, asked)
        return await _ask_peer(way, peers[name], {**request, "targets": targets}, timeout_s)

    inside = await fan_out(list(peers), by_peer)
    ports_asked = {(name, one.port): one for name, several in asked.items() for one in several}
    cells = []
    for asker, records in [(HERE, outside), *((peers[n].name, r) for n, (r, _) in zip(peers, inside, strict=True))]:
        for record in records:
            node = by_name[record["node"]]
            source = sources.get(node.name, "") if asker == HERE else ""
            source = source or record["source"] or (peers[node.name].address if asker != HERE else "")
            port = ports_asked[node.name, record["port"]]
            must = bool(source) and expected.is_open(fleets[node.fleet], node, port, source, inside=asker != HERE)
            cells.append(Cell(node.name, port.port, port.name, asker, source, record["answer"], record["detail"], must))
    return Matrix(
        tuple(cells),
        tuple(fault for _, fault in inside if fault),
        tuple(node.name for node in nodes if node.name not in peers),
    )


async def _ask_from_here(
    nodes: collections.abc.Sequence[Node], request: Record, asked: dict[str, tuple[Asked, ...]]
) -> list[Record]:
    """Ask from where this computer's connections come from, as the nodes see them."""
    behind = {node.name: node for node in nodes if node.jump}
    targets = [one for node in nodes for one in _targets(node, node.ssh_host, asked)]
    direct, jumped = await asyncio.gather(
        probe.ask({**request, "targets": [one for one in targets if one["node"] not in behind]}),
        through.ask(behind, request, [one for one in targets if one["node"] in behind]),
    )
    return [*direct, *jumped]


def _targets(node: Node, address: str, asked: dict[str, tuple[Asked, ...]]) -> list[Record]:
    same = {"node": node.name, "address": address, "tls_name": node.tls_name}
    return [{**same, "port": one.port, "protocol": one.protocol} for one in asked[node.name]]


async def _ask_peer(way: reach.Reach, peer: Node, request: Record, timeout_s: float) -> tuple[list[Record], str]:
    # What the node's Python executes is what this one does.
    argv = ["python3", "-c", _PROBE]
    # Every port takes its time at worst, AT_ONCE of them at once.
    bound_s = 10 + 3 * timeout_s * (1 + len(request["targets"]) // probe.AT_ONCE)
    try:
        async with way.open(peer) as agent:
            said = await captured(
                agent, argv, purpose="exposure", limit_bytes=_ANSWER_LIMIT_BYTES, stdin=json.dumps(request).encode(),
                timeout_s=bound_s,
            )  # fmt: skip
        if said.exit_code != 0 or said.fault:
            last = said.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            return [], f"{peer.name} could not ask its peer: {said.fault or last or f'exit code {said.exit_code}'}"
        records: list[Record] = json.loads(said.stdout)
    except CallFailedError as ended:
        return (
            [],
            f"{peer.name} could not ask its peer: {failure.classify(ended.code, ended.details, started=False)[1]}",
        )
    except (NodeError, ValueError) as error:
        return [], f"{peer.name} could not ask its peer: {error}"
    return records, ""
