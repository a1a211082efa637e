"""gaxx:index:BootstrapIdentity: the single-use secrets of a machine's user-data."""

import time
import typing
from collections.abc import Mapping

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from components.local_machine.machine import Machine
from components.provider.cloud_machine import is_gone
from components.provider.context import Context
from components.provider.resource import Created, Difference, Property, Resource
from components.provider.wire import Properties


class BootstrapIdentity(Resource):
    """A host key known before boot, and the one key that may enrol the machine, once.

    It lives as long as its machine: a machine made anew gets fresh keys, since the old user-data may have
    been read by somebody in the meantime.
    """

    pulumi_type = "gaxx:index:BootstrapIdentity"
    description = "The single-use secrets of a machine's user-data: its first host key and the key that enrols it."
    inputs: typing.ClassVar[Mapping[str, Property]] = {
        "node": Property("string", "name of the node", replaces=True),
        "cloud": Property("string", "cloud of the node", replaces=True),
        "stackKey": Property("string", "the stack's key", replaces=True),
        "triggers": Property(
            "array",
            "values that make another machine of it (image, region, network): fresh keys with each",
            required=False,
            replaces=True,
            items=Property("string", "a value"),
        ),
    }
    outputs: typing.ClassVar[Mapping[str, Property]] = {
        "hostPrivateKey": Property("string", "OpenSSH private host key until enrolment", secret=True),
        "hostPublicKey": Property("string", "its public part"),
        "userPrivateKey": Property("string", "OpenSSH private key of the bootstrap user", secret=True),
        "userPublicKey": Property("string", "its public part"),
        "authoritySsh": Property("string", "the authority's key in OpenSSH's form"),
        "authorityFingerprint": Property("string", "sha256 of the authority's public key, hex"),
        "made": Property("number", "when: seconds since 1970"),
    }

    volatile = frozenset({"authorityFingerprint"})

    def drift(self, context: Context, state: Properties) -> Difference:
        """Another authority means another machine: the old one trusts nobody else. So does a machine that is gone.

        An authority that takes over from the machine's own is told to it by its enrolment.
        """
        known = state.get("authorityFingerprint") in context.trusted_fingerprints
        if not known or is_gone(context, state["node"]):
            return Difference(replaces=("authorityFingerprint",))
        same = state.get("authorityFingerprint") == context.authority.fingerprint
        return Difference(updates=() if same else ("authorityFingerprint",))

    async def create(self, context: Context, inputs: Properties) -> Created:
        """Make both pairs."""
        host_private, host_public = _pair()
        user_private, user_public = _pair()
        return Created(
            inputs["node"],
            {
                "hostPrivateKey": host_private,
                "hostPublicKey": host_public,
                "userPrivateKey": user_private,
                "userPublicKey": user_public,
                "authoritySsh": context.authority.ssh_public_key,
                "authorityFingerprint": context.authority.fingerprint,
                "made": time.time(),
            },
        )

    async def read(self, context: Context, resource_id: str, state: Properties) -> Properties | None:
        """Gone with its machine, as far as this computer can tell."""
        if state["cloud"] in {"local", "qemu"}:
            machine = Machine.of(state["stackKey"], state["node"], resource_id)
            if await context.blocking(machine.marker) is None:
                return None
        return state

    async def update(self, context: Context, resource_id: str, state: Properties, news: Properties) -> Properties:
        """Only whose machine it is: what its user-data held stays as it was."""
        del resource_id, news
        kept = {name: state[name] for name in self.outputs if name in state}
        return {**kept, "authorityFingerprint": context.authority.fingerprint}

    async def delete(self, context: Context, resource_id: str, state: Properties) -> None:
        """It exists in the state only."""


def _pair() -> tuple[str, str]:
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private.decode(), public.decode()
