"""Serves the plugin: prints its port, answers the engine until the engine goes."""

import argparse
import asyncio
import concurrent.futures
import contextlib
import ctypes
import os
import signal
import sys

import grpc.aio
from pulumi.provider.experimental.component import ComponentProvider
from pulumi.provider.server import ProviderServicer as ComponentServicer
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import provider_pb2_grpc

from components.firewall import Firewall
from components.fleet import Fleet
from components.provider.bootstrap_identity import BootstrapIdentity
from components.provider.cloud_firewall import CloudFirewall
from components.provider.cloud_machine import CloudMachine
from components.provider.cloud_network import CloudNetwork
from components.provider.enrolment import Enrolment
from components.provider.inventory_document import InventoryDocument
from components.provider.local_node import LocalNode
from components.provider.operator_certificate import OperatorCertificate
from components.provider.qemu_node import QemuNode
from components.provider.quorum import Quorum
from components.provider.resource import Resource
from components.provider.schema import merge
from components.provider.servicer import VERSION, Servicer
from components.provider.sweep import Sweep

RESOURCES: tuple[Resource, ...] = (
    BootstrapIdentity(),
    CloudFirewall(),
    CloudMachine(),
    CloudNetwork(),
    Enrolment(),
    InventoryDocument(),
    LocalNode(),
    OperatorCertificate(),
    QemuNode(),
    Quorum(),
    Sweep(),
)
_THREADS = 64
"""Blocking steps at once: the engine's own --parallel is the real bound."""
_PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> None:
    """Run until the engine ends us."""
    parser = argparse.ArgumentParser(description="The gaxx Pulumi plugin; the engine starts it.")
    parser.add_argument("engine", nargs="?", default="", help="address of the engine")
    arguments, _ = parser.parse_known_args(argv)
    # The engine may be killed: what it started must not outlive it and go on working on machines.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() == 1:
        return
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(arguments.engine))


async def _serve(engine_address: str) -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(_THREADS))
    components = ComponentProvider([Fleet, Firewall], "gaxx", version=VERSION)
    schema = merge(components.schema or "", RESOURCES)
    construct = ComponentServicer(components, [], engine_address=engine_address)
    server = grpc.aio.server(options=_GRPC_CHANNEL_OPTIONS)
    servicer = Servicer(RESOURCES, construct, schema, engine_address)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    await ended.wait()
    # Stopped before the loop closes, or grpc.aio's finalisers would litter the engine's output.
    await server.stop(grace=2)
