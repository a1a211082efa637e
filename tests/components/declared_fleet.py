"""`python -m tests.components.declared_fleet ADDRESS JUMP`: what a fleet of one Linode declares, with Pulumi's mocks.

Prints the enrolment's inputs and the node as the inventory has it.
"""

import asyncio
import json
import sys
import typing

import pulumi

from components.declared import Sweep
from components.fleet import Fleet
from components.stack_parts import StackParts


class Recorded(pulumi.runtime.Mocks):
    """Keeps what is declared; the machine has the address that was asked for."""

    def __init__(self, address: str) -> None:
        self.resources: dict[str, typing.Any] = {}
        self._address = address

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[typing.Any, typing.Any]]:
        self.resources[args.typ] = args.inputs
        known = {key: value for key, value in args.inputs.items() if value is not None}
        key = {"hostPublicKey": "ssh-ed25519 AAAA", "userPublicKey": "ssh-ed25519 AAAA"}
        key |= {"authoritySsh": "ecdsa-sha2-nistp256 AAAA", "hostPrivateKey": PRIVATE, "made": "2026", "seed": "0123"}
        made = {"address": self._address, "ipv4s": [self._address], "sshPort": 22, "operatorUser": "gaxx"}
        return "4711", {**key, **made, "enrolled": True, "health": "serving", "sshHostKeys": [], **known}

    def call(
        self, args: pulumi.runtime.MockCallArgs
    ) -> tuple[dict[typing.Any, typing.Any], list[tuple[str, str]] | None]:
        raise AssertionError(args.token)


PRIVATE = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"


def main(address: str, jump_host: str) -> None:
    """Declare it."""
    recorded = Recorded(address)
    asyncio.set_event_loop(asyncio.new_event_loop())
    pulumi.runtime.set_mocks(recorded, preview=False)
    nodes: list[typing.Any] = []

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def program() -> pulumi.Output[typing.Any]:
        sweep = Sweep("sweep", {"stackKey": "k", "backendId": "b", "clouds": ["linode"]})
        parts = StackParts("b", "k", sweep, (), 3600, jump_host=jump_host)
        arguments: typing.Any = {
            "nodes": 1, "cloud": "linode", "regions": ["nl-ams"], "ssh_cidrs": ["203.0.113.7/32"]
        }  # fmt: skip
        fleet = Fleet("web", arguments, parts=parts)
        return fleet.nodes.apply(nodes.extend)

    program()
    sys.stdout.write(json.dumps({"enrolment": recorded.resources["gaxx:index:Enrolment"], "node": nodes[0]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
