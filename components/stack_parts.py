"""What the fleets of one stack share: whose it is, who may use it, and what sweeps up after it."""

import dataclasses

import pulumi

from components.declared import OperatorCertificate, Sweep
from components.operators import OperatorSettings


@dataclasses.dataclass(frozen=True, slots=True)
class StackParts:
    """What the fleets of one stack share."""

    backend_id: str
    stack_key: str
    sweep: Sweep
    certificates: tuple[tuple[OperatorSettings, OperatorCertificate], ...]
    ttl_s: int
    key_generation: int = 1
    denied_serials: tuple[str, ...] = ()
    jump_host: str = ""
    """[user@]host[:port] that leads to the sshds of machines elsewhere; empty: none."""


def declare_certificates(
    operators: tuple[OperatorSettings, ...],
    token_generation: int,
    key_generation: int,
    opts: pulumi.ResourceOptions | None,
) -> tuple[tuple[OperatorSettings, OperatorCertificate], ...]:
    """Declare one certificate an operator."""
    return tuple(
        (
            operator,
            OperatorCertificate(
                operator.name,
                {
                    "name": operator.name,
                    "role": operator.role,
                    "csr": operator.csr,
                    "sshPublicKey": operator.ssh_public_key,
                    "tokenGeneration": token_generation,
                    "keyGeneration": key_generation,
                },
                opts,
            ),
        )
        for operator in operators
    )
