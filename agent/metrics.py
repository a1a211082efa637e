"""The agent's figures, in a registry of its own. Every label is one of a closed set."""

import os
import resource
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agent.access.denied import Reason
from agent.proto.agent_pb2 import Ending

if TYPE_CHECKING:
    from agent.node import Node

_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, 7200)


class Metrics:
    """Counters that the parts of the agent add to, and gauges that are read when they are scraped."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.refusals = Counter("gaxx_agent_refusals", "Calls and scrapes refused.", ["reason"], registry=self.registry)
        self.execs = Counter("gaxx_agent_execs", "Commands executed, by ending.", ["ending"], registry=self.registry)
        self.items = Counter("gaxx_agent_items", "Items executed, by ending.", ["ending"], registry=self.registry)
        self.wall = Histogram(
            "gaxx_agent_wall_seconds", "Duration of commands and items.", buckets=_SECONDS, registry=self.registry
        )
        self.bytes_in = Counter("gaxx_agent_put_bytes", "Bytes of files stored.", registry=self.registry)
        self.bytes_out = Counter("gaxx_agent_get_bytes", "Bytes of files read.", registry=self.registry)
        self.certificate_expiry = Gauge(
            "gaxx_agent_certificate_expiry_timestamp_seconds",
            "When the node's certificate ends.",
            registry=self.registry,
        )
        # Every series exists from the start, so that a rate has something to start from.
        for reason in get_args(Reason):
            self.refusals.labels(reason)
        for ending in Ending.keys()[1:]:
            self.execs.labels(ending.lower())
            self.items.labels(ending.lower())

    def refused(self, reason: Reason) -> None:
        """Count a refusal."""
        self.refusals.labels(reason).inc()

    def executed(self, ending: Ending, wall_s: float, *, item: bool) -> None:
        """Count one command or item that ended."""
        (self.items if item else self.execs).labels(Ending.Name(ending).lower()).inc()
        self.wall.observe(wall_s)

    def watch(self, node: "Node") -> None:
        """Read the node's own gauges at every scrape."""
        self.registry.register(_NodeGauges(node))

    def text(self) -> bytes:
        """Return the exposition text."""
        return generate_latest(self.registry)


class _NodeGauges(Collector):
    def __init__(self, node: "Node") -> None:
        self._node = node

    def collect(self) -> Iterator[Metric]:
        node = self._node
        activity = node.activity
        memory = memory_bytes()
        total, free = disk_bytes(node)
        values: list[tuple[str, str, Callable[[], float]]] = [
            ("gaxx_agent_uptime_seconds", "Since the agent started.", lambda: activity.uptime_s),
            ("gaxx_agent_sessions", "Commands that run now.", lambda: activity.sessions),
            ("gaxx_agent_items_running", "Items that run now.", lambda: activity.running_items),
            ("gaxx_agent_items_queued", "Items leased and waiting.", lambda: activity.queued_items),
            ("gaxx_agent_slots", "Items that may run at once.", lambda: node.runner.slots),
            ("gaxx_agent_draining", "1 while no new work is taken.", lambda: activity.draining),
            ("gaxx_agent_idle_seconds", "Since the last item or command ended.", lambda: activity.idle_s),
            ("gaxx_agent_runner_up", "1 while the runner answers.", lambda: node.runner.is_alive),
            ("gaxx_agent_runner_restarts", "How often the runner was lost.", lambda: node.runner.restarts),
            ("gaxx_agent_manifest_serial", "Of the manifest in force.", lambda: node.manifest.serial),
            ("gaxx_agent_expires_timestamp_seconds", "End of the TTL; 0: none.", lambda: node.manifest.expires_unix_s),
            ("gaxx_node_load1", "Load average of one minute.", lambda: os.getloadavg()[0]),
            ("gaxx_node_memory_total_bytes", "Memory of the node.", lambda: memory[0]),
            ("gaxx_node_memory_available_bytes", "Memory still to be had.", lambda: memory[1]),
            ("gaxx_node_disk_total_bytes", "Size of the work folder's disk.", lambda: total),
            ("gaxx_node_disk_free_bytes", "Free on the work folder's disk.", lambda: free),
            ("gaxx_agent_resident_peak_bytes", "The agent's own peak memory.", _peak_bytes),
            ("gaxx_node_time_seconds", "The node's clock.", time.time),
        ]
        for name, text, read in values:
            yield GaugeMetricFamily(name, text, value=float(read()))
        info = GaugeMetricFamily("gaxx_agent_info", "Always 1.", labels=["node", "build"])
        info.add_metric([node.manifest.node, node.config.build], 1.0)
        yield info


def memory_bytes() -> tuple[int, int]:
    """Return total and available memory of the node."""
    found = {"MemTotal": 0, "MemAvailable": 0}
    with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123 - not a path of ours
        for line in file:
            name, _, rest = line.partition(":")
            if name in found:
                found[name] = int(rest.split()[0]) * 1024
    return found["MemTotal"], found["MemAvailable"]


def disk_bytes(node: "Node") -> tuple[int, int]:
    """Return total and free bytes of the disk under the work folder."""
    stat = os.statvfs(node.config.work_dir)
    return stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize


def _peak_bytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
