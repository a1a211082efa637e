"""The settings manifest of one node: what enrolment signs and the node installs. Pure."""

import datetime as dt
import json

from components.firewall_rules import nftables, rules_for
from components.ports import Port
from components.provider.wire import Properties

NODE_DAYS = 60
"""How long a node's certificate is valid; renewed in place long before."""


def expiry(inputs: Properties) -> str:
    """When the node expires: the vendor's creation time plus the stack's TTL; empty where there is none."""
    if not inputs["ttlS"]:
        return ""
    created = dt.datetime.fromisoformat(inputs["created"])
    return (created + dt.timedelta(seconds=inputs["ttlS"])).isoformat(timespec="seconds")


def compose(
    inputs: Properties,
    *,
    serial: int,
    certificate: str,
    authority_certificates: str,
    authorities_ssh: list[str],
    bundle: str,
    extra_principals: tuple[Properties, ...],
) -> bytes:
    """Return the manifest's bytes, ready to be signed; `serial` must grow with each one of a node."""
    manifest = {
        "version": 1,
        "node": inputs["node"],
        "fleet": inputs["fleet"],
        "machine": inputs["machineId"],
        "serial": serial,
        "tlsName": inputs["tlsName"],
        "cloud": inputs["cloud"],
        "address": inputs["address"],
        "agentPort": int(Port.AGENT),
        "metricsPort": int(Port.METRICS),
        "sshPort": inputs["sshPort"],
        "certificate": certificate,
        # While one authority takes over from another, both.
        "authorityCertificate": authority_certificates,
        "authoritiesSsh": authorities_ssh,
        "trustedCidrs": inputs["trustedCidrs"],
        "sshCidrs": inputs["sshCidrs"],
        # What the node itself enforces: the cloud's firewall may be wrong, or none.
        "firewall": nftables(rules_for(Port.SSH, inputs["sshCidrs"], inputs["trustedCidrs"]), metadata_denied=True),
        "principals": [*inputs["principals"], *extra_principals],
        "deniedSerials": inputs.get("deniedSerials") or [],
        "env": inputs.get("env") or {},
        "groups": inputs.get("groups") or [],
        "packages": inputs.get("packages") or [],
        "files": inputs.get("files") or {},
        "slots": inputs["slots"],
        "expires": expiry(inputs),
        "idle_s": inputs.get("idleS") or 0,
        "bundle": bundle,
    }
    return json.dumps(manifest, sort_keys=True).encode()
