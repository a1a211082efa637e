"""A virtual machine that cannot be made, for want of an image: what is said, and what is left."""

import asyncio
import hashlib
import socket

import pytest

from components.errors import NodeError
from components.local_machine.machine import Machine
from components.places import image_file, nodes_dir
from components.provider.context import Context, EngineLog
from components.provider.qemu_node import QemuNode
from components.provider.wire import Properties

CONTEXT = Context("urn:pulumi:demo::gaxx::gaxx:index:QemuNode::demo-1", EngineLog(""), "")


def inputs(image: str) -> Properties:
    """What a fleet declares."""
    return {
        "node": "demo-1",
        "fleet": "demo",
        "index": 1,
        "stackKey": hashlib.sha256(b"demo").hexdigest()[:24],
        "userData": "#cloud-config\n",
        "image": image,
        "memoryBytes": 1 << 30,
        "cpus": 1,
    }


@pytest.mark.parametrize("image", ["debian-12", "/nowhere/debian-12.qcow2"])
def test_an_image_that_is_not_there_names_the_node_and_leaves_no_machine(image: str) -> None:
    with pytest.raises(NodeError, match=rf"^demo-1: the image {image} is not on this computer"):
        asyncio.run(QemuNode().create(CONTEXT, inputs(image)))
    assert Machine.of(inputs(image)["stackKey"], "demo-1", "").marker() is None
    assert list(nodes_dir().glob("*/demo-1")) == []


def test_a_server_that_is_not_there_names_the_node_and_the_url() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/d12.qcow2"
    with pytest.raises(NodeError, match=rf"^demo-1: the image {url}: not reached: "):
        asyncio.run(QemuNode().create(CONTEXT, inputs(f"{url}#sha256={'0' * 64}")))
    assert list(nodes_dir().glob("*/demo-1")) == []
    assert not image_file("0" * 64).exists()
