"""`python -m tests.clouds.declared linode`: what our cloud declares to the engine, as JSON; run with Pulumi's mocks."""

import asyncio
import json
import sys
import typing

import pulumi

from components.clouds import cloud
from components.clouds.base import FirewallRequest, MachineRequest, NetworkRequest
from components.firewall import parse_fleet
from components.firewall_rules import rules

USER_DATA = "#cloud-config\npackage_update: false\n"


class Recorded(pulumi.runtime.Mocks):
    """Keeps what is declared."""

    def __init__(self) -> None:
        self.resources: dict[str, typing.Any] = {}

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[typing.Any, typing.Any]]:
        self.resources[args.typ] = args.inputs
        return "4711", {**args.inputs, "ipv4s": ["192.0.2.1"], "mainIp": "192.0.2.1"}

    def call(
        self, args: pulumi.runtime.MockCallArgs
    ) -> tuple[dict[typing.Any, typing.Any], list[tuple[str, str]] | None]:
        raise AssertionError(args.token)


def main(name: str) -> None:
    """Declare a machine and its firewall, and print their inputs by type."""
    entry = {
        "name": "web",
        "cloud": name,
        "regions": ["ams"],
        "sshCidrs": ["203.0.113.7/32", "2001:db8::/64"],
        "privateNetwork": "10.20.0.0/24",
    }
    fleet = parse_fleet(typing.cast("dict[str, object]", entry))
    recorded = Recorded()
    asyncio.set_event_loop(asyncio.new_event_loop())
    pulumi.runtime.set_mocks(recorded, preview=False)
    tags = ("gaxx:fleet=web", "gaxx:stack=prod")

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def program() -> pulumi.Output[typing.Any]:
        source = cloud(name)
        opts = pulumi.ResourceOptions()
        seed: pulumi.Output[str] = pulumi.Output.from_input("0123")
        firewall = source.make_firewall(FirewallRequest("web", rules(fleet), "web-0123", tags, seed), opts)
        network = source.make_network(
            NetworkRequest("web-ams", "ams", fleet.private_network, "web-ams-0123", tags, seed), opts
        )
        user_data: pulumi.Output[str] = pulumi.Output.from_input(USER_DATA)
        key: pulumi.Output[str] = pulumi.Output.from_input("ssh-ed25519 AAAA")
        request = MachineRequest(
            "web-1", fleet, 1, "ams", user_data, "prod-web-1-0123", tags, "key", seed, key, network
        )
        machine = source.make_machine(request, firewall, opts)
        return pulumi.Output.all(machine.machine_id)

    program()
    sys.stdout.write(json.dumps(recorded.resources))


if __name__ == "__main__":
    main(sys.argv[1])
